"""``POST /v1/llm/priors/classify``: one text under a prior, a posterior, or the supervised reference."""

import time
import unicodedata
from collections.abc import Iterator

from common.errors import Invalid
from common.runtime.base import Call
from common.runtime.models import Models
from contracts.llm import ChatRequest
from contracts.priors import PriorsClassifyRequest, PriorsClassifyResponse
from llm_studies.icl_priors import prompts
from llm_studies.icl_priors.demos import Demo, random_vector
from llm_studies.icl_priors.draws import pick
from llm_studies.icl_priors.items import Vector
from llm_studies.icl_priors.parse import parse
from llm_studies.reference.features import MODEL, Reference
from llm_studies.service.meter import Meter
from llm_studies.service.upstream import Upstream

TASK = "labels"
"""What the instruction calls the label set."""
TOKENS, TOKENS_PER_LABEL, TOKENS_REASONING = 16, 8, 200
"""Largest number of new tokens: every name may be written, and with ``cot`` a sentence or two before."""
LONGEST_NAME, BESIDE_LETTERS = 40, frozenset("-'\u2019/()&_ \u200c\u200d")
"""What stands in the instruction is a name: letters and digits of any script and these (the last two join letters in
Persian and Indic scripts), so no sentence and no line after it."""
WITHOUT = frozenset({"zero", "supervised"})
"""Conditions that show no demonstrations."""


class PriorsClassifier:
    """Answers for one text."""

    def __init__(self, upstream: Upstream, models: Models) -> None:
        self._upstream, self._reference = upstream, Reference(models)

    async def classify(self, body: PriorsClassifyRequest, call: Call) -> PriorsClassifyResponse:
        """Raises Invalid for demonstrations that the condition cannot use; NotReady, QueueFull, CallFailed,
        UpstreamBusy, DeadlineExceeded; for ``supervised`` what ``Models.infer`` raises."""
        check(body)
        if body.condition == "supervised":
            return await self._supervised(body, call)
        self._upstream.configured()
        started = time.perf_counter()
        async with self._upstream.answering(call) as ask:
            meter = Meter(ask)
            reply = await meter(request_of(body))
        call.timing.infer += time.perf_counter() - started
        reasoning = body.condition == "cot"
        found = parse(reply.text, body.labels, finish=reply.finish, header=body.header, reasoning=reasoning)
        return PriorsClassifyResponse(
            labels=found.labels,
            status=found.status,
            condition=body.condition,
            reply=reply.text,
            usage=meter.usage,
            cost=self._upstream.cost(meter.usage),
            currency=self._upstream.currency,
            model=meter.model or self._upstream.configured().model,
            request_id=call.request_id,
        )

    async def _supervised(self, body: PriorsClassifyRequest, call: Call) -> PriorsClassifyResponse:
        answer, card = await self._reference.classify(body.text, call)
        if unknown := [name for name in body.labels if name not in answer.probabilities]:
            known = ", ".join(answer.probabilities)
            raise Invalid.field("labels", f"{MODEL} was not trained on {unknown[0]!r}; it knows {known}")
        return PriorsClassifyResponse(
            labels=tuple(name for name in body.labels if name in answer.labels),
            status="exact",
            condition=body.condition,
            scores={name: answer.probabilities[name] for name in body.labels},
            model=card.name,
            request_id=call.request_id,
        )


def check(body: PriorsClassifyRequest) -> None:
    """What no schema says. Raises Invalid that names the field."""
    for field, name in [("header", body.header), *((f"labels[{at}]", name) for at, name in enumerate(body.labels))]:
        if len(name) > LONGEST_NAME or not all(map(_in_a_name, name)):
            allowed = "letters, digits, spaces and - ' / ( ) & _"
            raise Invalid.field(field, f"is no name; use at most {LONGEST_NAME} {allowed}")
    if len({name.lower() for name in body.labels}) < len(body.labels):
        raise Invalid.field("labels", "names must differ by more than case")
    for at, demo in enumerate(body.demonstrations):
        where = f"demonstrations[{at}]"
        if outside := [name for name in demo.labels if name not in body.labels]:
            raise Invalid.field(f"{where}.labels", f"{outside[0]!r} is not in the label set")
        if body.condition == "cot" and demo.reasoning is None:
            raise Invalid.field(f"{where}.reasoning", "condition cot needs the reasoning of every demonstration")
    if not body.demonstrations and body.condition not in WITHOUT:
        raise Invalid.field("demonstrations", f"condition {body.condition} needs at least one")


def _in_a_name(character: str) -> bool:
    kind = unicodedata.category(character)  # L: letters, M: the marks that belong to them, Nd: digits
    return kind[0] in "LM" or kind == "Nd" or character in BESIDE_LETTERS


def request_of(body: PriorsClassifyRequest) -> ChatRequest:
    """The call. The text and the demonstrations are data on one line each; the instruction names the labels alone."""
    reasons = body.condition == "cot"
    demos = () if body.condition in WITHOUT else tuple(_demonstrations(body))
    most = TOKENS + TOKENS_PER_LABEL * len(body.labels) + TOKENS_REASONING * reasons
    form = prompts.Form(body.labels, body.header, TASK)
    return prompts.request(form, demos, body.text, reasons=reasons, max_tokens=most)


def _demonstrations(body: PriorsClassifyRequest) -> Iterator[Demo]:
    given = [tuple(name in demo.labels for name in body.labels) for demo in body.demonstrations]
    for slot, demo in enumerate(body.demonstrations):
        yield Demo(str(slot), demo.text, _vector(body, given, slot), demo.reasoning or "")


def _vector(body: PriorsClassifyRequest, given: list[Vector], slot: int) -> Vector:
    match body.condition:
        case "random":
            return random_vector(len(body.labels), body.seed, slot)
        case "distribution":  # the whole vector of a randomly drawn demonstration keeps the joint label distribution
            return pick(given, "distribution", body.seed, slot)
        case _:
            return given[slot]
