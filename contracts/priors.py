"""Classifying under a prior or a posterior, and estimating the pull of the prior, over HTTP.

Texts and reasons reach a language model as data, each on a line of its own. The names of labels and the header stand in
the instruction itself, for a prompt cannot do without them: there they are at most 40 letters and digits of any script,
spaces, and ``- ' / ( ) & _``, which leaves little room for an order and does not rule one out. A caller's names reach
that caller's prompt alone.
"""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Probability, Record
from contracts.llm import Count, NonNegative, Usage
from contracts.llm_studies import ANY_TEXT, Text, each_once
from contracts.models import Interval

ONE_LINE = r"^[^\s,;:<>\x00-\x1f](?:(?:[^\s,;:<>\x00-\x1f]| ){0,62}[^\s,;:<>\x00-\x1f])?$(?!\n)"
"""A name that stands in a list with commas and keeps its shape there. (``$`` alone lets a last line break pass.)"""

LabelName = Annotated[str, Meta(pattern=ONE_LINE, examples=["joy"])]
Bit = Literal[0, 1]


class Demonstration(Record, frozen=True, kw_only=True):
    """A text with its labels, shown to the model."""

    text: Text
    labels: Annotated[tuple[LabelName, ...], Meta(max_length=64, extra_json_schema={"uniqueItems": True})]
    """Of the request's label set; none of them is legal."""
    reasoning: Annotated[str, Meta(max_length=4_000, pattern=ANY_TEXT)] | None = None
    """Why; condition ``cot`` needs it."""

    def __post_init__(self) -> None:
        each_once(labels=self.labels)


class PriorsClassifyRequest(Record, frozen=True, kw_only=True):
    """The body of ``POST /v1/llm/priors/classify``."""

    text: Annotated[Text, Meta(examples=["The parcel came a week late, and nobody said sorry."])]
    labels: Annotated[tuple[LabelName, ...], Meta(min_length=1, max_length=64, extra_json_schema={"uniqueItems": True})]
    """The label set; zero, one or several of them apply. The names stand in the instruction: at most 40 letters and
    digits of any script, spaces, and ``- ' / ( ) & _``."""
    header: Annotated[str, Meta(pattern=ONE_LINE, examples=["Emotion(s)"])] = "Emotion(s)"
    """The word before the labels in the prompt, of the same characters as a label."""
    demonstrations: Annotated[tuple[Demonstration, ...], Meta(max_length=100)] = ()
    """Conditions ``zero`` and ``supervised`` leave them out; all others need some."""
    condition: Literal["icl", "zero", "random", "distribution", "cot", "supervised"] = "icl"
    """``icl``: the posterior. ``zero``, ``random``, ``distribution``: prior proxies, without demonstrations or with
    their labels drawn anew. ``cot``: with reasoning. ``supervised``: the small trained encoder, no language model."""
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Of the labels that ``random`` and ``distribution`` draw."""

    def __post_init__(self) -> None:
        each_once(labels=self.labels)


class PriorsClassifyResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/llm/priors/classify``."""

    labels: tuple[str, ...]
    """In label-set order."""
    status: Literal["exact", "alias", "salvage", "invalid", "truncated", "refused"]
    """How the labels were found in the reply. Whatever is ``invalid``, ``truncated`` or ``refused`` has none."""
    condition: str
    reply: str | None = None
    """None: no language model was asked."""
    scores: dict[str, Probability] | None = None
    """Condition ``supervised``: the encoder's probability of each label."""
    usage: Usage | None = None
    cost: NonNegative | None = None
    currency: str = ""
    model: str
    request_id: str


Matrix = Annotated[
    tuple[Annotated[tuple[Bit, ...], Meta(min_length=1, max_length=64)], ...], Meta(min_length=1, max_length=10_000)
]
"""Items x labels of 0 and 1."""


class PullRequest(Record, frozen=True, kw_only=True):
    """The body of ``POST /v1/llm/priors/pull``: predictions of anybody's runs. All matrices have one shape."""

    truth: Matrix
    priors: Annotated[tuple[Matrix, ...], Meta(min_length=3, max_length=32)]
    """One matrix for each run of the prior proxy, e.g. with three seeds."""
    posteriors: Annotated[tuple[Matrix, ...], Meta(min_length=1, max_length=32)]
    labels: (
        Annotated[tuple[LabelName, ...], Meta(min_length=1, max_length=64, extra_json_schema={"uniqueItems": True})]
        | None
    ) = None
    """Names of the columns; none: they are numbered."""
    rounds: Annotated[int, Meta(ge=0, le=2_000)] = 200
    """Of the bootstrap over items; 0: no interval."""
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0

    def __post_init__(self) -> None:
        each_once(labels=self.labels)


class PullEstimate(Record, frozen=True, kw_only=True):
    """Of all cells, or of one label. A figure that the data leave open is null."""

    label: str
    """Empty for all labels together."""
    kappa: float | None
    """Share of cells whose posterior copies the latent prior: latent-class EM, stratified by the truth."""
    kappa_interval: Interval | None = None
    """Percentile bootstrap over items."""
    eps1: float | None
    """Miss rate of a prior run..."""
    eps1_interval: Interval | None = None
    eps0: float | None
    """...and its false-alarm rate."""
    eps0_interval: Interval | None = None
    kappa_naive: float | None
    """P(posterior = prior | prior differs from truth): attenuated by the prior's noise."""
    kappa_slope: float | None
    """Slope of posterior on prior within truth strata: attenuated likewise."""
    reliability: float
    """Share of the latent prior's variance that the prior runs reveal; near 0, kappa rests on nothing."""
    cells: Count
    """Items x labels behind it."""


class FitCheck(Record, frozen=True, kw_only=True):
    """Goodness of fit: a similarity (micro-F1) as seen, against those of studies drawn from the fitted model."""

    pair: str
    observed: float
    expected: float
    range: Interval
    p_value: Probability
    """Two-sided; small: the model does not fit."""


class Similarity(Record, frozen=True, kw_only=True):
    """Two sets of predictions against one another: means over all pairs of runs."""

    pair: Literal["prior, prior", "posterior, posterior", "prior, posterior", "prior, truth", "posterior, truth"]
    js: Probability
    """Mean over items of intersection by union of the label sets; two empty sets count 1."""
    micro_f1: Probability
    macro_f1: Probability


class TrivialLevel(Record, frozen=True, kw_only=True):
    """Similarity to the truth of an answer that ignores the text: what a similarity must beat to mean anything."""

    name: str
    js: Probability
    micro_f1: Probability
    macro_f1: Probability


class PullResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/llm/priors/pull``."""

    overall: PullEstimate
    labels: tuple[PullEstimate, ...]
    """Each label's own, in the order of the columns."""
    fit: tuple[FitCheck, ...]
    similarities: tuple[Similarity, ...]
    trivial: tuple[TrivialLevel, ...]
    assumption: str
    """What must hold for ``kappa`` to mean what it says."""
    items: Positive
    rounds: Count
    request_id: str
