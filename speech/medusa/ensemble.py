"""All members and what makes one answer of theirs, as one graph from frames and tokens (section 5, ONNX)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.errors import OperatorError
from common.registry.cards import read_record
from common.training import checkpoint
from common.training.run import Run
from contracts._base import Record
from contracts.speech import FRAMES, FUNCTIONALS, IDS
from speech.medusa import members
from speech.medusa.config import ATTRIBUTES, Config
from speech.medusa.meta import META, LinearMeta, Vote, answers
from speech.medusa.model import DeepSER, Judged, Padded
from speech.medusa.rows import Sets
from speech.medusa.sources import reads
from speech.medusa.streams import read_sources
from speech.medusa.system import SYSTEM

CARD, WEIGHTS = "ensemble.json", "meta.safetensors"


class EnsembleCard(Record, frozen=True, kw_only=True):
    """``ensemble.json``: what the answers mean, and which members give them."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...] = ATTRIBUTES
    judged: bool
    members: tuple[str, ...]
    """Folders of their runs, relative to that of the ensemble, in the order of the meta-classifier's inputs."""
    streams: dict[str, str]
    """What made each stream of any member."""
    meta_rows: str
    """Which answers the meta-classifier learnt from."""
    temperature: float
    """The logits are divided by it for calibrated probabilities."""
    calibrated_on: str


class Ensemble(nn.Module):
    """From frames, and token ids where a stream reads them, to logits, attributes where learnt, and an embedding.

    Every in-project stream is computed once, whoever reads it. The embedding is that of all members, one after another.
    """

    def __init__(
        self, sources: nn.ModuleDict | Mapping[str, nn.Module], members: Sequence[DeepSER], meta: Vote | LinearMeta
    ) -> None:
        """Raises OperatorError for a stream that no source gives: it comes from outside the graph."""
        super().__init__()
        if outside := sorted({name for member in members for name in member.streams} - sources.keys()):
            raise OperatorError(
                f"streams {', '.join(outside)} come from published encoders, which are no part of the graph: such an "
                "ensemble trains and evaluates, but is not served; train one of in-project streams"
            )
        self.sources = nn.ModuleDict(dict(sources.items()))
        self.members = nn.ModuleList(members)
        # Not `meta`: the exporter gives every module an attribute of that name.
        self.last = meta

    @property
    def text(self) -> bool:
        """Whether it reads tokens."""
        return any(reads(source) == IDS for source in self.sources.values())

    @property
    def described(self) -> bool:
        """Whether it takes functionals."""
        return any(reads(source) == FUNCTIONALS for source in self.sources.values())

    @property
    def judged(self) -> bool:
        """Whether it answers with attributes."""
        return self.last.judged

    @property
    def classes(self) -> int:
        return self.last.classes

    @property
    def width(self) -> int:
        """Of the embedding."""
        return sum(cast(DeepSER, member).join.out_features for member in self.members)

    def forward(
        self,
        frames: Float[Tensor, "batch frames features"],
        frames_mask: Bool[Tensor, "batch frames"],
        third: Tensor | None = None,
        fourth: Tensor | None = None,
        fifth: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """As ``emotion_signature`` names them: logits, attributes where they were learnt, embedding.

        The others come in the signature's order too: ids and ids_mask (batch, tokens) where it reads tokens,
        functionals (batch, dim) where it takes them. (The exporter knows positions alone.)
        """
        more = [tensor for tensor in (third, fourth, fifth) if tensor is not None]
        given = {FRAMES: (Padded(frames, frames_mask),), IDS: more[:2] if self.text else (), FUNCTIONALS: more[-1:]}
        streams = {name: source(*given[reads(source)]) for name, source in self.sources.items()}
        judged: list[Judged] = [member(streams) for member in self.members]
        logits, attributes = self.last(answers([(one.logits, one.attributes) for one in judged], self.judged))
        embedding = torch.cat([one.embedding for one in judged], 1)
        return (logits, embedding) if attributes is None else (logits, attributes, embedding)


class Trained(NamedTuple):
    """A finished ensemble in eval mode on the CPU."""

    card: EnsembleCard
    members: tuple[DeepSER, ...]
    meta: Vote | LinearMeta
    runs: tuple[LinearMeta, ...]
    """The single runs behind the averaged meta-classifier; none behind a vote."""


def load(run: Run, config: Config) -> Trained:
    """Read and check every part. Raises OperatorError for a run that is not finished, and where a member and the
    ensemble, or the ensemble and this code, disagree about the order of classes or attributes, or about a stream."""
    if run.manifest.status != "finished":
        raise OperatorError(f"{run.folder}: is not finished; `kithara train {SYSTEM.name} --resume` goes on with it")
    card = read_card(run.folder)
    members = tuple(read_checked(run.folder / name, card, config) for name in card.members)
    kept, size = checkpoint.read(run.folder / WEIGHTS), (len(members), len(card.classes), card.judged)
    meta = META[config.meta.kind](*size)
    meta.load_state_dict(kept.part("soup"))
    runs = []
    for number in range(config.meta.runs if config.meta.kind == "linear" else 0):
        runs.append(LinearMeta(*size).eval())
        runs[-1].load_state_dict(kept.part(f"run{number}"))
    return Trained(card, members, meta.eval(), tuple(runs))


def read_card(folder: Path) -> EnsembleCard:
    """Raises OperatorError where it is missing, broken, or of another order of the attributes."""
    card = read_record(folder / CARD, EnsembleCard, "train the ensemble again")
    if card.attributes != ATTRIBUTES:
        raise OperatorError(
            f"{folder / CARD}: attributes are {', '.join(card.attributes)}, here they are {', '.join(ATTRIBUTES)}; "
            "train the ensemble again"
        )
    return card


def same_meaning(card: EnsembleCard, sets: Sets) -> None:
    """Raises OperatorError where data and ensemble differ in the order of the classes or in what made a stream."""
    if card.classes != sets.classes:
        raise OperatorError(
            f"the ensemble's classes are {', '.join(card.classes)}, those of the data {', '.join(sets.classes)}; "
            "give the data that it was trained on"
        )
    for name, made in card.streams.items():
        if sets.keys.get(name) != made:
            raise OperatorError(
                f"stream {name}: the ensemble learnt from {made!r}, this is {sets.keys.get(name)!r}; give the same "
                "encoder in the same revision"
            )


def read_checked(folder: Path, card: EnsembleCard, config: Config) -> DeepSER:
    """A member that means by its numbers what the ensemble means. Raises OperatorError."""
    member = members.read_card(folder)
    streams = {name: card.streams.get(name, "missing") for name in member.streams}
    for what, theirs, ours in (
        ("classes", member.classes, card.classes),
        ("streams", member.streams, streams),
        ("judged", member.judged, card.judged),
    ):
        if theirs != ours:
            raise OperatorError(
                f"{folder}: {what} of the member are {theirs}, of the ensemble {ours}; their numbers mean different "
                "things. Put the member of this run back, or train again"
            )
    return members.read(folder, config)


def graph(run: Run, config: Config) -> Ensemble:
    """What is exported. Raises OperatorError as ``load`` and ``Ensemble`` do."""
    trained = load(run, config)
    return Ensemble(read_sources(config, run.folder).sources, trained.members, trained.meta).eval()
