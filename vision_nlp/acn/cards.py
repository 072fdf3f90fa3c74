"""What is said of a published auto-compressing network and of its stages."""

from collections.abc import Sequence

from common.data.images import SETS
from common.export.publish import lineage
from common.registry.cards import DRAFT
from contracts.models import Limits, Metric, ModelCard
from contracts.runs import RunManifest
from contracts.vision_nlp import acn_signature
from vision_nlp.acn.config import Config, Model
from vision_nlp.acn.evaluate import Figures
from vision_nlp.acn.stages import Piece
from vision_nlp.pictures import image_input, shape

PAPER = "arXiv 2506.09714 (auto-compressing networks)"
ACTIVATION_BYTES = 64 * 1024 * 1024
"""Memory that the activations of one execution may take."""
MOST_ROWS = 256
"""More rows in one execution are no faster per row."""


def name(config: Config) -> str:
    """Of the whole network."""
    return f"acn-{config.data.name.replace('_', '-')}"


def stage_card(manifest: RunManifest, config: Config, figures: Figures, piece: Piece) -> ModelCard:
    """The draft of a stage's card; its figures are those of the network up to where it ends."""
    depth = figures.depths[piece.depth]
    tested = next(metric for metric in manifest.metrics if metric.split == "test")
    metric = Metric(name="accuracy", split="test", value=depth.test, n=tested.n, interval=depth.test_interval)
    tokens = piece.signature.outputs[1].dims[1]
    assert isinstance(tokens, int), "a stage has a fixed number of tokens"
    return ModelCard(
        **DRAFT,
        name=f"{name(config)}-to-{piece.depth}",
        system=manifest.system,
        task="network-stage",
        paper=PAPER,
        description=f"Blocks {piece.start + 1} to {piece.depth} of {name(config)} and the shared head",
        use=SETS[config.data.name].use,
        signature=piece.signature,
        labels=SETS[config.data.name].labels,
        limits=Limits(max_rows=max_rows(config.model, tokens), max_cost=MOST_ROWS),
        metrics=(metric,),
        properties={"blocks_before": piece.start, "blocks_after": piece.depth},
        caveats=(
            f"A piece of {name(config)}: it answers through that model's depth and exit_entropy, and its blocks fit no "
            "other version.",
        ),
        lineage=lineage(manifest),
    )


def whole_card(manifest: RunManifest, config: Config, figures: Figures, limits: Limits) -> ModelCard:
    """The draft of the whole network's card, with the limits of its stages; these are named once they are published."""
    known, model = SETS[config.data.name], config.model
    channels, height, width = shape(known)
    return ModelCard(
        **DRAFT,
        name=name(config),
        system=manifest.system,
        task="image-classification",
        paper=PAPER,
        description=f"Auto-compressing {model.backbone} on {_title(config)}: {model.layers} blocks of width "
        f"{model.width}, each added straight to the output; may stop after {_listed(config.leaves)}",
        use=known.use,
        signature=acn_signature(channels * height * width, len(known.labels)),
        labels=known.labels,
        image=image_input(config.data, known),
        limits=limits,
        metrics=manifest.metrics,
        properties=manifest.properties,
        caveats=_caveats(config, figures),
        lineage=lineage(manifest),
    )


def max_rows(model: Model, tokens: int) -> int:
    """Rows whose activations of one block fit ACTIVATION_BYTES, at most MOST_ROWS."""
    # Input, sum, normalised and mixed tokens, then the hidden layers; for vit queries, keys, values and scores too.
    floats = tokens * (4 * model.width + model.channel_width)
    if model.backbone == "mixer":
        floats += model.width * model.token_width
    if model.backbone == "vit":
        floats += tokens * (3 * model.width + model.heads * tokens)
    return max(1, min(MOST_ROWS, ACTIVATION_BYTES // (4 * floats)))


def _caveats(config: Config, figures: Figures) -> tuple[str, ...]:
    image, layers = image_input(config.data, SETS[config.data.name]), config.model.layers
    cut, early = figures.cut, figures.chosen_test
    return (
        f"Cut to {cut.depth} of {layers} blocks it keeps its accuracy within {cut.tolerance:g} points on validation "
        "rows. That is compression only where a network of that depth, trained from the start at equal cost, does "
        "worse: `kithara claims acn` measures both.",
        f"With exit_entropy {early.entropy:g}, chosen on validation rows, a test picture runs {early.mean_depth:.1f} "
        f"of {layers} blocks on average. Entropy is no calibrated confidence: a picture unlike the training set may "
        "leave early with a wrong label.",
        f"Trained on {_title(config)} only: {image.height} x {image.width} pictures of one centred thing on a "
        f"{image.ground} ground. Anything else gets a confident, meaningless label.",
    )


def _title(config: Config) -> str:
    return config.data.name.replace("_", " ")


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths))
