"""Labels that the respondent knows to be true: of all annotators together, and of each one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.errors import OperatorError
from llm_studies.icl_priors import design
from llm_studies.icl_priors.config import Config
from llm_studies.icl_priors.items import Corpus
from llm_studies.simulate.icl_prompt import one_line

AGGREGATE = "aggregate"

Labels = Mapping[str, frozenset[str]]
"""By text."""


class Gold(NamedTuple):
    """Labels by annotator; ``aggregate`` comes first."""

    voices: dict[str, Labels]

    def of(self, annotators: Sequence[str]) -> Labels:
        """The majority (ties on) of these annotators, or the aggregate when none is named."""
        if not annotators:
            return self.voices.get(AGGREGATE, {})
        unknown = sorted(set(annotators) - set(self.voices))
        if unknown:
            raise OperatorError(f"prior_of names {', '.join(unknown)}, of whom the gold files hold no label")
        return _majority([self.voices[name] for name in annotators])


def gold(rows: Iterable[tuple[str, str | None, Iterable[str]]]) -> Gold:
    """From (text, annotator, labels); no annotator, or ``aggregate``, is the aggregate itself.

    Texts without an aggregate get the labels that at least half of their annotators chose (icl_priors.md 2.3).
    """
    voices: defaultdict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for text, annotator, labels in rows:
        voices[annotator or AGGREGATE][one_line(text)] = frozenset(labels)
    given = voices.pop(AGGREGATE, {})
    return Gold(
        {AGGREGATE: {**_majority(list(voices.values())), **given}, **{name: voices[name] for name in sorted(voices)}}
    )


def read(files: Sequence[Path]) -> Gold:
    """From JSON lines with ``text``, ``labels`` (or columns of 0 and 1) and, where there are several, ``annotator``.

    Raises OperatorError naming file and line.
    """
    return gold(row for file in files for row in _rows(file))


def _rows(file: Path) -> Iterable[tuple[str, str | None, Iterable[str]]]:
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = msgspec.json.decode(line, type=dict)
            labels = row.get("labels", [name for name, value in row.items() if value == 1 and name != "id"])
            yield row["text"], row.get("annotator"), [str(label) for label in labels]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise OperatorError(f"{file}, line {number}: no row with text and labels ({error}); correct it") from None


def _majority(voices: Sequence[Labels]) -> dict[str, frozenset[str]]:
    cast: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    for labels in voices:
        for text, chosen in labels.items():
            cast[text].append(chosen)
    return {
        text: frozenset(
            label for label, n in Counter(name for one in votes for name in one).items() if 2 * n >= len(votes)
        )
        for text, votes in cast.items()
    }


def of_study(config: Config, data: Path | None) -> Gold:
    """Every annotator's labels of a priors study's data. Raises OperatorError as its loaders do."""
    return of_corpus(design.load(config, data))


def of_corpus(corpus: Corpus) -> Gold:
    """Every annotator's labels of a data set."""
    return gold(
        (item.text, annotator, [name for name, on in zip(corpus.labels, cells, strict=True) if on])
        for item in corpus.items
        for annotator, cells in item.labels.items()
    )
