"""Similarity retrieval by TF-IDF and cosine, in numpy. Ours: the paper (arXiv 2403.17125) used a sentence encoder."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from common.errors import OperatorError
from llm_studies.icl_priors.items import Item

WORD = re.compile(r"[^\W_]+")


class Nearest:
    """An index over the texts that may be shown."""

    def __init__(self, candidates: Sequence[Item]) -> None:
        self._candidates = tuple(candidates)
        counts = [Counter(words(item.text)) for item in candidates]
        seen = Counter(word for one in counts for word in one)
        # Smoothed inverse document frequency: 1 + ln((1 + n) / (1 + df)), as scikit-learn's default.
        self._idf = {word: 1 + float(np.log((1 + len(counts)) / (1 + df))) for word, df in seen.items()}
        rows: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for row, one in enumerate(counts):
            for word, weight in self._weights(one).items():
                rows[word].append((row, weight))
        self._postings = {
            word: (np.array([r for r, _ in hits]), np.array([w for _, w in hits])) for word, hits in rows.items()
        }

    def scores(self, text: str) -> np.ndarray:
        """Cosine with every candidate, float64 (candidates,)."""
        found = np.zeros(len(self._candidates))
        for word, weight in self._weights(Counter(words(text))).items():
            rows, weights = self._postings[word]
            found[rows] += weight * weights
        return found

    def choose(self, text: str, shots: int) -> tuple[Item, ...]:
        """The ``shots`` most similar, the most similar last, beside the query; of equals the earlier is taken first.

        Raises OperatorError when there are too few candidates.
        """
        if shots > len(self._candidates):
            raise OperatorError(
                f"shots: {shots} are asked for, {len(self._candidates)} texts can be shown; lower it in the study file"
            )
        best = np.argsort(-self.scores(text), kind="stable")[:shots]
        return tuple(self._candidates[row] for row in best[::-1])

    def _weights(self, counts: Counter[str]) -> dict[str, float]:
        """Unit-length TF-IDF of the words that the index knows."""
        raw = {word: n * self._idf[word] for word, n in counts.items() if word in self._idf}
        length = float(np.sqrt(sum(weight**2 for weight in raw.values()))) or 1.0
        return {word: weight / length for word, weight in raw.items()}


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())
