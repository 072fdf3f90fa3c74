"""From a finished run to published graphs: the network in stages, then the whole, each proved equal to torch."""

import math
import tempfile
from pathlib import Path

import msgspec

from common.data.images import SETS
from common.errors import OperatorError, Unknown
from common.export.publish import finished, publish
from common.registry.cards import read_record
from common.registry.layout import Version
from common.registry.store import Repository
from common.training.run import METRICS, open_run
from contracts.models import ModelCard, Stage
from vision_nlp.acn.cards import stage_card, whole_card
from vision_nlp.acn.config import Config
from vision_nlp.acn.evaluate import Figures, load_model
from vision_nlp.acn.stages import chain, pictures, pieces
from vision_nlp.acn.system import SYSTEM
from vision_nlp.pictures import shape

PUBLISHED = ("acn", "acn_dg")
"""Modes that are published: the others are baselines, and between their blocks travels something else."""


def export(*, run: Path, models: Path) -> Version:
    """Publish the run's selected checkpoint: ``acn-<dataset>-to-<k>`` for every exit, then the whole ``acn-<dataset>``.

    Everything is exported and proved in a scratch repository first. Raises OperatorError, and publishes nothing, when
    the run is not finished, was not evaluated or is of a baseline, when parity fails, and when an earlier version of
    any of the models has another signature.
    """
    manifest = finished(run)
    config = msgspec.convert(manifest.config, Config)
    if config.model.mode not in PUBLISHED:
        raise OperatorError(f"{run}: mode {config.model.mode} is a baseline; train with mode {' or '.join(PUBLISHED)}")
    if not manifest.metrics:
        raise OperatorError(f"{run}: has no figures; first `kithara evaluate {SYSTEM.name} --run {run}`")
    figures = read_record(run / METRICS, Figures, f"evaluate the run again: `kithara evaluate {SYSTEM.name}`")
    network = load_model(open_run(run, SYSTEM.name))
    pixels, depths, repository = math.prod(shape(SETS[config.data.name])), config.leaves, Repository(models)
    cut = list(pieces(network, depths, pixels))
    cards = [stage_card(manifest, config, figures, piece) for piece in cut]
    whole_draft = whole_card(manifest, config, figures, cards[0].limits)
    for draft in (*cards, whole_draft):
        _require_same_signature(repository, draft)
    with tempfile.TemporaryDirectory(prefix="kithara-acn-") as folder:
        scratch = Repository(Path(folder))
        stages = [
            publish(piece.module, draft, run, scratch, piece.sample) for piece, draft in zip(cut, cards, strict=True)
        ]
        whole = publish(network, whole_draft, run, scratch, pictures(pixels))
        measured = chain(network, [stage.graph for stage in stages], whole.graph, depths, pixels)
        return _publish(repository, stages, whole, depths, measured)


def _publish(
    repository: Repository, stages: list[Version], whole: Version, depths: tuple[int, ...], measured: dict[str, float]
) -> Version:
    """Copy what was proved; the whole last, so that every version of it finds its stages."""
    there = [repository.publish(_sized(stage, {}), stage.graph, stage.golden) for stage in stages]
    named = tuple(
        Stage(model=stage.card.name, version=stage.card.version, depth=depth)
        for stage, depth in zip(there, depths, strict=True)
    )
    card = msgspec.structs.replace(_sized(whole, measured), stages=named)
    return repository.publish(card, whole.graph, whole.golden)


def _sized(version: Version, more: dict[str, float]) -> ModelCard:
    size = version.graph.stat().st_size
    return msgspec.structs.replace(version.card, properties={**version.card.properties, **more, "graph_bytes": size})


def _require_same_signature(repository: Repository, draft: ModelCard) -> None:
    try:
        newest = repository.versions(draft.name)[-1]
    except Unknown:
        return
    before = repository.load(draft.name, newest).card
    if before.signature != draft.signature:
        raise OperatorError(
            f"{draft.name}: takes or gives other tensors than version {before.version}, so nothing was published; "
            "train with the same width and exits, or publish into another repository with --models"
        )
