"""Training from the command line as an operator meets it: killed without warning, resumed, spread over processes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHORT = ["--phases.balance.epochs", "4", "--phases.harden.epochs", "3", "--phases.tune.epochs", "3"]
OFTEN = ["--optim.checkpoint-every", "7", "--model.dropout", "0.1", "--model.region-leak", "0.05"]
TRAIN = ["-m", "deploy.cli", "train", "fff"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
PATIENCE = 120


def kithara(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, *TRAIN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=ENV, check=False)


def fresh(out: Path) -> list[str]:
    return ["--config", "tiny", *SHORT, *OFTEN, "--out", str(out)]


def finished(out: Path) -> tuple[Path, str]:
    """The one run below ``out`` and the digest of its selected weights."""
    (manifest,) = out.glob("fff/*/run.json")
    record = json.loads(manifest.read_text())
    assert record["status"] == "finished"
    return manifest.parent, hashlib.sha256((manifest.parent / record["checkpoint"]).read_bytes()).hexdigest()


def steps(run: Path) -> list[int]:
    """Of the resumable checkpoints that are whole on disk."""
    return sorted(int(p.stem.removeprefix("step-")) for p in run.glob("checkpoints/step-*.safetensors"))


def weights(path: Path) -> dict[str, object]:
    from safetensors.numpy import load_file

    return {name: array for name, array in load_file(path).items() if name.startswith("model")}


def test_a_run_killed_by_the_system_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = kithara(*fresh(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr[-2000:]
    process = subprocess.Popen(
        [sys.executable, *TRAIN, *fresh(tmp_path / "killed")],
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + PATIENCE
    while not [s for run in (tmp_path / "killed").glob("fff/*") for s in steps(run) if s > 50]:
        assert time.monotonic() < give_up
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (run,) = (tmp_path / "killed").glob("fff/*")
    assert json.loads((run / "run.json").read_text())["status"] == "running"
    resumed = kithara("--resume", str(run))
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert resumed.stdout.strip() == str(run)
    one, other = finished(tmp_path / "whole")[0], finished(tmp_path / "killed")[0]
    left, right = (weights(r / "checkpoints/best-tune.safetensors") for r in (one, other))
    assert left.keys() == right.keys()
    assert all((left[name] == right[name]).all() for name in left)


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's gloo rendezvous; run on Linux or macOS")
def test_torchrun_trains_one_model_in_two_processes(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = kithara(*fresh(tmp_path), "--json", launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    run, _ = finished(tmp_path)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events].count("run-started") == 1
    assert events[-1]["event"] == "run-finished"
    assert json.loads(done.stdout)["run"] == str(run)
