"""``kithara llm``: the simulated server as a process of its own, and what the probe says of it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

ICL = "Decide which of these it expresses: joy, fear and anger. None, one or several.\n\n"


def chat(url: str, content: str, key: str = "", **more: object) -> dict:
    """One completion over real HTTP."""
    body = {"model": "simulated", "temperature": 0, "messages": [{"role": "user", "content": content}]} | more
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def text(answer: dict) -> str:
    return answer["choices"][0]["message"]["content"]


def test_the_respondent_answers_and_ends_on_a_signal(simulate, tmp_path):
    config = tmp_path / "sure.toml"
    config.write_text("[respondent]\neps1 = 0.0\neps0 = 0.0\nprior_miss = 0.0\nprior_false = 0.0\n")
    simulated = simulate("--kind", "respondent", "--config", str(config))
    asked = f"{ICL}Input: so happy and afraid\nEmotion(s):"
    assert text(chat(simulated.url, asked)) == "joy, fear"
    assert simulated.stats()["calls"] == 1
    simulated.process.send_signal(signal.SIGTERM)
    assert simulated.process.wait(20) in (0, -signal.SIGTERM)


def test_the_solver_knows_the_problems_of_files(simulate, tmp_path):
    problems, config = tmp_path / "problems.jsonl", tmp_path / "right.toml"
    problems.write_text('{"id": "one", "question": "How many legs?", "gold": "4"}\n')
    config.write_text("[server]\nmodel = 'other'\n\n[solver]\ndefault = 1.0\n")
    simulated = simulate("--config", str(config), "--problems", str(problems))
    asked = "ANSWER: <value>\n<problem>\nHow many legs?\n</problem>"
    assert text(chat(simulated.url, asked, model="other")).endswith("ANSWER: 4")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        chat(simulated.url, asked)


def test_a_gold_file_is_what_the_respondent_follows(simulate, tmp_path):
    gold, config = tmp_path / "gold.jsonl", tmp_path / "follows.toml"
    rows = [{"text": f"text {n}", "annotator": "one", "joy": n % 2, "fear": 1 - n % 2} for n in range(8)]
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config.write_text("[respondent]\nkappa = 0.0\n")
    simulated = simulate("--kind", "respondent", "--config", str(config), "--gold", str(gold))
    shown = "".join(f"Input: text {n}\nEmotion(s): {'joy' if n % 2 else 'fear'}\n\n" for n in range(6))
    assert text(chat(simulated.url, f"{ICL}{shown}Input: text 7\nEmotion(s):")) == "joy"
    assert text(chat(simulated.url, f"{ICL}{shown}Input: text 6\nEmotion(s):")) == "fear"


def test_faults_and_the_key(simulate, tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text("by = 'call'\nshares = {server_error = 1.0}\n")
    env = os.environ | {"SECRET": "s3"}
    simulated = simulate("--faults", str(faults), "--key-env", "SECRET", env=env)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        chat(simulated.url, "Hi", key="other")
    with pytest.raises(urllib.error.HTTPError, match="500"):
        chat(simulated.url, "Hi", key="s3")
    assert simulated.stats()["faults"] == {"server_error": 1}


@pytest.mark.parametrize(
    ("flags", "file", "expected"),
    [
        (["--config", "absent.toml"], None, ["--config absent.toml", "no such file"]),
        (["--config", "{file}"], "[respondent]\nkapa = 1.0\n", ["respondent", "kapa"]),
        (["--config", "{file}"], "[respondent]\nkappa = 2.0\n", ["respondent.kappa", "<= 1.0"]),
        (["--config", "{file}"], "[respondent.format]\njson = 0.9\nlong = 0.9\n", ["more than 1"]),
        (["--faults", "{file}"], "shares = {explodes = 0.1}\n", ["--faults", "explodes"]),
        (["--problems", "{file}"], '{"question": "no gold"}\n', ["line 1", "gold"]),
        (["--kind", "respondent", "--gold", "{file}"], '{"labels": []}\n', ["line 1", "text"]),
        (["--key-env", "NO_SUCH_VARIABLE"], None, ["NO_SUCH_VARIABLE"]),
        (["--study", "absent.toml"], None, ["absent.toml"]),
        (["--kind", "oracle"], None, ["--kind", "oracle"]),
    ],
)
def test_what_is_wrong_is_one_line(kithara, tmp_path, monkeypatch, flags, file, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text(file or "")
    ran = kithara("llm", "simulate", "--port", "0", *[flag.format(file=tmp_path / "file") for flag in flags])
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    for words in expected:
        assert words in ran.err


def test_a_taken_port_is_one_line(kithara, simulate):
    port = simulate().url.rpartition(":")[2].removesuffix("/v1")
    ran = kithara("llm", "simulate", "--port", port)
    assert ran.status == 2
    assert "in use" in ran.err
    assert ran.err.count("\n") == 1


def test_the_simulator_never_imports_torch():
    command = [sys.executable, "-X", "importtime", "-m", "deploy.cli", "llm", "simulate", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    loaded = {line.rpartition("|")[2].strip() for line in err.splitlines() if line.startswith("import time:")}
    assert "uvicorn" in loaded
    assert not {"torch", "transformers", "sklearn", "scipy", "matplotlib"} & loaded
