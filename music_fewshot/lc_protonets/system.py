"""What the suite knows of LC-Protonets before anything of it is imported."""

from common.system import System

SYSTEM = System(
    name="lc_protonets",
    domain="music_fewshot",
    title="LC-Protonets: music tags from a few labelled clips, by prototypes of label combinations",
    paper="arXiv 2409.11264",
    config="music_fewshot.lc_protonets.config:Config",
    verbs={
        "train": "music_fewshot.lc_protonets.train:train",
        "evaluate": "music_fewshot.lc_protonets.evaluate:evaluate",
        "export": "music_fewshot.lc_protonets.export:export",
        "claims": "music_fewshot.lc_protonets.claims:claims",
        "predict": "music_fewshot.service:predict",
        "bench": "music_fewshot.lc_protonets.bench:bench",
    },
)
