"""The claims of arXiv 2409.11264, as differences between paired runs, and the controls that decide what they mean.

F1 is in points. A network trained for one method answers by that method's own rule; ``pre`` is trained on base tags
alone and answers by every rule. Verdicts come from ``common.claims.harness``; nothing here decides one.
"""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console

from common.claims.harness import ROUNDS, Claim, Figure, judge, run_paired, value
from common.claims.report import write
from common.errors import OperatorError
from contracts.claims import ClaimsReport
from music_fewshot.lc_protonets.study import FULL, PRE, QUICK, SETUPS, Scale, Study
from music_fewshot.lc_protonets.system import SYSTEM

BUNDLED = ("generated",)
PUBLISHED = ("rendered", "emotify", "makam_pitch", "cal500", "emotions")
POINTS = "points of macro-F1"
SPLITS = ("base", "novel", "both")


def all_claims() -> Iterator[Claim]:
    """Every claim about one data set."""
    for split in SPLITS:
        yield _rules(
            f"{split}: without tuning LCP beats ML-PN",
            "published result files, one run: 0.396 against 0.146 on MTAT novel-15",
            split,
            "ml_pn",
        )
        yield _rules(f"{split}: without tuning LCP beats naming every tag", "the decisive control", split, "all_ones")
        yield _rules(
            f"{split}: without tuning ML-PN beats naming every tag by more than half a point",
            "published result files: equal in 10 of 10 untuned cells of Lyra and FMA",
            split,
            "all_ones",
            method="ml_pn",
            threshold=0.5,
        )
        yield _rules(f"{split}: LCP beats the calibrated blend", "ours: the blend is in no paper", split, "blend")
        yield _rules(f"{split}: LCP beats ML-PN with the k best tags", "ours: no fixed threshold", split, "topk")
        for setup in SETUPS:
            for rival in ("ml_pn", "ovr"):
                yield Claim(
                    claim=f"{split}: trained {setup}, LCP beats {rival.replace('_', '-').upper()}",
                    paper="published result files, one run a cell",
                    unit=POINTS,
                    method=(f"{setup} lcp", _macro(split, "lcp")),
                    control=(f"{setup} {rival}", _macro(split, "ml_pn")),
                    control_name=f"the same network, trained for and answering by {rival}",
                )
        for setup in ("full", "last"):
            yield Claim(
                claim=f"{split}: tuning by episodes ({setup}) improves LCP",
                paper="published result files: pre, last and full",
                unit=POINTS,
                method=(f"{setup} lcp", _macro(split, "lcp")),
                control=(PRE, _macro(split, "lcp")),
                control_name="the same network before tuning",
            )


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Re-test on generated tones or, with ``data``, on rendered scores, recordings, pitch images and feature tables.

    Writes ``RESULTS.md`` and its figure into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a set.
    """
    started = time.perf_counter()
    scale = QUICK if quick else FULL
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    console = Console(file=sys.stderr)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small to share
    try:
        with TemporaryDirectory(prefix="kithara-claims-") as folder:
            rows = tuple(
                row
                for name in (BUNDLED if data is None else PUBLISHED)
                for row in run_paired(
                    Study(name, data, scale, Path(folder)).conditions(), range(scale.seeds), name, console.print
                )
            )
    finally:
        torch.set_num_threads(threads)
    report = ClaimsReport(
        system=SYSTEM.name,
        command=command,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        scale=described(scale),
        claims=judge(tuple(all_claims()), rows),
        rows=rows,
        seconds=time.perf_counter() - started,
        rounds=ROUNDS,
    )
    if out is not None:
        write(report, out)
    return report


def described(scale: Scale) -> str:
    """How this differs from the paper."""
    return (
        f"Small networks, {scale.pretrain} epochs of supervised training and {scale.epochs} x {scale.episodes} "
        "episodes (paper: 3.7 million weights, 200 epochs, up to 10,000 episodes); 3 clips a tag as in the paper; all "
        "base, all novel and all tags of a set; for each seed one training and one test episode. LCP answers by the "
        "nearest label combination, ML-PN and One-vs-Rest name each tag whose cosine is above 0. None of the paper's "
        "six data sets can be had; the sets here are others."
    )


def _rules(claim: str, paper: str, split: str, control: str, *, method: str = "lcp", threshold: float = 0.0) -> Claim:
    return Claim(
        claim=claim,
        paper=paper,
        unit=POINTS,
        method=(PRE, _macro(split, method)),
        control=(PRE, _macro(split, control)),
        control_name=f"{control} on the same embeddings and episode",
        threshold=threshold,
    )


def _macro(split: str, rule: str) -> Figure:
    return value(f"{split} {rule} macro", 100)
