"""Shapes in annotations are checked while these tests run; nothing else imports the modules before."""

import sys

from jaxtyping import install_import_hook

CHECKED = ("vision_nlp.fff.model", "vision_nlp.fff.losses")

if not any(name in sys.modules for name in CHECKED):
    with install_import_hook(CHECKED, "beartype.beartype"):
        import vision_nlp.fff.losses
        import vision_nlp.fff.model  # noqa: F401
