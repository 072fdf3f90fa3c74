"""From a finished, evaluated run to a published embedding of sound, proved equal to torch, with figures and limits."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from common.errors import OperatorError
from common.export.parity import Sample
from common.export.publish import finished, lineage, publish
from common.registry.cards import DRAFT, read_record
from common.registry.layout import Version
from common.registry.store import Repository
from common.training.run import METRICS, open_run
from contracts.models import AudioInput, Limits, Metric, ModelCard
from contracts.music_fewshot import MODEL, clip_signature
from contracts.runs import RunManifest
from music_fewshot.lc_protonets.config import Config
from music_fewshot.lc_protonets.evaluate import Figures, load_model
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.lc_protonets.system import SYSTEM

MAX_ROWS = 4
"""Of one execution. The first block of the published size holds 128 maps of 128 x 230 numbers, 15 MB a row, several
times over; more rows at once are no faster on a CPU."""
RELATIVE = 1e-5
"""Of the largest number in an embedding: as close as another engine comes in float32. Below an embedding of 10 the
usual 1e-4 holds."""
CARD_RULES = ("lcp", "ml_pn", "blend", "all_ones")
"""Rules whose figures stand on the card; metrics.json of the run has them all."""


def export(*, run: Path, models: Path) -> Version:
    """Publish the run's selected checkpoint as ``music-embedding``.

    Raises OperatorError, and publishes nothing, when the run is not finished, was not evaluated, embeds anything but
    sound, or parity fails.
    """
    manifest = finished(run)
    model = load_model(open_run(run, SYSTEM.name))
    if model.kind != "waveform":
        raise OperatorError(f"{run}: embeds {model.kind}, not sound; only embeddings of sound are served")
    if not manifest.metrics:
        raise OperatorError(f"{run}: has no figures; first `kithara evaluate {SYSTEM.name} --run {run}`")
    figures = read_record(run / METRICS, Figures, f"evaluate the run again: `kithara evaluate {SYSTEM.name}`")
    return publish(model, card(manifest, figures, model), run, Repository(models), sampler(model))


def card(manifest: RunManifest, figures: Figures, model: Embedder) -> ModelCard:
    """The draft of the card: everything but version, digests and the differences that parity finds."""
    config = msgspec.convert(manifest.config, Config)
    window, rate, dimensions = int(model.shape), config.model.sample_rate, config.model.dimensions
    return ModelCard(
        **DRAFT,
        name=MODEL,
        system=manifest.system,
        task="music-embedding",
        paper="arXiv 2409.11264 (LC-Protonets)",
        description=f"Embedding of {window / rate:.2f} s of music in {dimensions} numbers for few-shot tagging: mel "
        f"spectrogram, {len(config.model.channels)} convolution blocks, one linear layer; trained on "
        f"{' and '.join(source.name for source in manifest.data)}",
        use=figures.use,
        signature=clip_signature(window, dimensions),
        labels=(),
        audio=AudioInput(sample_rate=rate, window=window),
        limits=Limits(max_rows=MAX_ROWS),
        metrics=tuple(_told(manifest)),
        properties=manifest.properties,
        caveats=tuple(caveats(manifest, figures)),
        lineage=lineage(manifest),
        golden_tolerance=max(1e-4, RELATIVE * figures.largest),
    )


def caveats(manifest: RunManifest, figures: Figures) -> Iterator[str]:
    """What the embedding is not good for, with the figures that show it."""
    names = {source.name for source in manifest.data}
    if "generated" in names:
        yield "Trained on tones made by rules: good for trying the machinery, for nothing else."
    if "rendered" in names:
        yield (
            "Trained on scores played by a synthesiser from one set of samples: instruments, families and texture, "
            "without rooms, voices, noise or a performer. Recordings sound otherwise; test it on your own before you "
            "rely on it."
        )
    found = {(metric.name, metric.split): metric.value for metric in manifest.metrics}
    widest = next(task for task in reversed(figures.tasks) if task.choice != "base")
    split = f"{widest.choice}-{widest.ways}"
    blend, lcp, ones = (found[f"{rule}_macro_f1", split] for rule in ("blend", "lcp", "all_ones"))
    yield (
        f"{figures.shots} clips a tag, {widest.ways} tags ({widest.choice}): macro-F1 {blend:.3f} by the default rule, "
        f"{lcp:.3f} by the paper's, {ones:.3f} by naming every tag. Similarities are no probabilities."
    )
    yield "A clip is the mean of its windows: what happens once in a long recording is averaged away."


def sampler(model: Embedder) -> Sample:
    """Sound as a decoder gives it, in steps of 1/32768: noise from loud to faint, tones, a click, silence.

    Steps, because below them there is nothing to compare: the power of a pure tone far from its pitch is rounding
    error, which no two engines share, and the logarithm would make it large.
    """
    window = int(model.shape)

    def sample(sizes: dict[str, int]) -> dict[str, np.ndarray]:
        rows = sizes["batch"]
        rng = np.random.default_rng(rows)
        t = np.arange(window)
        noise = rng.standard_normal((rows, window)) * np.logspace(-0.7, -3.5, rows)[:, None]
        pitches = rng.uniform(0.005, 0.5, (rows, 1)) * 2
        sound = noise + 0.3 * np.sin(pitches * t) * (np.arange(rows) % 2)[:, None]
        if rows > 2:
            sound[-1] = 0.0
            sound[-2, window // 2] = 0.9
        return {"waveform": (np.rint(np.clip(sound, -1, 1) * 32767) / 32768).astype(np.float32)}

    return sample


def _told(manifest: RunManifest) -> Iterator[Metric]:
    prefixes = tuple(f"{rule}_" for rule in CARD_RULES)
    return (metric for metric in manifest.metrics if metric.name.startswith(prefixes) or metric.name == "true")
