"""What the suite knows of the task-prior studies before anything of them is imported."""

from common.system import System

SYSTEM = System(
    name="icl_priors",
    domain="llm_studies",
    title="Task priors in in-context learning: prior pull and aggregation artefacts",
    paper="arXiv 2403.17125 and arXiv 2410.13776",
    config="llm_studies.icl_priors.config:Config",
    verbs={"claims": "llm_studies.icl_priors.claims:claims"},
)
