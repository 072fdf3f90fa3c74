"""What the suite knows of ACN before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="acn",
    domain="vision_nlp",
    title="Auto-compressing networks: all blocks feed the output, the last ones can go",
    paper="arXiv 2506.09714",
    config="vision_nlp.acn.config:Config",
    verbs={
        "train": "vision_nlp.acn.train:train",
        "evaluate": "vision_nlp.acn.evaluate:evaluate",
        "export": "vision_nlp.acn.export:export",
        "claims": "vision_nlp.acn.claims:claims",
        "predict": "vision_nlp.acn.predict:predict",
        "bench": "vision_nlp.acn.bench:bench",
    },
)
