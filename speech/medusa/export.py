"""From a finished, evaluated ensemble to one published graph, with figures, limits and caveats."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.audio.frames import FRONT_END
from common.audio.functionals import NAME as DESCRIPTION
from common.errors import OperatorError
from common.export.parity import Bounds
from common.export.publish import finished, lineage, publish
from common.registry.cards import DRAFT, read_record
from common.registry.layout import Version
from common.registry.store import Repository
from common.text.features import TOKENIZER, read_tokenizer
from common.training.run import METRICS, open_run
from contracts.models import Metric, ModelCard, SpeechInput, TextInput
from contracts.runs import RunManifest
from contracts.speech import FRAMES, MODEL
from contracts.text import TOKENS
from speech.inputs import signature
from speech.medusa.config import Config
from speech.medusa.ensemble import Ensemble, EnsembleCard, graph, read_card
from speech.medusa.figures import Figures
from speech.medusa.sizes import Sizes, sampler, sizes
from speech.medusa.streams import LONGEST_TEXT
from speech.medusa.system import SYSTEM

STARTER = "emodb"
"""The data set whose ensembles bear the plain name."""
GOLDEN_SECONDS = 3.0
"""Of the recordings whose answers are kept with the graph: longer ones would fill megabytes."""
LEFT_OUT = ("member_", "hard_vote_", "meta_run_")
"""Figures that metrics.json has and the card has not."""
CAVEATS = {
    "synthetic": "Trained on made features that are no speech: good for trying the machinery, for nothing else.",
    "espeak": "Trained on a speech synthesiser that follows rules: good for trying the machinery, for nothing else.",
    "emodb": "Ten German actors played these emotions on ten sentences, and what listeners did not recognise is not in "
    "the set (EmoDB); what its listeners heard instead is not known. Feelings that nobody plays, other languages, "
    "telephones, rooms and noise were not heard.",
    "ravdess": "24 North American actors played these emotions on two English sentences (RAVDESS). Feelings that "
    "nobody plays, other languages and noise were not heard.",
    "nemo": "Nine Polish actors played these emotions (nEMO). Feelings that nobody plays, other languages and noise "
    "were not heard.",
    "msp_podcast": "Trained on English podcasts and on what a few listeners heard in each clip (MSP-Podcast): contempt "
    "and fear are found badly.",
}
"""By data set."""
USES = (
    "What it answers is how a voice sounds, not what a person feels. It is no basis for a decision about anybody: not "
    "for clinical use, not in hiring or at work, not behind the back of whoever speaks."
)
ONE_LABEL = (
    "It learnt one label a recording, not the votes of listeners: the entropy says how certain it is, not how far "
    "listeners would disagree."
)


def export(*, run: Path, models: Path) -> Version:
    """Publish the ensemble as ``speech-emotion``, or under that name and its data set's.

    Raises OperatorError, and publishes nothing, when the run is not finished, was not evaluated, or has streams of
    published encoders, when its parts disagree about classes or streams, or parity fails.
    """
    manifest = finished(run)
    if not manifest.metrics:
        raise OperatorError(f"{run}: has no figures; first `kithara evaluate {SYSTEM.name} --run {run}`")
    figures = read_record(run / METRICS, Figures, f"evaluate the run again: `kithara evaluate {SYSTEM.name}`")
    config, made = msgspec.convert(manifest.config, Config), read_card(run)
    if figures.classes != made.classes or figures.judged != made.judged:
        raise OperatorError(
            f"{run / METRICS}: is about the classes {', '.join(figures.classes)}, the ensemble knows "
            f"{', '.join(made.classes)}; evaluate the run again"
        )
    model = graph(open_run(run, SYSTEM.name), config)
    files, vocabulary = {}, 0
    if model.text:
        vocabulary = read_tokenizer(run / TOKENIZER).get_vocab_size()
        files = {TOKENIZER: (run / TOKENIZER).read_bytes()}
    fitting = sizes(model, config.model.heads, LONGEST_TEXT)
    return publish(
        model,
        card(manifest, figures, made, model, fitting),
        run,
        Repository(models),
        sampler(vocabulary, described=model.described),
        bounds={FRAMES: Bounds(1, fitting.frames)} | ({TOKENS: Bounds(1, LONGEST_TEXT)} if model.text else {}),
        golden={FRAMES: fitting.golden(GOLDEN_SECONDS), TOKENS: LONGEST_TEXT},
        files=files,
    )


def card(manifest: RunManifest, figures: Figures, made: EnsembleCard, model: Ensemble, fitting: Sizes) -> ModelCard:
    """The draft of the card: everything but version, digests and the differences that parity finds."""
    config = msgspec.convert(manifest.config, Config)
    return ModelCard(
        **DRAFT,
        name=name(config),
        system=manifest.system,
        task="speech-emotion",
        paper=f"{SYSTEM.paper} (MEDUSA)",
        description=f"Names the emotion in a voice ({config.data.name}, {len(made.classes)} labels): one answer made "
        f"of those of {len(made.members)} members, which fuse the streams {', '.join(made.streams)}",
        use=figures.use,
        signature=signature(
            len(made.classes), model.width, attributes=model.judged, text=model.text, whole=model.described
        ),
        labels=made.classes,
        text=TextInput(tokenizer=TOKENIZER, max_tokens=LONGEST_TEXT) if model.text else None,
        speech=SpeechInput(
            front_end=FRONT_END,
            functionals=DESCRIPTION if model.described else None,
            longest=fitting.longest,
            attributes=model.judged,
            temperature=made.temperature,
        ),
        limits=fitting.limits,
        metrics=tuple(told(manifest)),
        properties=manifest.properties,
        caveats=tuple(caveats(config, figures)),
        lineage=lineage(manifest),
    )


def name(config: Config) -> str:
    """Under which an ensemble is published."""
    data = config.data.name
    return MODEL if data == STARTER else f"{MODEL}-{data.replace('_', '-')}"


def told(manifest: RunManifest) -> Iterator[Metric]:
    """The figures of the ensemble itself, and of the soft vote beside it."""
    return (m for m in manifest.metrics if m.split == "test" and not m.name.startswith(LEFT_OUT))


def caveats(config: Config, figures: Figures) -> Iterator[str]:
    """What the ensemble is not good for."""
    yield CAVEATS[config.data.name]
    yield USES
    if not figures.soft:
        yield ONE_LABEL
    if not figures.judged:
        yield "It tells neither arousal nor valence nor dominance: nobody judged them for its data."
