import msgspec
import numpy as np
import pytest

from common.export.latency import interleaved
from vision_nlp.fff import bench
from vision_nlp.fff.bench import DENSE, GATHER, GROUPED, Case, FffBench
from vision_nlp.fff.bench_training import StepRow, measure_steps
from vision_nlp.fff.config import Model


def test_cost_of_a_case_by_hand() -> None:
    # specification, section 6.3: (8,8) is 2048 wide, costs 8 * 768 + 8 * 1536 and saves a factor of 171
    assert (Case(8, 8).width, Case(8, 8).mac) == (2048, 18432)
    assert 2048 * 1536 / Case(8, 8).mac == pytest.approx(171, abs=0.5)


def test_measures_every_engine_on_every_batch() -> None:
    rows = bench.measure(Case(2, 2), (1, 5), budget=0.02)
    assert [row.batch for row in rows] == [1, 5]
    for row in rows:
        assert msgspec.json.decode(msgspec.json.encode(row), type=bench.BenchRow) == row
        assert row.width == 8
        assert row.equal_mac_width == round((2 * 768 + 2 * 1536) / 1536)
        assert set(row.engines) == {DENSE, "dense int8", "dense equal MAC", GATHER, f"{GATHER} descend", GROUPED}
        assert row.engines[DENSE].speedup == 1.0
        for timed in row.engines.values():
            assert 0 < timed.best_us <= timed.median_us
            assert timed.speedup == pytest.approx(row.engines[DENSE].median_us / timed.median_us, rel=0.05, abs=0.01)


def test_turns_are_interleaved_so_that_a_busy_machine_slows_all_alike() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in (DENSE, "a", "b")}
    times = interleaved(calls, budget=0.05)
    turns = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert len({len(seconds) for seconds in times.values()}) == 1
    assert len(times[DENSE]) >= 5
    assert turns[: len(turns) // 3 * 3] == [DENSE, "a", "b"] * (len(turns) // 3)


def test_a_wrong_engine_is_not_timed() -> None:
    right = np.ones((2, 3), np.float32)
    with pytest.raises(AssertionError, match="gather"):
        bench._agree({GROUPED: lambda: right, GATHER: lambda: right + 0.01})


def test_promises_are_judged_by_the_rows() -> None:
    def row(case: Case, batch: int, speedup: float) -> bench.BenchRow:
        timed = {
            name: bench.Timed(best_us=1.0, median_us=1.0, speedup=s) for name, s in ((DENSE, 1.0), (GATHER, speedup))
        }
        return bench.BenchRow(
            leaf_width=case.leaf_width,
            depth=case.depth,
            width=case.width,
            batch=batch,
            work_ratio=2.0,
            equal_mac_width=1,
            engines=timed,
        )

    rows = (row(Case(8, 8), 1, 3.0), row(Case(8, 8), 1024, 9.0), row(Case(32, 8), 64, 9.9), row(Case(8, 4), 1, 99.0))
    targets = tuple(bench._targets(rows))
    assert [(t.measured, t.needed, t.met) for t in targets] == [(3.0, 3.0, True), (9.9, 10.0, False)]
    steps = tuple(
        StepRow(leaf_width=1, depth=7, batch=batch, ours_ms=2.0, looped_ms=24.0, speedup=12.0) for batch in (256, 64)
    )
    promised = tuple(bench._step_targets(steps))
    assert [(t.measured, t.needed, t.met) for t in promised] == [(12.0, 10.0, True)]
    report = FffBench(
        machine="toy", threads=1, inputs=768, outputs=768, rows=rows, steps=steps, targets=targets + promised
    )
    assert "MISSED: gather over dense at width 8192, batch 64: 9.9x, needs 10.0x" in report.table()
    assert "met: training step over the looped form at (1,7), batch 256: 12.0x, needs 10.0x" in report.table()
    assert msgspec.json.decode(msgspec.json.encode(report), type=FffBench) == report


def test_a_training_step_is_measured_at_every_batch_size() -> None:
    for row, batch in zip(
        measure_steps((4, 9), 0.01, Model(leaf_width=2, depth=3, master_width=2)), (4, 9), strict=True
    ):
        assert (row.leaf_width, row.depth, row.batch) == (2, 3, batch)
        assert row.speedup == pytest.approx(row.looped_ms / row.ours_ms, rel=0.05, abs=0.01)
