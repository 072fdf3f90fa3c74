"""The published episodes of Lyra and FMA: the counts in the authors' result files, and what naming every tag scores."""

import os
from functools import cache
from pathlib import Path

import pytest

from common.errors import OperatorError
from music_fewshot.lc_protonets.replay import Table, read_table, replay

DATA = os.environ.get("KITHARA_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="set KITHARA_DATA to a folder that holds lcp_replay/")


@cache
def table(name: str) -> Table:
    assert DATA is not None
    return read_table(Path(DATA, "lcp_replay", f"{name}.json"))


@needs_data
@pytest.mark.parametrize(
    ("name", "ways", "choice", "combinations", "support", "queries", "true", "closed"),
    [
        ("lyra", 5, "base", 31, 5, 325, 3.02, 5),
        ("lyra", 15, "base", 1_255, 15, 315, 4.87, 49),
        ("lyra", 15, "novel", 39, 23, 146, 1.99, 12),
        ("lyra", 30, "base", 2_771, 31, 299, 5.99, 81),
        ("lyra", 30, "both", 2_771, 31, 299, 5.99, 81),
        ("lyra", 45, "both", 8_775, 43, 287, 7.04, 135),
        ("lyra", 60, "both", 28_149, 58, 272, 7.32, 210),
        ("fma", 5, "base", 6, 12, 3_530, 1.18, 4),
        ("fma", 15, "base", 26, 39, 4_574, 1.41, 16),
        ("fma", 15, "novel", 20, 41, 1_485, 1.11, 20),
        ("fma", 30, "both", 133, 56, 4_673, 1.78, 45),
        ("fma", 60, "both", 368, 116, 4_807, 2.07, 100),
    ],
)
def test_seed_21_gives_the_published_episodes(name, ways, choice, combinations, support, queries, true, closed) -> None:
    got = replay(table(name), ways, choice, 21)
    assert (got.combinations, got.support, got.queries, got.closed_sets) == (combinations, support, queries, closed)
    assert round(got.true, 2) == true


@needs_data
@pytest.mark.parametrize(
    ("seed", "combinations", "closed"), [(3, 27_053, 236), (4, 21_652, 311), (7, 32_448, 235), (13, 14_920, 222)]
)
def test_other_seeds_of_lyra_60_way(seed: int, combinations: int, closed: int) -> None:
    got = replay(table("lyra"), 60, "both", seed)
    assert (got.combinations, got.closed_sets) == (combinations, closed)


@needs_data
@pytest.mark.parametrize(
    ("name", "ways", "choice", "macro", "micro"),
    [
        ("lyra", 30, "base", 0.289, 0.333),
        ("lyra", 30, "both", 0.289, 0.333),
        ("lyra", 45, "both", 0.236, 0.271),
        ("lyra", 60, "both", 0.186, 0.217),
        ("fma", 20, "base", 0.137, 0.145),
        ("fma", 15, "novel", 0.137, 0.137),
        ("fma", 30, "both", 0.106, 0.112),
        ("fma", 40, "both", 0.086, 0.091),
        ("fma", 45, "both", 0.079, 0.083),
        ("fma", 60, "both", 0.063, 0.067),
    ],
)
def test_naming_every_tag_scores_what_is_published_for_untuned_ml_pn(name, ways, choice, macro, micro) -> None:
    """Published to three decimals here; the file's own figures differ by less than their rounding."""
    got = replay(table(name), ways, choice, 21).all_ones
    assert got.macro == pytest.approx(macro, abs=6e-4)
    assert got.micro == pytest.approx(micro, abs=6e-4)


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="--data"):
        read_table(tmp_path / "lyra.json")
