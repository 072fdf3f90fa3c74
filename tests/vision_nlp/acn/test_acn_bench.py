"""The bench's arithmetic by hand, and its engines against the network in numpy. No time is judged here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from common.registry.store import Repository
from contracts.tensors import Signature
from contracts.vision_nlp import acn_signature
from vision_nlp.acn import bench, bench_depths
from vision_nlp.acn.bench import AcnBench, Pictures, targets
from vision_nlp.acn.bench_depths import DepthRow, depth_rows, measure_depths, medians
from vision_nlp.acn.bench_exits import EXITS, INT8, WHOLE, ExitRow, measure_exits
from vision_nlp.acn.config import Model
from vision_nlp.acn.wiring import AutoCompressing

THRESHOLD = 0.5
SIZES = {0: 500_000, 2: 2_500_000, 4: 4_500_000}


def test_the_time_of_a_cut_is_that_of_its_blocks_and_the_fixed_part() -> None:
    # embedding and head take 2, a block takes 3: f = 2/3 of a block
    exact = depth_rows(1, {0: 2.0, 2: 8.0, 4: 14.0}, SIZES)
    assert [(row.depth, row.megabytes, row.ratio, row.expected, row.deviation) for row in exact] == [
        (2, 2.5, 0.5714, 0.5714, 0.0),
        (4, 4.5, 1.0, 1.0, 0.0),
    ]
    slow = depth_rows(32, {0: 2.0, 2: 8.8, 4: 14.0}, SIZES)
    assert (slow[0].batch, slow[0].deviation) == (32, 0.1)


def test_turns_are_taken_alternately_and_at_least_five() -> None:
    order: list[int] = []
    found = medians({k: lambda k=k: order.append(k) for k in (0, 1, 2)}, budget=0.0)
    assert order == [0, 1, 2] * 6  # one of them to warm up
    assert found.keys() == {0, 1, 2}


def test_every_depth_is_measured_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []

    def in_torch(module: AutoCompressing, signature: Signature, path: Path) -> Callable[[np.ndarray], Any]:
        path.write_bytes(b"0" * 1000 * module.depth)
        assert signature == acn_signature(64, 10)
        saved.append(module.depth)
        return lambda pixels: module(torch.from_numpy(pixels))

    monkeypatch.setattr(bench_depths, "save", in_torch)
    model = Model(layers=2, width=8, patch=4, token_width=4, channel_width=8)
    rows = measure_depths(model, (1, 8, 8), (1, 2), (1, 3), budget=0.01)
    assert saved == [0, 1, 2]
    assert [(row.batch, row.depth) for row in rows] == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert all(row.us > 0 for row in rows)
    assert [row.megabytes for row in rows[:2]] == [0.001, 0.002]
    assert rows[1].ratio == rows[1].expected == 1.0


@pytest.fixture(scope="module")
def measured(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ExitRow], np.ndarray, np.ndarray]:
    """The rows of all engines; logits of all sub-networks and labels, of which some are wrong."""
    root = tmp_path_factory.mktemp("models")
    card = toy.publish(root, properties={"exit_entropy": THRESHOLD, "cut": 2})
    pixels = toy.pixels(150, seed=2)
    logits = toy.all(pixels)
    labels = np.where(np.arange(150) % 7 == 0, 0, logits[4].argmax(1))
    return measure_exits(root, card, Pictures(pixels, labels)), logits, labels


def test_every_engine_answers_every_picture(measured: tuple[list[ExitRow], np.ndarray, np.ndarray]) -> None:
    rows, logits, labels = measured
    certain = np.stack([entropy(softmax(logits[d], axis=1), axis=1) < THRESHOLD for d in (1, 2)])
    depth = np.where(certain[0], 1, np.where(certain[1], 2, 4))
    early = logits[depth, np.arange(len(labels))]
    expected = {
        WHOLE: (logits[4], 4.0),
        EXITS: (early, depth.mean()),
        "cut at 2": (logits[2], 2.0),
    }
    assert [(row.how, row.together, row.engine) for row in rows] == [
        *(("bare", n, engine) for n in (1, 32) for engine in (WHOLE, EXITS, "cut at 2", INT8)),
        *(("served", n, engine) for n in (1, 32) for engine in (WHOLE, EXITS)),
    ]
    assert 1 < depth.mean() < 4
    for row in rows:
        if row.engine in expected:
            answers, blocks = expected[row.engine]
            assert row.accuracy == pytest.approx((answers.argmax(1) == labels).mean(), abs=1e-4)
            assert row.mean_depth == pytest.approx(blocks, abs=0.01)
        whole = next(r for r in rows if (r.how, r.together, r.engine) == (row.how, row.together, WHOLE))
        # as exactly as three rounded numbers allow
        assert row.speedup * row.us == pytest.approx(whole.us, abs=0.1 * (1 + row.speedup))


def test_promises_are_judged_by_the_rows() -> None:
    def exits(how: str, engine: str, speedup: float, accuracy: float) -> ExitRow:
        return ExitRow(how=how, together=1, engine=engine, us=1.0, speedup=speedup, accuracy=accuracy, mean_depth=3.0)

    depths = [
        DepthRow(batch=1, depth=k, megabytes=k, us=1.0, ratio=0.5, expected=0.5, deviation=off)
        for k, off in ((2, 0.02), (4, -0.11))
    ]
    rows = [
        exits("bare", WHOLE, 1.0, 0.9), exits("bare", EXITS, 1.3, 0.895), exits("bare", INT8, 1.2, 0.5),
        exits("served", WHOLE, 1.0, 0.9), exits("served", EXITS, 1.29, 0.8949),
    ]  # fmt: skip
    found = tuple(targets(depths, rows))
    assert [(t.measured, t.bound, t.met) for t in found] == [
        (0.11, 0.1, False),
        (1.3, 1.3, True),
        (0.5, 0.5, True),
        (1.29, 1.3, False),
        (0.51, 0.5, False),
    ]
    report = AcnBench(
        machine="toy", network="toy", depths=tuple(depths), pictures="toy", exits=tuple(rows), targets=found
    )
    assert "MISSED: speed-up by early exit, served, 1 at once: 1.29, bound 1.3" in report.table()
    assert msgspec.json.decode(msgspec.json.encode(report), type=AcnBench) == report


def test_without_a_model_or_its_pictures_the_report_says_why(
    toy_root: Path, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Model] = []

    def record(model: Model, *_: object) -> list[DepthRow]:
        measured.append(model)
        return []

    monkeypatch.setattr(bench, "measure_depths", record)
    monkeypatch.setenv("KITHARA_MODELS", str(tmp_path))
    monkeypatch.delenv("KITHARA_DATA", raising=False)
    report = bench.bench(quick=True)
    assert (report.exits, report.targets) == ((), ())
    assert "no acn-fashion-mnist or acn-digits" in report.pictures
    config = {"data": {"name": "fashion_mnist"}, "model": {"layers": 4, "width": 12}}
    lineage = msgspec.structs.replace(Repository(toy_root).load("acn-toy", 1).card.lineage, config=config)
    toy._replace(name="acn-fashion-mnist").publish(tmp_path, lineage=lineage)
    report = bench.bench(quick=True)
    assert report.pictures.startswith("not measured, fashion_mnist is not bundled")
    assert [(model.layers, model.width) for model in measured] == [(8, 96), (4, 12)]
