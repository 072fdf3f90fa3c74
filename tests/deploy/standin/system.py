"""The stand-in, as the suite finds it."""

from common.system import System

VERBS = "vision_nlp.standin.verbs"
SYSTEM = System(
    name="standin",
    domain="vision_nlp",
    title="Stand-in",
    paper="none",
    config="vision_nlp.standin.config:Config",
    verbs={
        "train": f"{VERBS}:train",
        "evaluate": f"{VERBS}:evaluate",
        "export": "vision_nlp.standin.needs_a_package:export",
        "claims": f"{VERBS}:claims",
        "predict": f"{VERBS}:predict",
        "bench": f"{VERBS}:bench",
    },
)
