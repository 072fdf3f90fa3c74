"""What the suite knows of the supervised reference before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="reference",
    domain="llm_studies",
    title="Supervised reference for the in-context studies: a small encoder whose input holds the label names",
    paper="arXiv 2210.15842 (Demux: label names as input), the supervised model of arXiv 2403.17125 and 2410.13776",
    config="llm_studies.reference.config:Config",
    verbs={
        "train": "llm_studies.reference.train:train",
        "evaluate": "llm_studies.reference.evaluate:evaluate",
        "export": "llm_studies.reference.export:export",
        "predict": "llm_studies.reference.features:predict",
    },
)
