"""The README's commands for training, publishing and serving one's own model do what they say, in order."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
README_BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
BIN = Path(sys.executable).parent
ENV = {k: v for k, v in os.environ.items() if not k.startswith("KITHARA_")} | {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
}


EARLY = "Answer early, and name emotions"
VOICE = "Name the emotion in a voice"


def commands(heading: str) -> list[str]:
    """The `kithara` lines below a heading, without their comments."""
    section = README.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("kithara ")]


def run(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, env=ENV, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
    return done.stdout


def test_train_evaluate_export_serve_in_order(tmp_path: Path) -> None:
    train, evaluate, export, serve = commands("Train, evaluate, export, serve")[:4]
    folder = run(train, tmp_path).splitlines()[-1]
    manifest = json.loads(run(evaluate.replace("RUN", folder), tmp_path))
    assert {m["name"] for m in manifest["metrics"]} == {"accuracy", "accuracy_soft"}
    run(export.replace("RUN", folder), tmp_path)
    assert (tmp_path / "my-models/fff-digits/1/model.onnx").exists()
    process = subprocess.Popen(
        f"exec {serve} --port 8765", shell=True, cwd=tmp_path, env=ENV, stderr=subprocess.DEVNULL
    )
    try:
        give_up = time.monotonic() + 30
        answer = None
        while answer is None and time.monotonic() < give_up:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get("http://127.0.0.1:8765/v1/models/fff-digits")
            time.sleep(0.1)
        assert answer is not None
        assert answer.json()["card"]["lineage"]["command"] == train
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_predict(tmp_path: Path) -> None:
    (predict,) = (c for c in commands("Train, evaluate, export, serve") if "predict" in c)
    assert "trouser" in run(predict, ROOT)


@contextlib.contextmanager
def started(command: str, folder: Path, ready: str) -> Iterator[None]:
    """A command that goes on until it is stopped, from when ``ready`` answers."""
    process = subprocess.Popen(f"exec {command}", shell=True, cwd=folder, env=ENV, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(ready).status_code == 200:
                    break
            time.sleep(0.1)
        else:
            pytest.fail(f"{command}: nothing answers at {ready}")
        yield
    finally:
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_study_a_language_model(tmp_path: Path) -> None:
    respondent, solver, probe, priors, bloomwise, *_, serve = commands("Study a language model")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (
        started(respondent, tmp_path, "http://127.0.0.1:8080/health"),
        started(solver, tmp_path, "http://127.0.0.1:8081/health"),
    ):
        assert "seed" in run(probe, tmp_path)
        for command, name in ((priors, "priors-tiny"), (bloomwise, "bloomwise-tiny")):
            run(command, tmp_path)
            assert "<table" in (tmp_path / "runs" / name / "report.html").read_text(encoding="utf-8")
        (curl,) = (b.strip() for b in README_BLOCKS if b.startswith("curl") and "/v1/llm" in b)
        with started(f"{serve} --port 8766", tmp_path, "http://127.0.0.1:8766/readyz"):
            events = run(curl.replace(":8000", ":8766"), tmp_path)
    assert events.count("event: level") >= 2
    assert json.loads(events.rpartition("event: solution\ndata: ")[2].splitlines()[0])["answer"]


def blocks(heading: str) -> list[str]:
    section = README.partition(f"## {heading}")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def test_tag_music(tmp_path: Path) -> None:
    """In one shell, as a reader types them; the server is stopped and started in between, the answer stays."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    make, use = (block.replace(":8000", ":8767") for block in blocks("Tag music with your own tags")[:2])
    serve = f"kithara serve --port 8767 --database sqlite+aiosqlite:///{tmp_path}/tag-sets.sqlite3"
    with started(serve, tmp_path, "http://127.0.0.1:8767/readyz"):
        lines = run(f"{make}\necho $SET\n{use.replace('curl -sS', 'echo; curl -sS')}", tmp_path).split("\n")
        address, *answers = filter(None, lines)
        told, added, again, checked = map(json.loads, answers)
        assert told["version"] == 1
        assert set(told["clips"][0]["tags"]) == {"plucked", "fast"}
        assert told["clips"][0]["explanation"]["nearest"]["clip"] == "pluck"
        assert (added["summary"]["version"], len(added["items"])) == (2, 3)
        assert again["clips"][0]["scores"] != told["clips"][0]["scores"]
        assert "support clip of the tag set itself" in again["clips"][0]["warnings"][0]
        assert checked["items"] == 3
        assert (tmp_path / "my-sounds.safetensors").stat().st_size > 0
    ask = f"SET={address}\n" + next(line for line in use.splitlines() if "--data-binary" in line)
    with started(serve, tmp_path, "http://127.0.0.1:8767/readyz"):
        assert json.loads(run(ask, tmp_path))["clips"] == again["clips"]


def test_train_an_embedding(tmp_path: Path) -> None:
    train, evaluate, export, *_, render = commands("Tag music with your own tags")
    folder = run(train, tmp_path).splitlines()[-1]
    run(evaluate.replace("RUN", folder), tmp_path)
    run(export.replace("RUN", folder), tmp_path)
    assert "music-embedding@1" in run("kithara models check --models my-models", tmp_path)
    if shutil.which("fluidsynth"):
        run(render, tmp_path)
        run("kithara data check --data DATA", tmp_path)


def test_answer_early_and_name_emotions(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    curls = [line.replace(":8000", ":8768") for line in blocks(EARLY)[0].splitlines()]
    with started("kithara serve --port 8768", tmp_path, "http://127.0.0.1:8768/readyz"):
        at_depth, until, emotions = (json.loads(run(curl, tmp_path)) for curl in curls)
        card = httpx.get("http://127.0.0.1:8768/v1/models/acn-fashion-mnist").json()["card"]
    assert (at_depth["label"], at_depth["depth"]) == ("trouser", 4)
    assert (until["label"], until["entropy"] < 0.65) == ("trouser", True)
    assert until["depth"] == card["stages"][0]["depth"], "a plain picture leaves at the first stage"
    thanks, question = (answer["labels"] for answer in emotions["answers"])
    assert "gratitude" in thanks
    assert "gratitude" not in question


@pytest.mark.parametrize(("system", "published"), [("acn", "acn-digits@1"), ("acn_text", "generated-emotions-acn@1")])
def test_train_an_auto_compressing_network(system: str, published: str, tmp_path: Path) -> None:
    train, evaluate, export = (c.partition("  #")[0] for c in commands(EARLY)[:6] if c.split()[2] == system)
    folder = run(train, tmp_path).splitlines()[-1]
    run(evaluate.replace("RUN", folder), tmp_path)
    run(export.replace("RUN", folder), tmp_path)
    assert published in run("kithara models check --models my-models", tmp_path)


def test_name_the_emotion_in_a_voice(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "README.md", tmp_path)
    curls = [line.replace(":8000", ":8769") for line in blocks(VOICE)[0].splitlines()]
    with started("kithara serve --port 8769", tmp_path, "http://127.0.0.1:8769/readyz"):
        whole, cut, batch = (json.loads(run(curl, tmp_path)) for curl in curls)
        card = httpx.get("http://127.0.0.1:8769/v1/models/speech-emotion").json()["card"]
    assert (whole["labels"], whole["use"], len(whole["top"])) == (card["labels"], "open", 2)
    assert sum(whole["scores"].values()) == pytest.approx(1.0)
    assert cut["scores"] == pytest.approx(whole["scores"], abs=1e-5)
    assert (len(cut["segments"]), cut["segments"][0]["start"]) == (3, 0.0)
    voice, tune, note = batch["items"]
    assert voice["answer"]["scores"] == pytest.approx(whole["scores"], abs=1e-4)
    assert set(tune["answer"]["scores"]) == set(card["labels"])
    assert (note["name"], note["problem"]["status"]) == ("note", 415)
    predict = next(command for command in commands(VOICE) if "predict" in command)
    assert json.loads(run(f"{predict} --json", ROOT))["scores"] == pytest.approx(whole["scores"], abs=1e-5)


def test_train_an_ensemble(tmp_path: Path) -> None:
    _, train, evaluate, export, *_ = commands(VOICE)
    folder = run(train, tmp_path).splitlines()[-1]
    run(evaluate.replace("RUN", folder), tmp_path)
    run(export.replace("RUN", folder), tmp_path)
    assert "speech-emotion-synthetic@1" in run("kithara models check --models my-models", tmp_path)


def test_the_long_commands_are_run_by_ci() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sections = (
        "Train, evaluate, export, serve",
        EARLY,
        "Study a language model",
        "Tag music with your own tags",
        VOICE,
    )
    long = [c for section in sections for c in commands(section) if "claims" in c or "bench" in c]
    assert long == [
        "kithara claims fff --quick",
        "kithara bench fff --quick",
        "kithara bench serving --quick",
        "kithara claims acn --quick",
        "kithara bench acn --quick",
        "kithara claims bloomwise --quick",
        "kithara claims icl_priors --quick",
        "kithara bench llm --quick",
        "kithara claims lc_protonets --quick",
        "kithara bench lc_protonets --quick",
        "kithara claims medusa --quick",
        "kithara bench medusa --quick",
    ]
    assert "nox -s claims " in ci
    assert "nox -s bench" in ci
    assert all(f'"{word}"' in noxfile for c in long for word in c.split()[1:3])
