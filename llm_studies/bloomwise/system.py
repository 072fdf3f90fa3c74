"""What the suite knows of BloomWise before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="bloomwise",
    domain="llm_studies",
    title="BloomWise: a ladder of prompts after Bloom's taxonomy, and when to stop on it",
    paper="arXiv 2410.04094",
    config="llm_studies.bloomwise.config:Config",
    verbs={"claims": "llm_studies.bloomwise.claims:claims"},
)
