"""One DeepSER: what is known of it, how it is built and read, and what it says of clips."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from common.errors import OperatorError
from common.registry.cards import read_record
from common.training import checkpoint
from common.training.run import open_run
from contracts._base import Record
from speech.medusa.config import ATTRIBUTES, Config
from speech.medusa.model import FUSIONS, DeepSER
from speech.medusa.rows import Rows
from speech.medusa.stems import Front
from speech.medusa.system import SYSTEM

CARD = "member.json"
CHUNK = 64
"""Clips per forward pass when nothing is learnt."""


class MemberCard(Record, frozen=True, kw_only=True):
    """``member.json``: what a member's numbers mean; checked whenever it is read."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...] = ATTRIBUTES
    judged: bool
    streams: dict[str, str]
    """What made each stream (encoder, revision, rule)."""
    dims: dict[str, int]
    """Features of each stream."""
    fitted: tuple[str, ...]
    """Ids of the clips that it was fitted to."""


class Said(NamedTuple):
    """What a member says of clips."""

    logits: Float[Tensor, "clips classes"]
    attributes: Float[Tensor, "clips 3"]
    """NaN where they were not learnt."""


def read(folder: Path, config: Config) -> DeepSER:
    """A finished member in eval mode on the CPU.

    Raises OperatorError when it is not finished, or its attributes are in another order.
    """
    run, made = open_run(folder, SYSTEM.name), read_card(folder)
    if run.manifest.checkpoint is None:
        raise OperatorError(f"{folder}: is not finished; `kithara train {SYSTEM.name} --resume` goes on with it")
    network = build(made, config)
    network.load_state_dict(checkpoint.read(folder / run.manifest.checkpoint).part("model"))
    return network.eval()


def read_card(folder: Path) -> MemberCard:
    """Raises OperatorError where it is missing, broken, or of another order of the attributes."""
    made = read_record(folder / CARD, MemberCard, "train the ensemble again")
    if made.attributes != ATTRIBUTES:
        raise OperatorError(
            f"{folder / CARD}: attributes are {', '.join(made.attributes)}, here they are {', '.join(ATTRIBUTES)}; "
            "train the ensemble again"
        )
    return made


def build(made: MemberCard, config: Config) -> DeepSER:
    """An untrained network."""
    fronts = {name: Front(config.streams[name], dim) for name, dim in made.dims.items()}
    return FUSIONS[config.model.fusion](made.dims, len(made.classes), config.model, made.judged, fronts)


def standardise(network: DeepSER, learnt: Rows) -> None:
    """Give every stream that wants it mean and deviation of the frames that are learnt from."""
    for name, front in network.stems.items():
        if isinstance(front, Front) and front.standardised:
            front.scale.fit_clips(learnt.streams[name])


def judge(network: DeepSER, rows: Rows) -> Said:
    """Every clip's answers on the CPU, in the order of the rows. Raises ValueError for a network in training mode."""
    if network.training:
        raise ValueError("clips are judged in eval mode: dropout, augmentation and MixUp belong to training")
    lengths = torch.tensor([sum(len(rows.streams[name][n]) for name in network.streams) for n in range(len(rows))])
    order = lengths.argsort(stable=True)
    with torch.no_grad():
        found = [network(rows.batch(part, network.streams).streams) for part in order.split(CHUNK)]
    back = order.argsort()
    return Said(*(torch.cat([getattr(f, name) for f in found]).cpu()[back] for name in Said._fields))
