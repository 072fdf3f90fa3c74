"""What the suite knows of the compact encoders before anything of them is imported."""

from common.system import System

SYSTEM = System(
    name="medusa_encoder",
    domain="speech",
    title="Compact encoders: speech and transcripts, pre-trained from scratch without labels, for MEDUSA's streams",
    paper="arXiv 2106.07447 (HuBERT, first iteration, at a small size)",
    config="speech.medusa_encoder.config:Config",
    verbs={"train": "speech.medusa_encoder.train:train"},
)
