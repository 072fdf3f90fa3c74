"""The settings of the simulated minds, of the server around them and of its faults; all readable from TOML."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from contracts._base import Positive, Probability, Record
from contracts.llm import NonNegative

Ignorable = Literal["sampling", "seed", "stop", "n", "logprobs", "usage", "max_tokens", "system"]
Size = Literal["small", "medium", "large"]


class Server(Record, frozen=True, kw_only=True):
    """What the server honours, and how fast it is."""

    model: str = "simulated"
    """The one model name that it serves; another one gets 404."""
    latency: NonNegative = 0.0
    """Seconds before every answer."""
    ignore: tuple[Ignorable, ...] = ()
    """Fields of a request that are accepted and ignored without an error, as local servers do (bloomwise.md 9.2)."""
    keep_stop: bool = False
    """True: the stop text stays at the end of the reply."""
    refuse_system: bool = False
    """True: 400 for a conversation with a system message, as some chat templates do."""


class Format(Record, frozen=True, kw_only=True):
    """Shares of replies that are not the plain list of labels; what is left is plain."""

    alias: Probability = 0.0
    """Angry for anger."""
    sentence: Probability = 0.0
    """The labels inside a sentence."""
    extra_demos: Probability = 0.0
    """The list, followed by demonstrations that nobody asked for."""
    json: Probability = 0.0
    """A JSON object."""
    broken_json: Probability = 0.0
    """A JSON object without its end."""
    long: Probability = 0.0
    """So much talk before the labels that a small ``max_tokens`` cuts it off."""
    refusal: Probability = 0.0

    def __post_init__(self) -> None:
        if sum(getattr(self, name) for name in self.__struct_fields__) > 1:
            raise ValueError("the shares of format noise add up to more than 1")


class Respondent(Record, frozen=True, kw_only=True):
    """The simulated respondent of icl_priors.md 10: every number that an estimator should find again."""

    seed: int = 0
    kappa: Probability = 0.5
    """Pull: probability that a cell (text x label) of the posterior copies the latent prior."""
    eps1: Probability = 0.1
    """Inconsistency: probability that a prior proxy misses a label of the latent prior..."""
    eps0: Probability = 0.03
    """...and that it reports one that is not in it."""
    prior_miss: Probability = 0.35
    """Probability that the latent prior lacks a true label..."""
    prior_false: Probability = 0.15
    """...and that it has a false one."""
    prior_of: tuple[str, ...] = ()
    """Annotators whose majority the latent prior copies; empty: the aggregate of all."""
    fidelity: Probability = 1.0
    """phi at many shots: probability that a cell which is not pulled follows the demonstrations."""
    half_shots: NonNegative = 0.0
    """phi(k) = fidelity * k / (k + half_shots)."""
    informed: Probability = 0.6
    """Chance-corrected agreement of the demonstrations' labels with a known labelling from which they are followed."""
    labels: tuple[str, ...] = ()
    """The label set; empty: as the instruction and the demonstrations list it."""
    format: Format = Format()


class Solver(Record, frozen=True, kw_only=True):
    """The simulated solver of bloomwise.md 9.1."""

    seed: int = 0
    levels: dict[str, Probability] = {}
    """Accuracy by the name after ``Way of thinking:``."""
    cues: dict[str, Probability] = {}
    """Accuracy of prompts without a level, by a phrase in them; the first phrase that is found counts."""
    default: Probability = 0.5
    """Accuracy of every other prompt."""
    rho: Probability = 0.0
    """Correlation of errors: two attempts share their luck, and their wrong answer, with this probability."""
    pool: Positive = 5
    """Wrong answers to a problem, all equally likely."""
    none: Probability = 0.0
    """Share of attempts without an answer: no number in a text, an exception in a programme."""
    sensitivity: Probability = 0.9
    """Probability of the verdict ACCEPT for a right solution..."""
    specificity: Probability = 0.7
    """...and of CONTINUE for a wrong one."""


class Simulation(Record, frozen=True, kw_only=True):
    """A whole simulated server: ``kithara llm simulate --config``."""

    server: Server = Server()
    respondent: Respondent = Respondent()
    solver: Solver = Solver()


Fault = Literal[
    "rate_limit",
    "rate_limit_bare",
    "server_error",
    "unavailable",
    "slow",
    "dropped",
    "truncated",
    "empty",
    "duplicated",
    "length",
    "content_filter",
    "wrong_usage",
    "no_usage",
]


class Faults(Record, frozen=True, kw_only=True):
    """A fault plan: which requests go wrong, and how. The same plan meets the same requests with the same faults."""

    seed: int = 0
    shares: dict[Fault, Probability] = {}
    """Share of requests with each fault; what is left is answered well."""
    by: Literal["key", "call"] = "key"
    """``key``: drawn for (Idempotency-Key, or digest of the body; attempt), whatever the order of arrival; ``call``:
    drawn for the number of the call."""
    attempts: Annotated[int, Meta(ge=0)] | None = None
    """Attempts of one key that may meet a fault; none: all of them."""
    retry_after: NonNegative = 1.0
    """Seconds that ``rate_limit`` asks to wait."""
    slow_seconds: NonNegative = 5.0

    def __post_init__(self) -> None:
        if sum(self.shares.values()) > 1:
            raise ValueError("the shares of faults add up to more than 1")


def sized(size: Size) -> Simulation:
    """The packaged simulation of that size: pull grows and inconsistency falls with it, as icl_priors.md 5 claims."""
    return msgspec.convert(tomllib.loads(packaged()[size].read_text()), Simulation)


def packaged() -> dict[str, Path]:
    """The packaged simulations by name."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "configs").glob("*.toml"))}
