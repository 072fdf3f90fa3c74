"""How well a tag set tells its own clips apart: each tagged by the others, under every rule."""

from collections.abc import Iterator
from typing import get_args

import numpy as np

from common.errors import Conflict, Invalid
from contracts.music_fewshot import Decision, Rule, RuleCheck, SelfCheck, TagCheck
from music_fewshot.lc_protonets.check import leave_one_out
from music_fewshot.lc_protonets.closed import multi_hot
from music_fewshot.lc_protonets.metrics import f1
from music_fewshot.tag_sets.indexes import Entry

CONFUSED = 3
"""Tags named as told in another's place."""


def self_check(entry: Entry, request_id: str) -> SelfCheck:
    """Raises Conflict: one clip alone cannot be tagged by others."""
    own, matcher = entry.stored.content.decision, entry.matcher
    if len(matcher.label_sets) < 2:
        raise Conflict("a tag set of one clip cannot be checked: without that clip nothing is left; add clips")
    truth = multi_hot(matcher.label_sets, matcher.labels)
    told = dict(_told(entry))
    rules = tuple(_rule(rule, truth, chosen) for rule, chosen in told.items())
    return SelfCheck(
        items=len(truth),
        true=float(truth.sum(1).mean()),
        rules=rules,
        tags=tuple(_tags(entry.tags, truth, told.get(own.rule, np.zeros_like(truth)))),
        best_rule=max(rules, key=lambda check: (check.macro_f1, check.rule == own.rule)).rule,
        tag_set=entry.stored.id,
        version=entry.stored.version,
        request_id=request_id,
    )


def _told(entry: Entry) -> Iterator[tuple[Rule, np.ndarray]]:
    """bool (S, labels) of each rule that can decide at all; ``threshold`` needs a tag with two clips to find one."""
    own = entry.stored.content.decision
    for rule in get_args(Rule):
        try:
            yield rule, leave_one_out(entry.matcher, Decision(rule=rule, k=own.k, threshold=own.threshold)).chosen
        except Invalid:
            continue


def _rule(rule: Rule, truth: np.ndarray, told: np.ndarray) -> RuleCheck:
    measured = f1(truth, told)
    return RuleCheck(rule=rule, macro_f1=measured.macro, micro_f1=measured.micro, predicted=measured.predicted)


def _tags(names: tuple[str, ...], truth: np.ndarray, told: np.ndarray) -> Iterator[TagCheck]:
    right, said, there = (truth & told).sum(0), told.sum(0), truth.sum(0)
    # (labels, labels): how often a tag was told, wrongly, where the row's tag was missed
    instead = (truth & ~told).T.astype(np.float32) @ (told & ~truth).astype(np.float32)
    for i, name in enumerate(names):
        order = np.argsort(-instead[i], kind="stable")[:CONFUSED]
        yield TagCheck(
            tag=name,
            supports=int(there[i]),
            precision=right[i] / max(1, said[i]),
            recall=right[i] / there[i],
            f1=2 * right[i] / (said[i] + there[i]),
            confused_with=tuple(names[j] for j in order if instead[i, j] > 0),
        )
