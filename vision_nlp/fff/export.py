"""From a finished run to a published graph: hard routing only, proved equal to torch, with its figures and caveats."""

from pathlib import Path

import msgspec
import numpy as np

from common.data.images import SETS
from common.errors import OperatorError
from common.export.parity import Sample
from common.export.publish import finished, lineage, publish
from common.registry.cards import DRAFT
from common.registry.layout import Version
from common.registry.store import Repository
from common.training.run import open_run
from contracts.models import Limits, ModelCard
from contracts.runs import RunManifest
from contracts.vision_nlp import fff_signature
from vision_nlp.fff.config import Config
from vision_nlp.fff.evaluate import load_model
from vision_nlp.fff.hard import HardFFF, Routing
from vision_nlp.fff.system import SYSTEM
from vision_nlp.pictures import image_input

TIE = 1e-5
"""Rows with a node logit smaller than this may take the other path in another engine: they are left out of parity."""
GATHER_BYTES = 64 * 1024 * 1024
"""Memory that the gathered leaves of one execution may take."""
MOST_ROWS = 1024
FIGURES = (("accuracy", "test"), ("accuracy_soft", "test"), ("accuracy", "train"), ("accuracy_soft", "train"))
"""What the card must hold; ``accuracy`` is under hard routing, as served."""


def export(*, run: Path, models: Path, routing: Routing | None = None) -> Version:
    """Publish the run's selected checkpoint under hard routing as ``fff-<dataset>``.

    Raises OperatorError, and publishes nothing, when the run is not finished, was not evaluated, or parity fails.
    """
    manifest = finished(run)
    evaluated = {(metric.name, metric.split) for metric in manifest.metrics}
    missing = [f"{split} {name}" for name, split in FIGURES if (name, split) not in evaluated]
    if missing:
        raise OperatorError(f"{run}: no {', '.join(missing)}; first `kithara evaluate {SYSTEM.name} --run {run}`")
    # HardFFF has no soft forward: what is exported cannot be the mixture by mistake.
    hard = HardFFF(load_model(open_run(run, SYSTEM.name)).weights(), routing)
    return publish(hard, card(manifest, hard), run, Repository(models), sampler(hard), exempt=tied)


def card(manifest: RunManifest, hard: HardFFF) -> ModelCard:
    """The draft of the card: everything but version, digests and the differences that parity finds."""
    config = msgspec.convert(manifest.config, Config)
    known, title = SETS[config.data.name], config.data.name.replace("_", " ")
    image = image_input(config.data, known)
    leaves, width, inputs = hard.w1.shape
    outputs, master = hard.b2.shape[1], config.model.master_width
    mac = hard.depth * inputs + (width + master) * (inputs + outputs)
    return ModelCard(
        **DRAFT,
        name=f"fff-{config.data.name.replace('_', '-')}",
        system=manifest.system,
        task="image-classification",
        paper="arXiv 2405.16836 (load balancing, master leaf) on arXiv 2308.14711 (fast feedforward networks)",
        description=f"Fast feedforward network on {title}: {hard.depth} hard decisions lead to one of {leaves} leaves "
        f"of width {width}" + (f"; a master leaf of width {master} always runs" if master else ""),
        use=known.use,
        signature=fff_signature(inputs, outputs),
        labels=known.labels,
        image=image,
        limits=Limits(max_rows=max_rows(hard), max_cost=MOST_ROWS),
        metrics=manifest.metrics,
        properties={**manifest.properties, "mac": mac, "routing": hard.routing},
        caveats=(
            f"A dense network of width {round(mac / (inputs + outputs))} costs as much per picture: it is the honest "
            "rival, and at this size no slower.",
            f"Trained on {title} only: {image.height} x {image.width} grey pictures of one centred thing, light on a "
            f"{image.ground} ground. Anything else gets a confident, meaningless label.",
            "Decisions are discontinuous: near path_margin 0, a slightly different picture reaches another leaf.",
        ),
        lineage=lineage(manifest),
    )


def max_rows(hard: HardFFF) -> int:
    """Rows of one execution: each gathers l * (I + O) floats of leaf weights (specification, section 7)."""
    _, width, inputs = hard.w1.shape
    return max(1, min(MOST_ROWS, GATHER_BYTES // (4 * width * (inputs + hard.b2.shape[1]))))


def sampler(hard: HardFFF) -> Sample:
    """Normal pixels: unlike pictures, they spread over the leaves of any tree."""
    inputs = hard.w1.shape[2]

    def sample(sizes: dict[str, int]) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sizes["batch"])
        return {"pixels": rng.standard_normal((sizes["batch"], inputs), dtype=np.float32)}

    return sample


def tied(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Rows that parity leaves out; bool (batch,)."""
    return outputs["path_margin"] < TIE
