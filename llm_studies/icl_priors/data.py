"""The data sets of the two papers, and those that stand in for what cannot be had, as one ``Corpus`` each.

Counts are checked, so that a cut or mixed-up file is found before a call is paid.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from common.data.files import File, digest
from common.data.goemotions import read_goemotions
from common.errors import OperatorError
from llm_studies.icl_priors.items import AGGREGATE, Corpus, Item, one_line, vector, with_aggregate
from llm_studies.icl_priors.rows import DemoRow, Dialogue, HsBrexit, Judgement

GOEMOTIONS = ("joy", "optimism", "admiration", "surprise", "fear", "sadness", "anger")
"""The clusters in the order of the official scripts."""
MFRC = ("authority", "care", "equality", "loyalty", "proportionality", "purity")
HS_BREXIT = ("hate", "aggressive", "offensive")
CONVABUSE = ("ableist", "homophobic", "intellectual", "racist", "sex_harassment", "sexist", "transphobic")

HS_BREXIT_ROWS = MappingProxyType({"train": 782, "dev": 168, "test": 167})
"""Texts; three of the source's 1,120 have a label "No" and are left out."""
CONVABUSE_ROWS = MappingProxyType({"train": 2_398, "dev": 812, "test": 840})
DEMO_SPLITS = MappingProxyType({"train": 20, "dev": 15, "test": 10})
"""Ours: the 45 texts of an official demonstration file, in the order of the file."""
GROUPS = MappingProxyType({f"Ann{i}": "target" if i <= 3 else "control" for i in range(1, 7)})
"""HS-Brexit: Ann1-3 belong to the group that the texts speak of."""


def hs_brexit(data: Path | None) -> Corpus:
    """Three labels by the same six annotators on every tweet. Content: hateful language."""
    file = File(data, "annotator_level/hs_brexit.jsonl")
    seen: dict[str, Item] = {}
    for row in file.rows(HsBrexit):
        item = seen.setdefault(row.id, Item(row.id, row.split, row.text, {}))
        if row.annotator in item.labels:
            raise OperatorError(f"{file.path}: {row.id} by {row.annotator} stands there twice; drop one row")
        cells = (bool(row.hate), bool(row.aggressive), bool(row.offensive))
        seen[row.id] = item._replace(labels={**item.labels, row.annotator: cells})
    if short := next((item.id for item in seen.values() if len(item.labels) != len(GROUPS)), None):
        raise OperatorError(f"{file.path}: {short} is not labelled by all six annotators; fetch the file again")
    items = _counted(file, map(with_aggregate, seen.values()), HS_BREXIT_ROWS)
    return Corpus("hs_brexit", HS_BREXIT, "Label(s)", "kinds of harmful language", items, GROUPS, digest(file))


def convabuse(data: Path | None) -> Corpus:
    """Seven types of abuse in what a user says to a bot, by two to eight annotators. Content: abuse.

    The text is the whole exchange; the last turn is the one that is judged.
    """
    dialogues, judged = (File(data, f"annotator_level/convabuse_{name}.jsonl") for name in ("items", "annotations"))
    by_item: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for row in judged.rows(Judgement):
        if row.annotator in by_item[row.id]:
            raise OperatorError(f"{judged.path}: {row.id} by {row.annotator} stands there twice; drop one row")
        by_item[row.id][row.annotator] = row
    items = []
    for row in dialogues.rows(Dialogue):
        mine = by_item[row.id]
        if not mine:
            raise OperatorError(f"{judged.path}: nobody judged {row.id}; fetch both files again")
        turns = (("Agent", row.prev_agent), ("User", row.prev_user), ("Agent", row.agent), ("User", row.user))
        text = " ".join(f"{who}: {said}" for who, said in turns if said)
        labels = {name: vector(one.types, CONVABUSE, f"{judged.path}, {row.id}") for name, one in mine.items()}
        severity = {name: one.severity for name, one in mine.items()}
        items.append(with_aggregate(Item(row.id, row.split, text, labels, severity=severity)))
    groups = dict.fromkeys(sorted({name for mine in by_item.values() for name in mine}), "all")
    checked = _counted(dialogues, items, CONVABUSE_ROWS)
    return Corpus("convabuse", CONVABUSE, "Label(s)", "types of abuse", checked, groups, digest(dialogues, judged))


def goemotions(data: Path | None) -> Corpus:
    """Aggregated labels pooled into seven clusters: one is on when any member is on; neutral belongs to none."""
    clusters = File(data, "emotion_text/goemotions_clusters.json")
    pooled = {fine: cluster for cluster, members in _clusters(clusters).items() for fine in members}
    read = read_goemotions(data)
    items = []
    for comment in read.comments:
        on = {pooled[name] for name in comment.labels if name in pooled}
        items.append(Item(comment.id, comment.split, comment.text, {AGGREGATE: vector(on, GOEMOTIONS, comment.id)}))
    return Corpus("goemotions", GOEMOTIONS, "Emotion(s)", "emotions", tuple(items), {}, digest(clusters, *read.files))


def goemotions_demos(data: Path | None) -> Corpus:
    return _demos(data, "goemotions_demos", GOEMOTIONS, "Emotion(s)", "emotions")


def mfrc_demos(data: Path | None) -> Corpus:
    """The papers' scripts keep the emotions' header for this set in plain prompts; a copy-paste, not followed here."""
    return _demos(data, "mfrc_demos", MFRC, "Moral Foundation(s)", "moral foundations")


def with_rationales(corpus: Corpus, demos: Corpus) -> Corpus:
    """Reasons of a demonstration file for those texts of ``corpus`` that carry the same aggregate label there."""
    known = {item.id: item for item in demos.items}

    def explained(item: Item) -> Item:
        demo = known.get(item.id)
        if demo is None or demo.labels[AGGREGATE] != item.labels[AGGREGATE]:
            return item
        return item._replace(rationales={AGGREGATE: demo.rationales[AGGREGATE]})

    return corpus._replace(items=tuple(map(explained, corpus.items)))


LOADERS: Mapping[str, Callable[[Path | None], Corpus]] = MappingProxyType(
    {
        "hs_brexit": hs_brexit,
        "convabuse": convabuse,
        "goemotions": goemotions,
        "goemotions_demos": goemotions_demos,
        "mfrc_demos": mfrc_demos,
    }
)


def _demos(data: Path | None, name: str, labels: tuple[str, ...], header: str, task: str) -> Corpus:
    """An official demonstration file: 45 texts, three annotators and the official aggregate, a rationale for each."""
    file = File(data, f"annotator_level/{name}.jsonl")
    seen: dict[str, Item] = {}
    split = (split for split, size in DEMO_SPLITS.items() for _ in range(size))
    for row in file.rows(DemoRow):
        item = seen.get(row.item) or Item(row.item, next(split, "beyond"), row.text, {})
        if row.annotator in item.labels or row.text != item.text:
            raise OperatorError(f"{file.path}: {row.item} by {row.annotator} stands there twice; drop one row")
        cells = vector(row.labels, labels, f"{file.path}, {row.id}")
        seen[row.item] = item._replace(
            labels={**item.labels, row.annotator: cells},
            rationales={**item.rationales, row.annotator: one_line(row.rationale)},
        )
    groups = {name: "all" for item in seen.values() for name in item.labels if name != AGGREGATE}
    if short := next((item.id for item in seen.values() if len(item.labels) != len(groups) + 1), None):
        raise OperatorError(f"{file.path}: {short} is not labelled by all; fetch the file again")
    return Corpus(name, labels, header, task, _counted(file, seen.values(), DEMO_SPLITS), groups, digest(file))


def _clusters(file: File) -> dict[str, list[str]]:
    try:
        found = msgspec.json.decode(file.text, type=dict[str, list[str]])
    except (msgspec.DecodeError, msgspec.ValidationError, json.JSONDecodeError) as error:
        raise OperatorError(f"{file.path}: {error}; fetch the file again") from None
    if tuple(found) != GOEMOTIONS:
        raise OperatorError(
            f"{file.path}: not the clusters {', '.join(GOEMOTIONS)} in this order; fetch the file again"
        )
    return found


def _counted(file: File, items: Iterable[Item], rows: Mapping[str, int]) -> tuple[Item, ...]:
    """The items, when ids are unique and every split has its size. Raises OperatorError otherwise."""
    kept = tuple(items)
    if twice := next((name for name, n in Counter(item.id for item in kept).items() if n > 1), None):
        raise OperatorError(f"{file.path}: id {twice} stands there twice; drop one row")
    found = Counter(item.split for item in kept)
    if found != rows:
        have, want = ("/".join(str(sizes.get(split, 0)) for split in rows) for sizes in (found, rows))
        raise OperatorError(f"{file.path}: {have} texts in {'/'.join(rows)}, not {want}; fetch the file again")
    return kept
