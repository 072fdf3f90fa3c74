"""The whole training on the bundled digits, a few steps at a time."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from common.errors import OperatorError
from common.training import checkpoint, events, loop
from common.training.run import EVENTS, open_run
from contracts.runs import EpochEnded, RunStarted
from vision_nlp import pictures
from vision_nlp.acn.augment import plain
from vision_nlp.acn.config import Augment, Config, Data, Model, Optim
from vision_nlp.acn.evaluate import accuracy, load_model
from vision_nlp.acn.losses import cross_entropy, exit_loss
from vision_nlp.acn.model import build
from vision_nlp.acn.train import objective, train
from vision_nlp.pictures import Rows

SMALL = Model(backbone="mlp", layers=3, width=12, channel_width=16, dropout=0.2)
SHORT = Config(
    seed=3,
    data=Data(augment=Augment(shift=1, flip=True, cutmix=0.5)),
    model=SMALL,
    optim=Optim(batch=256, epochs=3, lr=0.01, warmup=2, label_smoothing=0.1, accumulate=2, checkpoint_every=2),
)
BATCHES = 6
"""Of 1293 training rows, in one epoch."""


def run(out: Path, config: Config = SHORT, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train acn")


def only_run(out: Path) -> Path:
    (folder,) = (out / "acn").iterdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def splits() -> pictures.Splits:
    return pictures.load(SHORT.data, SHORT.seed, None, torch.device("cpu"))


def kept(folder: Path) -> bytes:
    """The selected weights, byte for byte."""
    best = checkpoint.read(folder / "checkpoints" / "best-train.safetensors").part("model")
    return b"".join(tensor.numpy().tobytes() for _, tensor in sorted(best.items()))


def test_the_same_seed_gives_the_same_weights(whole: Path, tmp_path: Path) -> None:
    assert kept(run(tmp_path)) == kept(whole)
    other = msgspec.structs.replace(SHORT, seed=4)
    assert kept(run(tmp_path / "other", other)) != kept(whole)


@pytest.mark.parametrize("killed_at", [1, 4, BATCHES, BATCHES + 1, 3 * BATCHES])
def test_a_killed_run_resumes_to_the_same_bits(
    whole: Path, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """Before the first checkpoint, within an epoch, at its end; shifts, mirrors, CutMix and dropout are drawn anew."""
    with killed(killed_at):
        run(tmp_path)
    folder = only_run(tmp_path)
    torch.rand(7)
    assert run(tmp_path, resume=folder) == folder
    assert kept(folder) == kept(whole)
    starts = [e.resumed_step for e in events.read(folder / EVENTS) if isinstance(e, RunStarted)]
    assert len(starts) == 2
    assert starts[1] == (killed_at - 1) // 2 * 2


def test_the_best_epoch_on_validation_rows_is_kept(whole: Path, splits: pictures.Splits) -> None:
    manifest = open_run(whole, "acn").manifest
    validated = [e.values["accuracy"] for e in events.read(whole / EVENTS) if isinstance(e, EpochEnded)]
    assert len(validated) == 3
    assert manifest.selection is not None
    assert manifest.selection.value == max(validated)
    assert accuracy(load_model(open_run(whole, "acn")), splits.validation) == max(validated)


def test_selection_never_sees_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    load = pictures.load

    def without_test(*args: object) -> pictures.Splits:
        loaded = load(*args)  # pyright: ignore[reportArgumentType]
        return loaded._replace(test=Rows(loaded.test.x[:0], loaded.test.y[:0]))

    monkeypatch.setattr(pictures, "load", without_test)
    assert kept(run(tmp_path)) == kept(whole)


def test_rows_are_the_pictures_in_the_order_of_the_server(splits: pictures.Splits) -> None:
    pixels = splits.images.test.images
    expected = (pixels.reshape(len(pixels), -1) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(splits.test.x.numpy(), expected, atol=1e-6)
    assert (splits.shape, splits.classes) == ((1, 8, 8), 10)
    assert len(splits.validation.y) == 144
    assert len(splits.train.y) == 1437 - 144


def test_the_objective_is_the_whole_network_and_its_share_of_all_exits(splits: pictures.Splits) -> None:
    torch.manual_seed(0)
    model = build(SMALL, splits.shape, splits.classes).eval()
    batch = plain(splits.test.x[:32], splits.test.y[:32], 10)
    whole = cross_entropy(model(batch.x), batch.target, 0.1)
    exits = exit_loss(torch.stack([model(batch.x, upto=k) for k in range(4)]), batch.target, 0.1)
    values = objective(model, batch, Optim(label_smoothing=0.1))
    torch.testing.assert_close(values[loop.LOSS], whole)
    values = objective(model, batch, Optim(label_smoothing=0.1, exit_loss=0.25))
    torch.testing.assert_close(values[loop.LOSS], 0.75 * whole + 0.25 * exits)


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Under torchrun's variables, gloo: same run folder, nothing drawn, so the weights are those of one process."""
    config = msgspec.structs.replace(
        SHORT,
        data=Data(),
        model=msgspec.structs.replace(SMALL, dropout=0.0),
        optim=Optim(batch=250, epochs=1, exit_loss=0.5),
    )
    one = run(tmp_path / "one", config)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    script = (
        "import msgspec, sys; from pathlib import Path; from vision_nlp.acn.train import train; "
        "from vision_nlp.acn.config import Config; here = Path(sys.argv[1]); "
        "config = msgspec.json.decode((here / 'config.json').read_bytes(), type=Config); "
        "train(config=config, data=None, out=here / 'two', command='kithara train acn')"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    ours, theirs = (load_model(open_run(folder, "acn")).state_dict() for folder in (one, only_run(tmp_path / "two")))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_a_finished_run_is_left_alone(whole: Path, tmp_path: Path) -> None:
    before = (whole / "events.jsonl").read_bytes()
    assert run(tmp_path, resume=whole) == whole
    assert (whole / "events.jsonl").read_bytes() == before


def test_what_the_operator_must_mend(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        run(tmp_path, resume=tmp_path)
    with pytest.raises(OperatorError, match="--data or KITHARA_DATA"):
        run(tmp_path, msgspec.structs.replace(SHORT, data=Data(name="cifar10")))
    with pytest.raises(OperatorError, match=r"model does not fit digits: .* change model\.patch"):
        run(tmp_path, msgspec.structs.replace(SHORT, model=Model(patch=3)))
    if not torch.cuda.is_available():
        with pytest.raises(OperatorError, match="no CUDA device"):
            run(tmp_path, msgspec.structs.replace(SHORT, device="cuda"))
