"""Figures of the specification computed again: estimator recovery, the artefact, and what the published files hold."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np

from common.claims.similarity import similarity
from contracts.claims import ClaimRow
from llm_studies.icl_priors.annotators import leave_one_out, pairwise, unanimous
from llm_studies.icl_priors.chance import trivial_levels
from llm_studies.icl_priors.data import goemotions, goemotions_demos, hs_brexit, mfrc_demos
from llm_studies.icl_priors.items import AGGREGATE, matrix
from llm_studies.icl_priors.permutation import artefact
from llm_studies.icl_priors.recovery import recovery

STATED = MappingProxyType(
    {
        (0.00, 0.10): (0.03, 0.00, 0.00),
        (0.25, 0.10): (0.23, 0.20, 0.25),
        (0.50, 0.10): (0.43, 0.41, 0.51),
        (0.75, 0.10): (0.64, 0.61, 0.75),
        (1.00, 0.10): (0.85, 0.81, 1.00),
        (0.50, 0.25): (0.34, 0.29, 0.50),
        (1.00, 0.25): (0.66, 0.59, 1.00),
    }
)
"""Section 8.3: (kappa, eps1) to naive, slope and EM."""
ARTEFACTS = MappingProxyType({4: (-0.71, 0.48), 7: (-0.74, 0.81), 9: (-0.76, 0.92), 20: (-0.77, 0.998)})
"""Section 8.1: annotators to mean r and share flagged."""
TRIVIAL = MappingProxyType({
    "goemotions": {"always none": (0.263, None), "shuffled gold": (0.175, 0.164), "random subset": (0.138, 0.198),
                   "all labels": (None, 0.219)},
    "hs_brexit": {"always none": (0.762, None), "shuffled gold": (0.617, 0.176), "random subset": (0.276, 0.240),
                  "all labels": (None, 0.266)},
})  # fmt: skip
"""Section 4: JS and micro-F1."""
TO_AGGREGATE = ((0.84, 0.82), (0.83, 0.80), (0.81, 0.78), (0.81, 0.73), (0.77, 0.69), (0.84, 0.77))
"""Section 8.2: JS with the aggregate and with that of the others, Ann1 to Ann6."""
TRIOS = MappingProxyType({"goemotions_demos": ((0.970, 0.467, 0.944), 15), "mfrc_demos": ((0.867, 0.707, 0.878), 22)})
"""Check F: JS with the official aggregate, and unanimous texts."""


def recovered(repetitions: int, seed: int) -> Iterator[ClaimRow]:
    """The table of section 8.3, one row per cell of the grid."""
    for row in recovery(repetitions=repetitions, seed=seed):
        stated = STATED.get((row.kappa_true, row.eps1_true))
        values = {
            "kappa": row.kappa,
            "kappa_sd": row.kappa_sd,
            "naive": row.kappa_naive,
            "slope": row.kappa_slope,
            "eps1": row.eps1,
            "kappa_error": abs(row.kappa - row.kappa_true),
            "eps1_error": abs(row.eps1 - row.eps1_true),
        }
        if stated:
            values |= dict(zip(("spec_naive", "spec_slope", "spec_kappa"), stated, strict=True))
        yield ClaimRow(
            condition=f"kappa {row.kappa_true}, eps1 {row.eps1_true}", data="recovery", seed=seed, values=values
        )


def artefacts(studies: int, seed: int) -> Iterator[ClaimRow]:
    """What the papers' correlation sees where nothing is related."""
    for annotators, (r, flagged) in ARTEFACTS.items():
        found = artefact(annotators, studies=studies, seed=seed)
        values = {"mean_r": found.mean_r, "spec_mean_r": r, "flagged": found.flagged, "spec_flagged": flagged}
        yield ClaimRow(condition=f"{annotators} annotators", data="artefact", seed=seed, values=values)


def published(data: Path) -> Iterator[ClaimRow]:
    """Trivial levels and annotator tables on the files of section 9, the specification's figure beside each."""
    brexit, emotions = hs_brexit(data), goemotions(data)
    truths = {
        "goemotions": matrix(emotions.split("dev")[:800], AGGREGATE),
        "hs_brexit": matrix(brexit.items, AGGREGATE),
    }
    for name, truth in truths.items():
        for level in trivial_levels(truth):
            stated = dict(zip(("spec_js", "spec_micro_f1"), TRIVIAL[name][level.name], strict=True))
            values = {"js": level.js, "micro_f1": level.micro_f1} | {k: v for k, v in stated.items() if v is not None}
            yield ClaimRow(condition=level.name, data=f"{name}, trivial levels", seed=0, values=values)
    people = np.array([matrix(brexit.items, name) for name in brexit.annotators])
    others = leave_one_out(people)
    for i, (name, stated) in enumerate(zip(brexit.annotators, TO_AGGREGATE, strict=True)):
        values = {"js": similarity(people[i], truths["hs_brexit"]), "spec_js": stated[0],
                  "js_others": similarity(people[i], others[i]), "spec_js_others": stated[1],
                  "micro_f1": similarity(people[i], truths["hs_brexit"], "micro_f1"),
                  "micro_f1_others": similarity(people[i], others[i], "micro_f1")}  # fmt: skip
        yield ClaimRow(condition=name, data="hs_brexit, annotators to aggregate", seed=0, values=values)
    yield _groups(pairwise(people))
    for load in (goemotions_demos, mfrc_demos):
        corpus = load(data)
        (stated, same), official = TRIOS[corpus.name], matrix(corpus.items, AGGREGATE)
        trio = np.array([matrix(corpus.items, name) for name in corpus.annotators])
        for name, labels, level in zip(corpus.annotators, trio, stated, strict=True):
            values = {"js": similarity(labels, official), "spec_js": level}
            yield ClaimRow(
                condition=f"annotator {name}", data=f"{corpus.name}, to the official aggregate", seed=0, values=values
            )
        agreed = float(unanimous(np.concatenate([trio, official[None]])).sum())
        yield ClaimRow(condition="unanimous texts of 45", data=f"{corpus.name}, to the official aggregate", seed=0,
                       values={"texts": agreed, "spec_texts": float(same)})  # fmt: skip


def _groups(between: np.ndarray) -> ClaimRow:
    """Pairwise micro-F1 inside and across the two groups of three raters, as ranges."""
    upper = np.triu(np.ones((3, 3), bool), 1)
    blocks = {
        "first_group": between[:3, :3][upper],
        "second_group": between[3:, 3:][upper],
        "across": between[:3, 3:].ravel(),
    }
    stated = {"first_group": (0.44, 0.51), "second_group": (0.56, 0.69), "across": (0.34, 0.41)}
    values = {}
    for name, found in blocks.items():
        values |= {f"{name}_low": float(found.min()), f"spec_{name}_low": stated[name][0],
                   f"{name}_high": float(found.max()), f"spec_{name}_high": stated[name][1]}  # fmt: skip
    return ClaimRow(condition="micro-F1 of two raters", data="hs_brexit, pairs of raters", seed=0, values=values)
