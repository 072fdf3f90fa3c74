"""What the suite knows of MEDUSA before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="medusa",
    domain="speech",
    title="MEDUSA: names the emotion in a voice, with an ensemble of deeply fused streams",
    paper="arXiv 2506.09556",
    config="speech.medusa.config:Config",
    verbs={
        "train": "speech.medusa.train:train",
        "evaluate": "speech.medusa.evaluate:evaluate",
        "export": "speech.medusa.export:export",
        "claims": "speech.medusa.claims:claims",
        "predict": "speech.predict:predict",
    },
)
