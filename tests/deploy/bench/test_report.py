import msgspec
import numpy as np
import pytest

from contracts.models import Limits
from deploy.bench.answers import Answer
from deploy.bench.client import Result, Sample
from deploy.bench.measure import Load, Oracle, judged, reachable, sorted_batches
from deploy.bench.models import Arrays, mlp, ragged, run
from deploy.bench.report import OverloadRow, ServingReport, StartRow, percentile, target
from deploy.bench.serving import judge_overload


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle(mlp("m", (4, 3), rows=2, limits=Limits()))


def answer(oracle: Oracle, request: int, error: float = 0.0) -> Answer:
    y = (run(oracle.session, oracle.bench, oracle.bench.rows[request])["logits"] + error).astype(np.float32)
    head = b'{"outputs":[{"name":"logits","datatype":"FP32","shape":[1,3],"parameters":{"binary_data_size":12}}]}'
    return Answer(200, b"http/1.1 200 ok\r\ninference-header-content-length: %d" % len(head), head + y.tobytes())


def test_oracle_takes_the_right_answer_of_the_right_request_only(oracle: Oracle) -> None:
    assert oracle.right(Sample(0, 0.0, 0.1, answer(oracle, 0)))
    assert oracle.right(Sample(0, 0.0, 0.1, answer(oracle, 0, error=1e-6)))
    assert not oracle.right(Sample(0, 0.0, 0.1, answer(oracle, 0, error=1e-2)))
    assert not oracle.right(Sample(1, 0.0, 0.1, answer(oracle, 0)))
    assert not oracle.right(Sample(0, 0.0, 0.1, Answer(200, b"http/1.1 200 ok", b"{}")))


def test_overload_counts_only_right_answers_in_time_as_goodput(oracle: Oracle) -> None:
    busy = Answer(503, b"http/1.1 503 x\r\nretry-after: 1", b"")
    samples = [
        Sample(0, 0.0, 0.5, answer(oracle, 0)),
        Sample(1, 0.0, 1.0, answer(oracle, 1)),
        Sample(1, 0.0, 1.5, answer(oracle, 1)),
        Sample(0, 0.0, 0.1, answer(oracle, 1)),
        Sample(0, 0.0, 0.004, busy),
        Sample(0, 0.0, 0.008, busy._replace(head=b"http/1.1 503 x")),
        Sample(0, 0.0, 0.1, busy._replace(status=500)),
    ]
    load = Load(window=1, peak=4.0, refusals=40.0)
    row = judged(oracle, Result(samples, 2.0, unsent=3, unanswered=4, broken=5), load, times=2.0, others=0.25)
    assert (row.window, row.offered_per_second) == (1, 8.0)
    assert row.reachable_share == pytest.approx(8 / 9)
    assert row.goodput_per_second == 1.0
    assert row.goodput_share == 0.25
    assert (row.answered, row.late, row.wrong, row.refused, row.other) == (4, 1, 1, 2, 1 + 5)
    assert (row.unsent, row.unanswered, row.retry_after_share) == (3, 4, 0.5)
    assert row.refusal_p50_ms == pytest.approx(6.0)


@pytest.mark.parametrize(("refused", "share"), [(1e9, 1.0), (1000.0, 8 / 9), (200.0, 0.0), (100.0, 0.0)])
def test_reachable_goodput_is_what_refusals_leave(refused: float, share: float) -> None:
    found = reachable(2.0, 100.0, refused)
    assert found == pytest.approx(share, abs=1e-6)
    if found:  # the core's time is used up
        assert found + (2.0 - found) * 100.0 / refused == pytest.approx(1.0)


def test_sorted_batches_hold_every_row_once_among_neighbours() -> None:
    rows = ragged(rows=12, limits=Limits(), embedding=2, hidden=2).rows

    def lengths(batches: list[Arrays]) -> list[int]:
        return [n for batch in batches for n in batch["lengths"].tolist()]

    everything = [row["tokens"].shape[1] for row in rows]
    assert lengths(sorted_batches(rows, 5)) == sorted(everything)
    assert lengths(sorted_batches(rows, 2, window=4)) == [n for i in (0, 4, 8) for n in sorted(everything[i : i + 4])]
    for batch in sorted_batches(rows, 5):
        assert batch["tokens"].shape == (len(batch["lengths"]), batch["lengths"].max())


def test_percentiles_interpolate() -> None:
    samples = [Sample(0, 0.0, seconds, Answer(200, b"", b"")) for seconds in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert percentile(samples, 50) == pytest.approx(0.3)
    assert percentile(samples, 90) == pytest.approx(0.46)
    assert percentile([], 50) is None


def test_a_miss_stays_visible() -> None:
    missed, reached = target("a", 0.79, "at least", 0.8), target("b", 20.0, "at most", 20.0)
    assert (missed.met, reached.met) == (False, True)
    report = ServingReport(
        machine="x", versions={}, quick=True, server_core=0, client_core=1, targets=(missed, reached),
        overhead=(), ceilings=(), load=(), refusals=(), overload=(), leavers=(),
        start=(StartRow(ready_seconds=1.5, peak_mb=120.0),),
    )  # fmt: skip
    lines = [line.split() for line in report.table().splitlines()]
    assert ["a", "0.790", "at", "least", "0.800", "NO"] in lines
    assert ["b", "20", "at", "most", "20", "yes"] in lines
    assert ["1.500", "120"] in lines


def test_overload_is_judged_by_the_median_of_undisturbed_windows(oracle: Oracle) -> None:
    quiet = judged(oracle, Result([], 1.0, unsent=0, unanswered=0, broken=0), Load(0, 1.0, 9.0), times=2.0, others=0.0)

    def window(goodput: float, p99: float, taken: float) -> OverloadRow:
        return msgspec.structs.replace(
            quiet, goodput_share=goodput, refusal_p99_ms=p99, core_taken_by_others=taken, retry_after_share=1.0
        )

    calm = [window(0.95, 3.0, 0.001), window(0.8, 30.0, 0.002), window(0.91, 4.0, 0.003)]
    goodput, p99, _ = judge_overload("m", [*calm, window(0.1, 500.0, 0.3)])
    assert (goodput.value, goodput.met) == (0.91, True)
    assert (p99.value, p99.met) == (4.0, True)
    goodput, p99, _ = judge_overload("m", [window(0.1, 500.0, 0.3), window(0.2, 100.0, 0.3)])
    assert not goodput.met
    assert not p99.met
