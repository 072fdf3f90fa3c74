"""The bench's inputs and its arithmetic; no time is asserted."""

import numpy as np
import pytest

from music_fewshot.lc_protonets.bench import MatchBench, SizeRow, targets
from music_fewshot.lc_protonets.closed import closed_sets, multi_hot
from music_fewshot.lc_protonets.scaling import LYRA_60, THOUSAND, Shape, clustered

ROW = SizeRow(labels=60, items=58, combinations="9", closed_sets=5, build_ms=2.0, one_us=50.0, batch_us=4.0)
WIDE = SizeRow(labels=1_000, items=9, combinations="9", closed_sets=5, build_ms=2.0, one_us=6_000.0, batch_us=400.0)


@pytest.mark.parametrize("shape", [LYRA_60, THOUSAND])
def test_the_generated_label_sets_have_the_shape_that_is_asked_for(shape: Shape) -> None:
    sets = clustered(shape, 0)
    sizes = multi_hot(sets, shape.labels).sum(1)
    assert len(sets) == shape.items
    assert 1 <= sizes.min() <= sizes.max() <= shape.most
    assert abs(sizes.mean() - shape.mean) < 0.1 * shape.mean
    assert clustered(shape, 0) == sets != clustered(shape, 1)


def test_the_60_way_label_sets_are_no_easier_than_the_published_episode() -> None:
    assert len(closed_sets(clustered(LYRA_60, 0), 10_000)) >= 210


def test_labels_come_together_in_clusters() -> None:
    hot = multi_hot(clustered(LYRA_60, 0), 60)
    cluster = np.arange(60) % 5
    together = hot.astype(int).T @ hot
    same = cluster[:, None] == cluster
    np.fill_diagonal(same, False)
    assert together[same].mean() > 2 * together[cluster[:, None] != cluster].mean()


def test_targets_compare_with_their_bounds() -> None:
    found = {t.what: t for t in targets((ROW, WIDE), 100_000.0, 0.5)}
    assert not found["one match at 1000 tags, us"].met
    assert found["a query in a batch at 1000 tags, us"].met
    assert found["the loop's time over ours, one match at 60 tags"].measured == 2_000.0
    assert found["the loop's time over ours, a batch at 60 tags"].measured == 25_000.0
    assert sum(not t.met for t in found.values()) == 1


def test_the_table_says_what_was_missed() -> None:
    report = MatchBench(
        machine="m", dimensions=512, rows=(ROW, WIDE), loop_us=1e5, refused_seconds=0.5, refused_mb=9.0,
        targets=tuple(targets((ROW, WIDE), 1e5, 0.5)),
    )  # fmt: skip
    assert report.table().count("MISSED") == 1
    assert "60     58             9       5" in report.table()
