"""The whole training on the bundled digits, a few epochs at a time."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest
import torch

from common.errors import OperatorError
from common.training import checkpoint, events
from common.training.run import EVENTS, open_run
from contracts.runs import EpochEnded, PhaseStarted, RunStarted
from vision_nlp import pictures
from vision_nlp.fff import train as fff_train
from vision_nlp.fff.config import Config, Model, Optim, Phase, Phases, Tune
from vision_nlp.fff.evaluate import Metrics, accuracy, evaluate, load_model
from vision_nlp.fff.hard import HardFFF
from vision_nlp.fff.train import train

SHORT = Config(
    seed=3,
    model=Model(depth=2, leaf_width=4, master_width=3, dropout=0.2, region_leak=0.05),
    optim=Optim(batch=256, schedule="cosine", warmup=2, checkpoint_every=2, accumulate=2, clip=5.0),
    phases=Phases(
        balance=Phase(epochs=2, lr=0.01, harden=1, balance=1),
        harden=Phase(epochs=2, lr=0.01, harden=3),
        tune=Tune(epochs=1, lr=0.01),
    ),
)


class Killed(BaseException):
    """Stands for the signal: nothing of ours catches it."""


def run(out: Path, config: Config = SHORT, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train fff")


def only_run(out: Path) -> Path:
    (folder,) = (out / "fff").iterdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole"))


def kept(folder: Path) -> dict[str, bytes]:
    """The weights of every selected checkpoint, byte for byte."""
    return {p.name: b"".join(t.numpy().tobytes() for _, t in sorted(checkpoint.read(p).part("model").items()))
            for p in sorted((folder / "checkpoints").glob("best-*"))}  # fmt: skip


def test_the_same_seed_gives_the_same_weights(whole: Path, tmp_path: Path) -> None:
    assert kept(run(tmp_path)) == kept(whole)


@pytest.mark.parametrize("killed_at", [1, 3, 6, 11, 12, 15, 27, 30])
def test_a_killed_run_resumes_to_the_same_bits(
    whole: Path, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """Before the first checkpoint, in the middle of an epoch, at ends of epochs and of phases; dropout is on."""
    with killed(killed_at):
        run(tmp_path)
    folder = only_run(tmp_path)
    assert open_run(folder, "fff").manifest.status == "running"
    torch.rand(7)
    assert run(tmp_path, resume=folder) == folder
    assert kept(folder) == kept(whole)
    done = open_run(folder, "fff").manifest
    assert done.status == "finished"
    assert done.selection == open_run(whole, "fff").manifest.selection
    starts = [e.resumed_step for e in events.read(folder / EVENTS) if isinstance(e, RunStarted)]
    assert len(starts) == 2
    assert starts[1] <= killed_at - 1
    assert starts[1] % 2 == 0


def test_a_kill_while_writing_leaves_the_checkpoint_before(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = checkpoint.write_whole, 0

    def dies(path: Path, content: bytes) -> None:
        nonlocal count
        count += 1
        if count == 6:
            path.write_bytes(content[: len(content) // 2])
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_whole", dies)
        with pytest.raises(Killed):
            run(tmp_path)
    folder = only_run(tmp_path)
    with (folder / EVENTS).open("ab") as file:
        file.write(b'{"event":"st')
    run(tmp_path, resume=folder)
    assert kept(folder) == kept(whole)
    assert list(events.read(folder / EVENTS))


def test_phases_in_order_and_hardening_starts_from_the_best_of_balancing(whole: Path) -> None:
    log = list(events.read(whole / EVENTS))
    assert [(e.phase, e.epochs) for e in log if isinstance(e, PhaseStarted)] == [
        ("balance", 2),
        ("harden", 2),
        ("tune", 1),
    ]
    selection = open_run(whole, "fff").manifest.selection
    assert selection is not None
    tuned = [e.values["accuracy_hard"] for e in log if isinstance(e, EpochEnded) and e.phase == "tune"]
    assert selection.value == max(tuned)


def test_hardening_moves_the_live_parameters_and_tuning_spares_the_tree(whole: Path) -> None:
    """In the released code the hardening optimiser holds parameters that the model no longer has: nothing moves."""
    models = {
        name: checkpoint.read(whole / "checkpoints" / f"best-{name}.safetensors").part("model")
        for name in ("balance", "harden", "tune")
    }
    for name, before in models["balance"].items():
        assert not torch.equal(before, models["harden"][name]), name
    for name, before in models["harden"].items():
        assert torch.equal(before, models["tune"][name]) == name.startswith("node"), name


def test_hardening_lowers_the_node_entropy() -> None:
    config = msgspec.structs.replace(SHORT, model=Model(depth=2, leaf_width=4))
    splits = pictures.load(config.data, config.seed, None, torch.device("cpu"))
    torch.manual_seed(0)
    model = fff_train.FFF(64, 10, config.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    entropies = []
    for _ in range(30):
        values = fff_train.soft_step(model, splits.train, Phase(epochs=1, harden=3), torch.arange(256))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        entropies.append(values["entropy"].item())
    assert entropies[-1] < 0.5 * entropies[0]


def test_selection_never_sees_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """The released scripts select on the test set."""
    load = pictures.load

    def without_test(*args: object) -> pictures.Splits:
        splits = load(*args)  # pyright: ignore[reportArgumentType]
        return splits._replace(test=pictures.Rows(splits.test.x[:0], splits.test.y[:0]))

    monkeypatch.setattr(pictures, "load", without_test)
    assert kept(run(tmp_path)) == kept(whole)


def test_evaluation_keeps_soft_and_hard_apart_and_writes_both_files(whole: Path) -> None:
    """The released code reports the soft accuracy on the training set beside a hard one on the test set."""
    manifest = evaluate(run=whole, data=None)
    figures = msgspec.json.decode((whole / "metrics.json").read_bytes(), type=Metrics)
    splits = pictures.load(SHORT.data, SHORT.seed, None, torch.device("cpu"))
    model = load_model(open_run(whole, "fff"))
    frozen = HardFFF(model.weights())
    served = (frozen(splits.test.x).logits.argmax(1) == splits.test.y).double().mean().item()
    assert figures.test_hard == pytest.approx(served)
    assert figures.train_hard == accuracy(model, splits.train, hard=True)
    assert figures.train_soft == accuracy(model, splits.train, hard=False)
    counts = torch.bincount(frozen(splits.test.x).leaf, minlength=4).double() / len(splits.test.y)
    assert figures.leaves_used == (counts > 0).double().mean().item()
    assert figures.leaf_least == pytest.approx(counts.min().item())
    assert figures.latency_us.keys() == {1, 32}
    assert min(figures.latency_us.values()) > 0
    assert figures.mac == 2 * 64 + (4 + 3) * 74
    assert figures.leaves_effective == pytest.approx(torch.distributions.Categorical(counts).entropy().exp().item())
    p = model(splits.test.x).mixture
    assert figures.mean_max_p == pytest.approx(p.amax(1).mean().item(), rel=1e-4)
    assert figures.master_share == pytest.approx(1 - torch.sigmoid(model.k.detach()).item())  # pyright: ignore[reportOptionalMemberAccess]
    assert {(m.name, m.split): m.value for m in manifest.metrics} == {
        ("accuracy", "test"): figures.test_hard,
        ("accuracy_soft", "test"): figures.test_soft,
        ("accuracy", "train"): figures.train_hard,
        ("accuracy_soft", "train"): figures.train_soft,
    }
    assert open_run(whole, "fff").manifest == manifest


def test_accuracy_refuses_a_network_in_train_mode(whole: Path) -> None:
    model = load_model(open_run(whole, "fff")).train()
    with pytest.raises(ValueError, match="eval mode"):
        accuracy(model, pictures.Rows(torch.zeros(1, 64), torch.zeros(1, dtype=torch.int64)), hard=True)


def test_a_depth_of_zero_trains(tmp_path: Path) -> None:
    config = msgspec.structs.replace(SHORT, model=Model(depth=0, leaf_width=4, master_width=0))
    manifest = evaluate(run=run(tmp_path, config), data=None)
    assert manifest.properties["leaves_used"] == 1.0
    assert manifest.properties["soft_hard_gap"] == 0.0


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Under torchrun's variables, gloo: same run folder, no dropout, so the weights are those of one process."""
    config = msgspec.structs.replace(
        SHORT,
        model=Model(depth=2, leaf_width=4),
        optim=Optim(batch=250),
        phases=Phases(balance=Phase(epochs=1, harden=1.0), harden=Phase(epochs=0), tune=Tune(epochs=1)),
    )
    one = run(tmp_path / "one", config)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    script = (
        "import msgspec, sys; from pathlib import Path; from vision_nlp.fff.train import train; "
        "from vision_nlp.fff.config import Config; here = Path(sys.argv[1]); "
        "config = msgspec.json.decode((here / 'config.json').read_bytes(), type=Config); "
        "train(config=config, data=None, out=here / 'two', command='kithara train fff')"
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
    ours, theirs = (load_model(open_run(folder, "fff")).state_dict() for folder in (one, only_run(tmp_path / "two")))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_a_finished_run_is_left_alone(whole: Path, tmp_path: Path) -> None:
    before = (whole / "events.jsonl").read_bytes()
    assert run(tmp_path, resume=whole) == whole
    assert (whole / "events.jsonl").read_bytes() == before


def test_what_the_operator_must_mend(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        run(tmp_path, resume=tmp_path)
    with pytest.raises(OperatorError, match="0 epochs"):
        run(
            tmp_path,
            msgspec.structs.replace(
                SHORT, phases=Phases(balance=Phase(epochs=0), harden=Phase(epochs=0), tune=Tune(epochs=0))
            ),
        )
    with pytest.raises(OperatorError, match="--data or KITHARA_DATA"):
        run(tmp_path, msgspec.structs.replace(SHORT, data=msgspec.structs.replace(SHORT.data, name="mnist")))
    if not torch.cuda.is_available():
        with pytest.raises(OperatorError, match="no CUDA device"):
            run(tmp_path, msgspec.structs.replace(SHORT, device="cuda"))
