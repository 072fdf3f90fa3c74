"""Few-shot music tagging: tag sets made of a few labelled clips, clips tagged by them, and the graph behind both."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Probability, Record, Sha256
from contracts.media import MIB
from contracts.tensors import BATCH, Signature, Tensor

MAX_TAGS = 2_000
"""Different tags of one tag set."""
MAX_ITEMS = 10_000
"""Support clips of one tag set."""
MAX_ITEM_TAGS = 64
"""Tags on one clip."""
MAX_CLIPS = 60
"""Clips in one request."""
MAX_CLOSED_SETS = 50_000
"""Prototypes of one tag set: more are refused, or the tag set degrades as it was told to."""
MAX_UPLOAD = 64 * MIB
"""Bytes of all clips of one request."""
MAX_EXPORT = 64 * MIB
"""Bytes of an exported tag set."""

MODEL = "music-embedding"
"""Published name of the embedding that answers where none is named."""

TAG_SET_FILE = "application/octet-stream"
"""Media type of an exported tag set: a safetensors file whose metadata hold an ``ExportedTagSet`` as JSON."""

TagName = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^\S(?:[^\x00-\x1f\x7f]*\S)?$", examples=["violin"])
]
"""Printable, without white space at its ends; compared as it is."""
TagSetId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", examples=["0194c2f1b7d84e0f9a6b3c5d7e8f9012"])]
ItemId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", examples=["7e8f90120194c2f1b7d84e0f9a6b3c5d"])]
ClipName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["reel.flac"])]
"""Name of the form part that holds the clip."""
Similarity = Annotated[float, Meta(ge=-1.0, le=1.0)]
"""Cosine; no probability."""

Rule = Literal["lcp", "ml_pn", "topk", "threshold", "blend", "centred"]
"""How similarities become tags.

- ``lcp``: the labels of the nearest label combination (the rule of arXiv 2409.11264)
- ``ml_pn``: each tag whose prototype has a cosine above 0 (the paper's ML-PN; often every tag)
- ``topk``: the ``k`` tags with the nearest prototypes
- ``threshold``: each tag above the cosine that serves the support clips best when each is left out
- ``blend``: the ``k`` best by the mean of the tag's prototype and its best label combination (the default)
- ``centred``: as ``ml_pn``, after the mean of the support is taken from every embedding
"""

Overflow = Literal["refuse", "degrade"]
"""Above the limit of closed label sets: refuse the edit (422), or keep only the clips' label sets and single tags."""


class Decision(Record, frozen=True, kw_only=True):
    """How a tag set decides when a request names nothing else."""

    rule: Rule = "blend"
    k: Annotated[int, Meta(ge=1, le=MAX_TAGS)] | None = None
    """For ``topk`` and ``blend``; none: the rounded mean number of tags on a support clip."""
    threshold: Similarity | None = None
    """For ``threshold``; none: found on the support clips."""


class NewItem(Record, frozen=True, kw_only=True):
    """A clip of the form and its tags."""

    clip: ClipName
    tags: Annotated[tuple[TagName, ...], Meta(min_length=1, max_length=MAX_ITEM_TAGS)]


class NewItems(Record, frozen=True, kw_only=True):
    """The form field ``items`` of ``POST /v1/music/tag-sets/{id}/items``, as JSON."""

    items: Annotated[tuple[NewItem, ...], Meta(min_length=1, max_length=MAX_CLIPS)]


class NewTagSet(Record, frozen=True, kw_only=True):
    """The form field ``tag_set`` of ``POST /v1/music/tag-sets``, as JSON; each clip is one more part of the form."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    description: Annotated[str, Meta(max_length=2_000)] = ""
    model: Annotated[str, Meta(max_length=80, examples=["music-embedding", "music-embedding@1"])] = MODEL
    """``name``, ``name@version`` or ``name@alias`` of the embedding; the version is pinned for the tag set's life."""
    decision: Decision = Decision()
    overflow: Overflow = "refuse"
    items: Annotated[tuple[NewItem, ...], Meta(min_length=1, max_length=MAX_CLIPS)]
    """More clips are added by further requests."""


class TagSetPatch(Record, frozen=True, kw_only=True):
    """``PATCH /v1/music/tag-sets/{id}``: what is given replaces what was."""

    name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    description: Annotated[str, Meta(max_length=2_000)] | None = None
    decision: Decision | None = None
    overflow: Overflow | None = None


class TagPatch(Record, frozen=True, kw_only=True):
    """``PATCH /v1/music/tag-sets/{id}/tags/{tag}``."""

    name: TagName
    merge: bool = False
    """Where a tag of that name exists: make one of the two. Without it that is refused (409)."""


class SupportItem(Record, frozen=True, kw_only=True):
    """A labelled clip of a tag set. The audio itself is not kept."""

    id: ItemId
    clip: ClipName
    tags: tuple[TagName, ...]
    """Sorted."""
    seconds: Annotated[float, Meta(gt=0.0)]
    windows: Positive
    """Pieces whose embeddings were averaged."""
    audio_sha256: Sha256
    """Of the file as it was sent."""


class TagInfo(Record, frozen=True, kw_only=True):
    """A tag and how many clips carry it."""

    name: TagName
    supports: Positive


class TagSetSummary(Record, frozen=True, kw_only=True):
    """A tag set without its clips."""

    id: TagSetId
    name: str
    description: str
    version: Positive
    """Grows by one with every edit; the ETag is this number in quotation marks."""
    model: str
    """``name@version`` of the embedding."""
    graph_sha256: Sha256
    decision: Decision
    overflow: Overflow
    items: Annotated[int, Meta(ge=0)]
    created: str
    """UTC, ISO 8601."""
    changed: str


class TagSet(Record, frozen=True, kw_only=True):
    """A tag set with its tags and clips; the answer of every edit."""

    summary: TagSetSummary
    tags: tuple[TagInfo, ...]
    """Sorted by name."""
    items: tuple[SupportItem, ...]
    combinations: Annotated[str, Meta(pattern=r"^[0-9]+$")] | None
    """Label combinations of the support clips, exact; decimal text, because it may not fit a number of JSON.

    None where the tag set has degraded.
    """
    closed_sets: Annotated[int, Meta(ge=0)]
    """Distinct prototypes: no other combination can be the answer of ``lcp``."""
    exact: bool
    """False where the tag set has degraded."""
    warnings: tuple[str, ...]


class TagSetList(Record, frozen=True, kw_only=True):
    """``GET /v1/music/tag-sets``, oldest first."""

    tag_sets: tuple[TagSetSummary, ...]
    next: TagSetId | None = None
    """Give it as ``after`` for the next page; none: this was the last."""


class ListOptions(Record, frozen=True, kw_only=True):
    """Query of ``GET /v1/music/tag-sets``."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    after: TagSetId | None = None


class Edit(Record, frozen=True, kw_only=True):
    """One version of a tag set: what made it."""

    version: Positive
    action: Literal["create", "import", "update", "add-items", "remove-item", "rename-tag", "merge-tags"]
    detail: str
    at: str
    """UTC, ISO 8601."""


class EditList(Record, frozen=True, kw_only=True):
    """``GET /v1/music/tag-sets/{id}/edits``, newest first; the last 1,000."""

    edits: tuple[Edit, ...]


class TagOptions(Record, frozen=True, kw_only=True):
    """Options of ``POST /v1/music/tag-sets/{id}/tag``: query parameters, or fields of the form."""

    rule: Rule | None = None
    """None: the tag set's own."""
    k: Annotated[int, Meta(ge=1, le=MAX_TAGS)] | None = None
    threshold: Similarity | None = None
    scores: Annotated[int, Meta(ge=0, le=MAX_TAGS)] = 20
    """Best tags whose similarities are told, besides the chosen ones."""
    explain: Annotated[int, Meta(ge=0, le=50)] = 0
    """Nearest label combinations to tell, with the support clips behind them."""
    segments: bool = False
    """Also tag each window of the clip by itself."""


class TagScore(Record, frozen=True, kw_only=True):
    """A tag and what the rule ranks it by."""

    tag: TagName
    score: Similarity
    """Cosine to the tag's prototype; for ``blend`` the mean of it and the tag's best combination."""
    chosen: bool


class NearClip(Record, frozen=True, kw_only=True):
    """A support clip and its cosine to the tagged one."""

    item: ItemId
    clip: ClipName
    similarity: Similarity


class NearCombination(Record, frozen=True, kw_only=True):
    """A label combination near the clip."""

    tags: tuple[TagName, ...]
    similarity: Similarity
    clips: tuple[NearClip, ...]
    """Up to 10 of the support clips that carry all of the tags, nearest first; the prototype is the mean of all."""
    support: Positive
    """Number of all such clips."""


class Explanation(Record, frozen=True, kw_only=True):
    """Why these tags."""

    combinations: tuple[NearCombination, ...]
    """Nearest first."""
    margin: Annotated[float, Meta(ge=0.0)] | None
    """Between the two nearest combinations; none where there is one."""
    nearest: NearClip


class Segment(Record, frozen=True, kw_only=True):
    """One window of a clip."""

    start: Annotated[float, Meta(ge=0.0)]
    """Seconds."""
    end: Annotated[float, Meta(gt=0.0)]
    tags: tuple[TagName, ...]


class TaggedClip(Record, frozen=True, kw_only=True):
    """The tags of one clip."""

    clip: ClipName
    tags: tuple[TagName, ...]
    """Sorted by score, best first."""
    scores: tuple[TagScore, ...]
    seconds: Annotated[float, Meta(gt=0.0)]
    windows: Positive
    explanation: Explanation | None = None
    segments: tuple[Segment, ...] | None = None
    warnings: tuple[str, ...] = ()


class TagResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/music/tag-sets/{id}/tag``."""

    clips: Annotated[tuple[TaggedClip, ...], Meta(min_length=1)]
    """In the order of the form."""
    decision: Decision
    """The rule that decided, with the ``k`` or ``threshold`` that it used."""
    exact: bool
    tag_set: TagSetId
    version: Positive
    """Of the tag set."""
    model: str
    """``name@version`` of the embedding."""
    request_id: str


class RuleCheck(Record, frozen=True, kw_only=True):
    """A rule on the support clips, each tagged by the others."""

    rule: Rule
    macro_f1: Probability
    micro_f1: Probability
    predicted: Annotated[float, Meta(ge=0.0)]
    """Mean number of tags told."""


class TagCheck(Record, frozen=True, kw_only=True):
    """A tag in the self-check, under the tag set's own rule."""

    tag: TagName
    supports: Positive
    precision: Probability
    recall: Probability
    f1: Probability
    confused_with: tuple[TagName, ...]
    """Up to 3 tags most often told where this one was missed."""


class SelfCheck(Record, frozen=True, kw_only=True):
    """``GET /v1/music/tag-sets/{id}/self-check``: every support clip tagged by the tag set without it.

    A tag with one support clip is always missed: its F1 of 0 is counted.
    """

    items: Positive
    true: Annotated[float, Meta(gt=0.0)]
    """Mean number of tags on a clip."""
    rules: tuple[RuleCheck, ...]
    tags: tuple[TagCheck, ...]
    best_rule: Rule
    """Highest macro-F1 here; the clips are few, so a small lead means little."""
    tag_set: TagSetId
    version: Positive
    request_id: str


class ExportedTagSet(Record, frozen=True, kw_only=True):
    """The metadata ``kithara.tag_set`` of an exported file.

    The file's tensor ``embeddings``, float32 (items, D), is in the order of ``items``.
    """

    format: Literal[1] = 1
    name: str
    description: str
    model: str
    graph_sha256: Sha256
    """Embeddings of another graph mean something else: such an import is refused."""
    decision: Decision
    overflow: Overflow
    items: Annotated[tuple[SupportItem, ...], Meta(min_length=1, max_length=MAX_ITEMS)]


class ClipEmbedding(Record, frozen=True, kw_only=True):
    """The answer of ``kithara predict lc_protonets FILE``: how an embedding hears one clip, apart from any tag set."""

    model: str
    """``name@version`` of the embedding."""
    graph_sha256: Sha256
    audio_sha256: Sha256
    seconds: Annotated[float, Meta(gt=0.0)]
    windows: Positive
    """Pieces whose embeddings were averaged."""
    steadiness: Similarity
    """Mean cosine of a piece to the whole: how alike the pieces sound to the model."""
    norm: Annotated[float, Meta(ge=0.0)]
    embedding: tuple[float, ...]
    """The mean of the pieces, as a tag set would keep it."""


def clip_signature(samples: int, dimensions: int) -> Signature:
    """Graph of an embedding of one window of mono audio."""
    return Signature(
        inputs=(Tensor(name="waveform", dtype="float32", dims=(BATCH, samples)),),
        outputs=(Tensor(name="embedding", dtype="float32", dims=(BATCH, dimensions)),),
    )
