"""Training from the command line, killed without warning in its second phase, and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.numpy import load_file

TRAIN = [sys.executable, "-m", "deploy.cli", "train", "lc_protonets"]
SHORT = ["--config", "tiny", "--pretrain.epochs", "2", "--episodic.trained", "full", "--episodic.epochs", "4"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
PATIENCE = 120


def steps(out: Path) -> list[int]:
    """Of the resumable checkpoints that are whole on disk."""
    found = out.glob("lc_protonets/*/checkpoints/step-*.safetensors")
    return [int(path.stem.removeprefix("step-")) for path in found]


def selected(run: Path) -> dict[str, bytes]:
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    tensors = load_file(run / record["checkpoint"])
    return {name: array.tobytes() for name, array in tensors.items() if name.startswith("model")}


def test_a_run_killed_by_the_system_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    often = [*SHORT, "--checkpoint-every", "5"]
    whole = subprocess.run(
        [*TRAIN, *often, "--out", str(tmp_path / "whole")], capture_output=True, text=True, env=ENV, check=False
    )
    assert whole.returncode == 0, whole.stderr[-2000:]
    process = subprocess.Popen(
        [*TRAIN, *often, "--out", str(tmp_path / "killed")],
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + PATIENCE
    while max(steps(tmp_path / "killed"), default=0) <= 35:  # 30 supervised steps, then 80 episodes
        assert time.monotonic() < give_up
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (run,) = (tmp_path / "killed").glob("lc_protonets/*")
    assert json.loads((run / "run.json").read_text())["status"] == "running"
    resumed = subprocess.run([*TRAIN, "--resume", str(run)], capture_output=True, text=True, env=ENV, check=False)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert resumed.stdout.strip() == str(run)
    assert selected(run) == selected(Path(whole.stdout.strip()))
