"""The four stages (arXiv 2506.09556; specification, section 2.6).

Stages 1 and 2 for every member, then for every member of every fold, then the meta-classifier on what the members of
the folds say of clips that they never heard, and the mean of its runs.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.registry.cards import render, write_whole
from common.training import checkpoint
from common.training.distributed import World, shared_run, world
from common.training.run import Run, open_run
from contracts.models import Metric
from speech.medusa import meta
from speech.medusa.calibrate import temperature
from speech.medusa.config import Config
from speech.medusa.data import load
from speech.medusa.ensemble import CARD, WEIGHTS, EnsembleCard
from speech.medusa.figures import macro_f1
from speech.medusa.folds import refuse_leaks, speaker_folds
from speech.medusa.members import Said, judge, read_card
from speech.medusa.model import DeepSER
from speech.medusa.rows import Rows, Sets
from speech.medusa.stages import SELECTED, Job, fit
from speech.medusa.streams import prepare, with_streams
from speech.medusa.system import SYSTEM

OUT_OF_FOLD = "out_of_fold.safetensors"
"""What the members of the folds say of the training clips, in the order of the split."""
HELD_OUT, OWN_ROWS, NO_ROWS = "out of fold", "the members' own training clips (as published)", "none (soft vote)"
SKIPPED = "skipped_rows.txt"


class Learnt(NamedTuple):
    """Stages 3 and 4."""

    soup: dict[str, Tensor]
    runs: list[dict[str, Tensor]]
    rows: str


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, a folder that is no run, and a set too small for what is asked.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        sets = load(config, data, out if resume is None else beside(resume))
        run = shared_run(
            here,
            resume,
            out,
            system=SYSTEM.name,
            command=command,
            config=config,
            seed=config.seed,
            data=(sets.source,),
        )
        sets = with_streams(sets, config, prepare(config, sets.train, run.folder, here)).to(here.device)
        members = [fit(job, config, sets, run, here) for job in jobs(config, sets.train)]
        learnt = stages_3_and_4(members, config, sets, run, here)
        _finish(members, learnt, config, sets, run, here)
    return run.folder


def beside(run: Path) -> Path:
    """The folder of all runs, where features are kept."""
    return run.resolve().parent.parent


def jobs(config: Config, learnt: Rows, fold: int | None = None) -> list[Job]:
    """All members, to be fitted to ``learnt``; of a fold with other seeds, in folders of their own."""
    parent = "members" if fold is None else f"folds/{fold}"
    own = () if fold is None else (fold,)
    return [
        Job(f"{parent}/{number:02d}", member, learnt, derive(config.seed, member.seed, *own))
        for number, member in enumerate(config.members)
    ]


def derive(*numbers: int) -> int:
    """A seed below 2^31 of several: no two of a few thousand meet."""
    # With their number before them: a seed sequence takes zeros at the end for nothing.
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1)[0]) % 2**31


def stages_3_and_4(members: list[DeepSER], config: Config, sets: Sets, run: Run, here: World) -> Learnt:
    """The meta-classifier, averaged over its runs; nothing is learnt for a vote."""
    if config.meta.kind == "none":
        return Learnt({}, [], NO_ROWS)
    learnt = sets.train
    said = [judge(one, learnt) for one in members] if config.meta.on_train else out_of_fold(config, sets, run, here)
    runs = meta.fit_runs(
        meta.answers(said, members[0].judged),
        learnt.targets,
        learnt.attributes,
        learnt.consensus,
        config=config.meta,
        weights=config.weights,
        judged=members[0].judged,
        seed=derive(config.seed, 3),
    )
    return Learnt(meta.soup(runs), runs, OWN_ROWS if config.meta.on_train else HELD_OUT)


def out_of_fold(config: Config, sets: Sets, run: Run, here: World) -> list[Said]:
    """Of each member, what its copies say of the training clips: each clip by the copy that never heard its speaker."""
    learnt = sets.train
    folds = speaker_folds(learnt.speakers, config.meta.folds, config.seed)
    logits = torch.zeros(len(config.members), *learnt.targets.shape)
    attributes = torch.zeros(len(config.members), *learnt.attributes.shape)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        asked = learnt.select(held)
        for number, job in enumerate(jobs(config, learnt.select(~held), fold)):
            network = fit(job, config, sets, run, here)
            refuse_leaks(asked.ids, read_card(run.folder / job.folder).fitted)
            logits[number, held], attributes[number, held] = judge(network, asked)
    if here.leads:
        kept = {"logits": logits, "attributes": attributes, "folds": folds}
        checkpoint.write(run.folder / OUT_OF_FOLD, {"said": kept}, learnt.ids)
    return [Said(*both) for both in zip(logits, attributes, strict=True)]


def _finish(members: list[DeepSER], learnt: Learnt, config: Config, sets: Sets, run: Run, here: World) -> None:
    """Fit the temperature on dev, which no weight was fitted to, and write what the run is worth."""
    judged, classes = members[0].judged, len(sets.classes)
    final = meta.META[config.meta.kind](len(members), classes, judged)
    final.load_state_dict(learnt.soup)
    agreed = sets.dev.select(sets.dev.consensus)
    with torch.no_grad():
        logits = final.eval()(meta.answers([judge(one, agreed) for one in members], judged))[0].numpy()
    card = EnsembleCard(
        classes=sets.classes,
        judged=judged,
        members=tuple(job.folder for job in jobs(config, sets.train)),
        streams={name: sets.keys[name] for member in config.members for name in member.streams},
        meta_rows=learnt.rows,
        temperature=temperature(logits, agreed.targets.numpy()),
        calibrated_on="dev",
    )
    if here.leads:
        parts = {"soup": learnt.soup} | {f"run{number}": weights for number, weights in enumerate(learnt.runs)}
        checkpoint.write(run.folder / WEIGHTS, parts, {})
        write_whole(run.folder / CARD, render(card))
        write_whole(run.folder / SKIPPED, "".join(f"{line}\n" for line in sets.bad).encode())
        value = macro_f1(logits.argmax(1), agreed.labels.numpy(), classes)
        run.update(
            status="finished",
            checkpoint=WEIGHTS,
            selection=Metric(name=SELECTED, split="validation", value=value, n=len(agreed)),
            properties={"meta": config.meta.kind, "meta_rows": learnt.rows, "skipped_rows": len(sets.bad)},
        )
