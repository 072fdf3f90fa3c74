"""What the suite knows of the auto-compressing text encoder before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="acn_text",
    domain="vision_nlp",
    title="ACN encoder: an auto-compressing text encoder that names emotions",
    paper="arXiv 2506.09714 (its BERT experiments, at a small size)",
    config="vision_nlp.acn_text.config:Config",
    verbs={
        "train": "vision_nlp.acn_text.train:train",
        "evaluate": "vision_nlp.acn_text.evaluate:evaluate",
        "export": "vision_nlp.acn_text.export:export",
        "predict": "vision_nlp.emotions:predict",
    },
)
