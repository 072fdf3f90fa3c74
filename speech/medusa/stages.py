"""One DeepSER through stages 1 and 2, as a run of its own inside the run of its ensemble (section 2.6)."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from common.data.sampler import EpochSampler
from common.errors import OperatorError
from common.registry.cards import read_record, render, write_whole
from common.training import checkpoint, loop, seeding
from common.training.distributed import World
from common.training.run import MANIFEST, Run, open_run
from speech.medusa.config import Config, Member
from speech.medusa.figures import macro_f1
from speech.medusa.losses import attribute_error, class_weights, soft_cross_entropy, total
from speech.medusa.members import CARD, MemberCard, build, judge, read, standardise
from speech.medusa.mixup import draw
from speech.medusa.model import DeepSER
from speech.medusa.rows import Rows, Sets
from speech.medusa.sampling import BalancedSampler
from speech.medusa.system import SYSTEM

SELECTED = "macro_f1"


class Job(NamedTuple):
    """A member to be trained."""

    folder: str
    """Of its run, relative to that of the ensemble."""
    member: Member
    learnt: Rows
    seed: int


def card(job: Job, config: Config, sets: Sets) -> MemberCard:
    """Of a member that is yet to be trained."""
    names = job.member.streams
    return MemberCard(
        classes=sets.classes,
        judged=sets.judged and config.weights.attributes > 0,
        streams={name: sets.keys[name] for name in names},
        dims=job.learnt.dims(names),
        fitted=job.learnt.ids,
    )


def fit(job: Job, config: Config, sets: Sets, run: Run, here: World) -> DeepSER:
    """Train the member from where it stands; a finished one is only read. On the world's device, in eval mode.

    Raises OperatorError for a member that was begun on other clips, classes or streams.
    """
    wanted, own = card(job, config, sets), _open(job, run, here)
    path = own.folder / CARD
    if here.leads and not path.exists():
        write_whole(path, render(wanted))
    here.share_number(0.0)  # nobody reads before the file is there
    if read_record(path, MemberCard, "remove the folder and resume") != wanted:
        raise OperatorError(f"{path}: was begun on other clips, classes or streams; give the data of the run")
    if own.manifest.status != "finished":
        seeding.seed_all(job.seed)
        network = build(wanted, config).to(here.device)
        standardise(network, job.learnt)
        # Equal weights, but dropout and MixUp of its own in each process.
        seeding.seed_all((job.seed + here.rank) % 2**32)
        _trainer(network, job, config, sets, own, here).fit()
        if here.leads:
            for kept in own.checkpoints.glob(f"step-*{checkpoint.SUFFIX}"):
                kept.unlink()  # three times the weights, for a run that is not resumed any more
    return read(own.folder, config).to(here.device)


def step(network: DeepSER, learnt: Rows, config: Config, weights: Tensor | None, rows: Tensor) -> dict[str, Tensor]:
    """The loss of one batch of row numbers; MixUp or not, the targets stay soft."""
    batch = learnt.batch(rows, network.streams)
    mix = draw(len(rows), config.mixup, batch.targets.device)
    said = network(batch.streams, mix)
    targets, truth = (part if mix is None else mix.apply(part) for part in (batch.targets, batch.attributes))
    emotion = soft_cross_entropy(said.logits, targets, weights)
    attributes = attribute_error(said.attributes, truth) if network.judged else None
    parts = {"emotion": emotion} | ({} if attributes is None else {"attributes": attributes})
    return {loop.LOSS: total(emotion, attributes, config.weights), **parts}


def phases(network: DeepSER, job: Job, config: Config, processes: int = 1) -> Iterator[loop.Phase]:
    """Stage 1: all clips, weighted classes. Stage 2: balanced subsets, equal weights. Those that have epochs."""
    adamw = partial(torch.optim.AdamW, weight_decay=config.optim.weight_decay, fused=True)
    learnt, trained = job.learnt, list(network.parameters())
    if config.stage1.epochs:
        weights = class_weights(learnt.targets, config.weights.exponent).to(learnt.device)
        yield loop.Phase(
            name="stage1",
            epochs=config.stage1.epochs,
            lr=config.stage1.lr,
            trained=trained,
            optimizer=adamw,
            step=partial(step, network, learnt, config, weights),
        )
    if config.stage2.epochs:
        yield loop.Phase(
            name="stage2",
            epochs=config.stage2.epochs,
            lr=config.stage2.lr,
            trained=trained,
            optimizer=adamw,
            step=partial(step, network, learnt, config, None),
            sampler=BalancedSampler(learnt.targets, learnt.consensus, config.optim.batch, job.seed, processes),
        )


def _trainer(network: DeepSER, job: Job, config: Config, sets: Sets, own: Run, here: World) -> loop.Trainer:
    optim = config.optim
    try:
        sampler = EpochSampler(len(job.learnt), optim.batch, job.seed, processes=here.size)
        chosen = tuple(phases(network, job, config, here.size))
    except ValueError as error:
        raise OperatorError(f"{job.folder}: {error}") from error
    agreed = sets.dev.select(sets.dev.consensus)
    labels = agreed.labels.numpy()

    def measure() -> dict[str, float]:
        said = judge(network, agreed).logits.argmax(1).numpy()
        return {
            SELECTED: macro_f1(said, labels, len(sets.classes)),
            "accuracy": float((said == labels).mean()),
        }

    return loop.Trainer(
        network,
        chosen,
        sampler,
        loop.Selection(measure, SELECTED, len(agreed)),
        own,
        here,
        loop.Options(
            schedule=optim.schedule, warmup=optim.warmup, clip=optim.clip, checkpoint_every=optim.checkpoint_every
        ),
    )


def _open(job: Job, run: Run, here: World) -> Run:
    """The member's run as it stands, or a new one; the same folder on every process."""
    folder = run.folder / job.folder
    if here.leads and not (folder / MANIFEST).exists():
        fresh = Run(
            folder,
            msgspec.structs.replace(
                run.manifest, id=f"{run.manifest.id}/{job.folder}", seed=job.seed, status="running", checkpoint=None
            ),
        )
        fresh.checkpoints.mkdir(parents=True, exist_ok=True)
        fresh.update()
    here.share_number(0.0)  # nobody opens before the file is there
    return open_run(folder, SYSTEM.name)
