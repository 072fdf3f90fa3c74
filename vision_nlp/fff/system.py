"""What the suite knows of eFFF before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="fff",
    domain="vision_nlp",
    title="Enhanced fast feedforward networks: load balancing and a master leaf",
    paper="arXiv 2405.16836 (and 2308.14711)",
    config="vision_nlp.fff.config:Config",
    verbs={
        "train": "vision_nlp.fff.train:train",
        "evaluate": "vision_nlp.fff.evaluate:evaluate",
        "export": "vision_nlp.fff.export:export",
        "claims": "vision_nlp.fff.claims:claims",
        "predict": "vision_nlp.service:predict",
        "bench": "vision_nlp.fff.bench:bench",
    },
)
