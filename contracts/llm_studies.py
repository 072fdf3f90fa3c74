"""LLM studies over HTTP: solve a problem level by level, classify under a prior or a posterior, estimate the pull.

Whatever a caller writes here is data: it reaches a language model between delimiters, never as an instruction.
"""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Probability, Record
from contracts.llm import Count, NonNegative, Usage
from contracts.models import Interval

Level = Literal["remembering", "understanding", "applying", "analyzing", "evaluating", "creating"]
"""Of Bloom's taxonomy, from simple to advanced."""
ANY_TEXT = r"[^\s\x00-\x1f]"
"""Something besides white space and control characters."""
ONE_LINE = r"^[^\s,;:<>\x00-\x1f](?:(?:[^\s,;:<>\x00-\x1f]| ){0,62}[^\s,;:<>\x00-\x1f])?$(?!\n)"
"""A name that stands in a list with commas and keeps its shape there. (``$`` alone lets a last line break pass.)"""

Text = Annotated[str, Meta(max_length=8_000, pattern=ANY_TEXT)]
LabelName = Annotated[str, Meta(pattern=ONE_LINE, examples=["joy"])]
Bit = Literal[0, 1]


def _each_once(**fields: tuple[str, ...] | str | None) -> None:
    for name, values in fields.items():
        if isinstance(values, tuple) and len(set(values)) < len(values):
            raise ValueError(f"{name} holds one value twice")


class Budget(Record, frozen=True, kw_only=True):
    """What one answer may spend. No call is begun once it is spent; the levels so far give the answer."""

    calls: Annotated[int, Meta(ge=1, le=64)] = 32
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Prompt and completion, as the server counts them; a call that began below may end above."""


class SolveRequest(Record, frozen=True, kw_only=True):
    """The body of ``POST /v1/llm/solve``."""

    problem: Annotated[Text, Meta(examples=["A box holds 12 pencils. How many pencils do 7 boxes hold?"])]
    options: (
        Annotated[tuple[Annotated[str, Meta(max_length=500, pattern=ANY_TEXT)], ...], Meta(min_length=2, max_length=5)]
        | None
    ) = None
    """Choices A to E, in order; then the answer is a letter."""
    ladder: (
        Literal["v2", "v1"]
        | Annotated[tuple[Level, ...], Meta(min_length=1, max_length=6, extra_json_schema={"uniqueItems": True})]
    ) = "v2"
    """A preset (``v2``: five levels, ``v1``: the first four) or the levels themselves, each once, in the order
    in which they are asked."""
    rule: Literal["converge", "self_eval", "majority", "all"] = "converge"
    """``converge``: stop when consecutive levels agree, and take the earliest of them. ``self_eval``: stop when the
    model accepts its own answer. ``majority`` and ``all`` ask every level, and take the plurality or the last."""
    agree: Annotated[int, Meta(ge=2, le=6)] = 2
    """Rule ``converge``: so many consecutive levels with one answer end the ladder."""
    fallback: Literal["last", "majority"] = "last"
    """Whose answer counts when ``converge`` or ``self_eval`` has not ended the ladder."""
    mode: Literal["text", "programme", "mixed"] = "text"
    """``programme`` and ``mixed`` run what the model writes, in a sandbox that the service must have."""
    context: Literal["independent", "cumulative"] = "independent"
    """Whether a level sees the replies of those before."""
    budget: Budget = Budget()
    stream: bool = False
    """Send each level as a server-sent event when it ends."""

    def __post_init__(self) -> None:
        _each_once(ladder=self.ladder)


class LevelAnswer(Record, frozen=True, kw_only=True):
    """One level; the data of event ``level``."""

    name: str
    reply: str
    answer: str | None
    """Found anywhere in the reply by the flexible rules; none: there is no answer in it."""
    strict: str | None
    """Found in the last line, in the form that was asked for; of a programme, the value that it computed."""
    verdict: Literal["accept", "continue"] | None = None
    """The model's own, under rule ``self_eval``."""
    finish: Literal["stop", "length", "content_filter", "other"]
    """Why the reply ended; ``length``: it was cut off."""
    failure: str | None = None
    """Why a programme gave no answer."""
    usage: Usage
    """Of every call that this level took."""


class SolveResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/llm/solve``, and the data of event ``solution``."""

    answer: str | None
    """A number or a letter; none: no level gave one."""
    explanation: str
    """The reply of the level whose answer it is."""
    levels: tuple[LevelAnswer, ...]
    """In the order in which they were asked."""
    converged: bool
    """The rule ended the ladder: levels agreed, or the model accepted its answer."""
    stopped_at: str
    """Name of the last level that was asked."""
    stopped_by: Literal["rule", "ladder", "budget"]
    usage: Usage
    cost: NonNegative | None = None
    """At the operator's price file; none: there is none."""
    currency: str = ""
    model: str
    """As the server names it."""
    request_id: str


class Demonstration(Record, frozen=True, kw_only=True):
    """A text with its labels, shown to the model."""

    text: Text
    labels: Annotated[tuple[LabelName, ...], Meta(max_length=64, extra_json_schema={"uniqueItems": True})]
    """Of the request's label set; none of them is legal."""
    reasoning: Annotated[str, Meta(max_length=4_000, pattern=ANY_TEXT)] | None = None
    """Why; condition ``cot`` needs it."""

    def __post_init__(self) -> None:
        _each_once(labels=self.labels)


class PriorsClassifyRequest(Record, frozen=True, kw_only=True):
    """The body of ``POST /v1/llm/priors/classify``."""

    text: Annotated[Text, Meta(examples=["The parcel came a week late, and nobody said sorry."])]
    labels: Annotated[tuple[LabelName, ...], Meta(min_length=1, max_length=64, extra_json_schema={"uniqueItems": True})]
    """The label set; zero, one or several of them apply."""
    header: Annotated[str, Meta(pattern=ONE_LINE, examples=["Emotion(s)"])] = "Emotion(s)"
    """The word before the labels in the prompt."""
    demonstrations: Annotated[tuple[Demonstration, ...], Meta(max_length=100)] = ()
    """Conditions ``zero`` and ``supervised`` leave them out; all others need some."""
    condition: Literal["icl", "zero", "random", "distribution", "cot", "supervised"] = "icl"
    """``icl``: the posterior. ``zero``, ``random``, ``distribution``: prior proxies, without demonstrations or with
    their labels drawn anew. ``cot``: with reasoning. ``supervised``: the small trained encoder, no language model."""
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Of the labels that ``random`` and ``distribution`` draw."""

    def __post_init__(self) -> None:
        _each_once(labels=self.labels)


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
        _each_once(labels=self.labels)


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
