"""Demonstrations: which texts a prompt shows, and with whose labels (specification, sections 1 and 2.2).

A run has one demonstration set for all its queries; its seed is the only source of variation. The label seed decides
the drawn labels alone. Choices are made by digests (``draws``), so 25 shots of a seed extend its 15 shots.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from common.errors import OperatorError
from llm_studies.icl_priors.draws import below, pick, shuffled
from llm_studies.icl_priors.items import Item, Vector, text_digest

Labelling = Literal["true", "random", "distribution", "preds"]


class Demo(NamedTuple):
    """One demonstration as a prompt shows it."""

    id: str
    text: str
    labels: Vector
    rationale: str = ""


def pool(
    items: Iterable[Item], annotator: str, queries: Iterable[Item], *, rationales: bool = False
) -> tuple[Item, ...]:
    """What may be shown: labelled by ``annotator``, with another text than every query, each text once.

    ``rationales``: only items that say why.
    """
    taken = {text_digest(item.text) for item in queries}
    found: list[Item] = []
    for item in items:
        digest = text_digest(item.text)
        if digest in taken or annotator not in item.labels or (rationales and annotator not in item.rationales):
            continue
        taken.add(digest)
        found.append(item)
    return tuple(found)


def choose(candidates: Sequence[Item], shots: int, seed: int) -> tuple[Item, ...]:
    """Random retrieval: a uniform sample without replacement. Raises OperatorError when there are too few."""
    if shots > len(candidates):
        raise OperatorError(
            f"shots: {shots} are asked for, {len(candidates)} texts can be shown; lower it in the study file"
        )
    return tuple(shuffled(candidates, lambda item: item.id, "demonstrations", seed)[:shots])


def labelled(
    chosen: Sequence[Item],
    labelling: Labelling,
    annotator: str,
    candidates: Sequence[Item],
    label_seed: int,
    predictions: Mapping[str, Vector] | None = None,
) -> tuple[Demo, ...]:
    """The chosen texts with labels of the asked kind. ``candidates`` give the label vectors of ``distribution``."""

    def labels(slot: int, item: Item) -> Vector:
        match labelling:
            case "true":
                return item.labels[annotator]
            case "preds":
                return (predictions or {})[item.id]
            case "distribution":  # the whole vector of a randomly drawn example keeps the joint label distribution
                return pick(candidates, "distribution", label_seed, slot).labels[annotator]
            case "random":
                return random_vector(len(item.labels[annotator]), label_seed, slot)

    return tuple(
        Demo(item.id, item.text, labels(slot, item), item.rationales.get(annotator, ""))
        for slot, item in enumerate(chosen)
    )


def random_vector(labels: int, *names: object) -> Vector:
    """A subset whose size is uniform on 0 ... ``labels``, uniform among those of its size."""
    size = below(labels + 1, "size", *names)
    on = set(shuffled(range(labels), str, "members", *names)[:size])
    return tuple(label in on for label in range(labels))


def reasons_exchanged(demos: Sequence[Demo], seed: int) -> tuple[Demo, ...]:
    """Rationales permuted among the demonstrations, none at home: a cyclic shift of a random order."""
    order = shuffled(range(len(demos)), str, "reasons", seed)
    given = {slot: demos[order[i - 1]].rationale for i, slot in enumerate(order)}
    return tuple(demo._replace(rationale=given[slot]) for slot, demo in enumerate(demos))
