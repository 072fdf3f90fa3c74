"""Model cards, limits, and what the service says about its models."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from contracts._base import Name, Positive, Probability, Record, Seconds, Sha256
from contracts.tensors import Signature

Use = Literal["open", "research"]
"""``open``: data and weights may be used by anybody. ``research``: the training data restrict use to research."""


class Limits(Record, frozen=True, kw_only=True):
    """How much of a model one process serves at once. Every limit is a number; none means 'unbounded'."""

    max_rows: Positive = 64
    """Rows in one execution, and in one request."""
    max_cost: Positive = 65_536
    """Budget of one execution: rows times the padded sizes of the dynamic dimensions (frames, tokens)."""
    queue: Positive = 256
    """Requests that wait. One more is refused at once (503 and Retry-After)."""
    deadline: Seconds = 5.0
    """A request that gets no answer within it is given up (504); the caller may ask for less, not more."""


class ImageInput(Record, frozen=True, kw_only=True):
    """From an image of any size to the graph's input: grey or RGB, resized, scaled to [0, 1], (x - mean) / std."""

    height: Positive
    width: Positive
    channels: Literal[1, 3]
    mean: float = 0.0
    std: Annotated[float, Meta(gt=0)] = 1.0
    ground: Literal["dark", "light"] = "dark"
    """The background the model was trained on; an image on the other ground is posted with ``invert=true``."""


FileName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\.[a-z0-9]{1,8}$")]
"""A plain file beside a graph: one name, one ending, no folder."""


class TextInput(Record, frozen=True, kw_only=True):
    """From a text to the graph's ``ids`` and ``mask``."""

    tokenizer: FileName
    """One of the card's ``files``: a JSON file of the ``tokenizers`` library."""
    max_tokens: Positive
    """Of one text; what follows is not read."""


class AudioInput(Record, frozen=True, kw_only=True):
    """From a clip of any length to the graph's rows: mono, resampled, cut into windows without overlap.

    What does not fill a last window is dropped; a clip shorter than one window is repeated until it fills one. The mean
    over the windows stands for the clip.
    """

    sample_rate: Positive
    window: Positive
    """Samples."""


class SpeechInput(Record, frozen=True, kw_only=True):
    """From a recording to the graph's ``frames`` and ``frames_mask``: mono at 16 kHz, 10 ms a frame.

    A recording longer than ``longest`` is cut into equal pieces without overlap; their probabilities, weighted by
    length, stand for it.
    """

    front_end: Literal["speech-frames-1"]
    """Names the code that makes the frames (``common.audio.frames``): whatever changes a number gets a new name."""
    functionals: Literal["speech-functionals-1"] | None = None
    """Names the code that describes a whole row (``common.audio.functionals``); none: the graph takes no such input."""
    longest: Seconds
    """Of one row."""
    attributes: bool
    """Whether arousal, valence and dominance, in this order, were learnt."""
    temperature: Annotated[float, Meta(gt=0.0)]
    """The logits are divided by it for calibrated probabilities; fitted on held-out speech."""


class Stage(Record, frozen=True, kw_only=True):
    """One piece of a network whose rows may leave early: a model of its own that goes on where the one before ended."""

    model: Name
    version: Positive
    depth: Positive
    """Blocks that have run when it ends."""


class Interval(Record, frozen=True, kw_only=True):
    """A two-sided interval at ``level``."""

    low: float
    high: float
    level: Probability = 0.95


class Metric(Record, frozen=True, kw_only=True):
    """One figure of a model on one split, with its interval where one was computed."""

    name: str
    split: str
    value: float
    n: Positive
    """Items the figure rests on."""
    interval: Interval | None = None


class DataSource(Record, frozen=True, kw_only=True):
    """The data a model saw: which, under what licence, and the digest of the exact files."""

    name: str
    licence: str
    sha256: Sha256
    items: Positive


class Lineage(Record, frozen=True, kw_only=True):
    """Where a published version came from."""

    command: str
    """The command line that trained it."""
    run: str
    config: dict[str, Any]
    data: tuple[DataSource, ...]
    created: str
    """UTC, ISO 8601."""
    software: dict[str, str]


class ModelCard(Record, frozen=True, kw_only=True):
    """All that is known of one published version; ``card.json`` beside its graph, and ``GET /v1/models/{name}``."""

    name: Name
    version: Positive
    system: Name
    task: Literal["image-classification", "text-classification", "music-embedding", "network-stage", "speech-emotion"]
    paper: str
    description: str
    use: Use
    signature: Signature
    labels: tuple[str, ...]
    image: ImageInput | None = None
    text: TextInput | None = None
    audio: AudioInput | None = None
    speech: SpeechInput | None = None
    thresholds: tuple[Probability, ...] = ()
    """Where several labels or none may apply: the probability from which on each of ``labels`` does."""
    stages: tuple[Stage, ...] = ()
    """The same network in pieces, by rising depth: what answers when a depth or an early exit is asked for."""
    limits: Limits = Limits()
    metrics: tuple[Metric, ...]
    """Figures on the published test split."""
    properties: dict[str, float | int | str | bool] = {}
    """Figures that belong to the method, such as the soft-hard gap or the leaf usage."""
    caveats: tuple[str, ...]
    """What the model is not good for."""
    lineage: Lineage
    graph_sha256: Sha256
    golden_sha256: Sha256
    files: dict[FileName, Sha256] = {}
    """What else lies beside the graph and belongs to it, with its digests."""
    golden_tolerance: Annotated[float, Meta(gt=0)] = 1e-4
    """Largest absolute difference to the golden outputs that still counts as the same model."""


class ModelStatus(Record, frozen=True, kw_only=True):
    """Readiness of one model, with the reason when it is not ready."""

    ready: bool
    version: int | None
    reason: str | None = None


class Readiness(Record, frozen=True, kw_only=True):
    """``GET /readyz``: 200 when ``ready``, else 503 with the same body."""

    ready: bool
    reason: str | None = None
    models: dict[str, ModelStatus]


class Liveness(Record, frozen=True, kw_only=True):
    """``GET /livez``: the process runs its event loop."""

    alive: bool = True


class ModelSummary(Record, frozen=True, kw_only=True):
    """One line of ``GET /v1/models``."""

    name: str
    system: str
    task: str
    description: str
    use: Use
    version: int
    """The version that answers when a request names none."""
    versions: tuple[int, ...]
    aliases: dict[str, int]
    status: ModelStatus


class ModelList(Record, frozen=True, kw_only=True):
    """``GET /v1/models``."""

    models: tuple[ModelSummary, ...]


class ModelDetail(Record, frozen=True, kw_only=True):
    """``GET /v1/models/{name}``: the summary and the whole card of the current version."""

    summary: ModelSummary
    card: ModelCard
