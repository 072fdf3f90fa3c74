"""From a finished run to a published graph with its tokenizer, proved equal to torch, with its figures and limits."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

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
from llm_studies.reference.config import Config
from llm_studies.reference.data import SETS
from llm_studies.reference.evaluate import load_model
from llm_studies.reference.system import SYSTEM

ORIENTATION = (
    "For orientation only: a pre-trained encoder, Demux, is published with JS 0.661, micro-F1 0.702 and macro-F1 0.692 "
    "on these clusters (plotting scripts of arXiv 2403.17125; they do not state the texts)."
)
CAVEATS = {
    "generated": ("Trained on texts made by rules: good for trying the machinery, for nothing else.",),
    "goemotions": (
        "Trained on public English Reddit comments written by users, in part offensive (GoEmotions): what it calls "
        "an emotion is what a few raters read into a short comment.",
        "No pre-training: rare words, irony and other kinds of text are beyond it. It is no basis for any decision "
        "about a person.",
        ORIENTATION,
    ),
    "hs_brexit": (
        "Trained on 782 tweets about one subject, in part hateful: for research on disagreement between annotators, "
        "never for moderation.",
    ),
}


def export(*, run: Path, models: Path) -> Version:
    """Publish the run's selected checkpoint, e.g. as ``emotions-reference``.

    Raises OperatorError, and publishes nothing, when the run is not finished, was not evaluated, or parity fails.
    """
    manifest = finished(run)
    if not manifest.metrics:
        raise OperatorError(f"{run}: has no figures; first `kithara evaluate {SYSTEM.name} --run {run}`")
    figures = read_record(run / METRICS, Figures, f"evaluate the run again: `kithara evaluate {SYSTEM.name}`")
    tokenizer = run / TOKENIZER
    read_tokenizer(tokenizer)
    model = load_model(open_run(run, SYSTEM.name))
    return publish(
        model,
        card(manifest, figures),
        run,
        Repository(models),
        sampler(model.vocabulary),
        bounds={TOKENS: Bounds(1, model.longest)},
        files={TOKENIZER: tokenizer.read_bytes()},
    )


def card(manifest: RunManifest, figures: Figures) -> ModelCard:
    """The draft of the card: everything but version, digests and the differences that parity finds."""
    config = msgspec.convert(manifest.config, Config)
    known, annotator = SETS[config.data.name], config.data.annotator
    return ModelCard(
        **DRAFT,
        name=known.model if annotator == "aggregate" else f"{known.model}-{annotator.lower()}",
        system=manifest.system,
        task="text-classification",
        paper="arXiv 2210.15842 (Demux: label names as input), the supervised model of arXiv 2403.17125 and 2410.13776",
        description=f"Supervised reference of the in-context studies on {config.data.name} ({annotator} labels): a "
        f"{config.model.layers}-layer encoder of width {config.model.width} without pre-training reads the label names "
        "and the text; zero, one or several labels may apply",
        use=known.use,
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


def rival(metrics: Sequence[Metric]) -> str:
    """The sentence without which the figures of an encoder say little."""
    ours, words = (
        next(m.value for m in metrics if (m.name, m.split) == (name, "test"))
        for name in ("micro_f1", "bag_of_words_micro_f1")
    )
    return (
        f"A bag of words with a logistic regression, seconds of one core, reaches micro-F1 {words:.3f} on the same "
        f"texts; this encoder {ours:.3f}."
    )
