"""From a finished run to a published graph, cut as evaluation chose, with its tokenizer, figures and limits."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from common.data.emotions import SETS
from common.errors import OperatorError
from common.export.parity import Bounds
from common.export.publish import finished, lineage, publish
from common.registry.cards import DRAFT, read_record
from common.registry.layout import Version
from common.registry.store import Repository
from common.text.features import TOKENIZER, read_tokenizer
from common.text.figures import Figures
from common.text.sample import limits, sampler
from common.training.run import METRICS, open_run
from contracts.models import Metric, ModelCard, TextInput
from contracts.runs import RunManifest
from contracts.text import TOKENS, text_signature
from vision_nlp.acn_text.config import Config
from vision_nlp.acn_text.evaluate import CUT, load_learner
from vision_nlp.acn_text.system import SYSTEM

CAVEATS = {
    "generated": ("Trained on texts made by rules: good for trying the machinery, for nothing else.",),
    "goemotions": (
        "Trained on public English Reddit comments written by users, in part offensive (GoEmotions): what it calls an "
        "emotion is what a few raters read into a short comment, and rare emotions are found badly or never.",
        "It has read nothing but these comments: other kinds of text, irony and rare words are beyond it. It is no "
        "basis for any decision about a person.",
    ),
}


def export(*, run: Path, models: Path) -> Version:
    """Publish the run's selected checkpoint, cut, e.g. as ``emotions-acn``.

    Raises OperatorError, and publishes nothing, when the run is not finished, was not evaluated, or parity fails.
    """
    manifest = finished(run)
    if not manifest.metrics:
        raise OperatorError(f"{run}: has no figures; first `kithara evaluate {SYSTEM.name} --run {run}`")
    figures = read_record(run / METRICS, Figures, f"evaluate the run again: `kithara evaluate {SYSTEM.name}`")
    tokenizer = run / TOKENIZER
    read_tokenizer(tokenizer)
    learner = load_learner(open_run(run, SYSTEM.name))
    draft = card(manifest, figures)
    return publish(
        learner.network.truncate(int(manifest.properties[CUT])),
        draft,
        run,
        Repository(models),
        sampler(learner.embed.vocabulary),
        bounds={TOKENS: Bounds(1, learner.embed.longest)},
        files={TOKENIZER: tokenizer.read_bytes()},
    )


def card(manifest: RunManifest, figures: Figures) -> ModelCard:
    """The draft of the card: everything but version, digests and the differences that parity finds."""
    config = msgspec.convert(manifest.config, Config)
    model, kept = config.model, int(manifest.properties[CUT])
    return ModelCard(
        **DRAFT,
        name=name(config),
        system=manifest.system,
        task="text-classification",
        paper=SYSTEM.paper,
        description=f"Names the emotions in a text ({config.data.name}, {len(figures.labels)} labels, zero, one or "
        f"several may apply): the first {kept} of the {model.layers} blocks of a text encoder of width {model.width} "
        f"in mode {model.mode}",
        use=SETS[config.data.name].use,
        signature=text_signature(len(figures.labels)),
        labels=figures.labels,
        text=TextInput(tokenizer=TOKENIZER, max_tokens=config.tokens.longest),
        thresholds=figures.thresholds,
        limits=limits(config.tokens.longest),
        metrics=manifest.metrics,
        properties=manifest.properties,
        caveats=(*CAVEATS[config.data.name], rival(manifest.metrics)),
        lineage=lineage(manifest),
    )


def name(config: Config) -> str:
    """Under which an encoder is published."""
    made = "generated-" if config.data.name == "generated" else ""
    return f"{made}emotions-{config.model.mode.replace('_', '-')}"


def rival(metrics: Sequence[Metric]) -> str:
    """The sentence without which the figures of an encoder say little."""
    ours, words = (
        next(m.value for m in metrics if (m.name, m.split) == (figure, "test"))
        for figure in ("micro_f1", "bag_of_words_micro_f1")
    )
    return (
        f"A bag of words with a logistic regression, minutes of one core at most, reaches micro-F1 {words:.3f} on the "
        f"same texts; this encoder {ours:.3f}."
    )
