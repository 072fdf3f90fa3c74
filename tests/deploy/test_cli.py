"""The program as a whole: which commands there are, exit status, one line for every error, nothing imported in vain."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import COMMANDS


def one_line(err: str) -> str:
    """The only line of ``err``."""
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0]


def test_help_names_every_command_and_exits_0(kithara):
    ran = kithara("--help")
    assert ran.status == 0
    assert ran.err == ""
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out
    assert kithara("models", "--help").out.count("\n  models ") == 4


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(kithara, name):
    ran = kithara(*name.split(), "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"usage: kithara {name}")


def test_version(kithara):
    assert kithara("--version") == (0, f"kithara {importlib.metadata.version('kithara')}\n", "")


@pytest.mark.parametrize(
    "argv", [["frob"], ["models", "frob"], ["models"], ["--frob"], ["frob", "--help"], ["frob", "--version"]]
)
def test_an_unknown_command_is_refused_with_the_known_ones(kithara, argv):
    ran = kithara(*argv)
    assert (ran.status, ran.out) == (2, "")
    line = one_line(ran.err)
    assert argv[0] in line
    assert "serve, train, evaluate" in line


def test_interrupt_is_130_and_no_traceback(kithara, standin):
    ran = kithara("claims", "standin", "--seeds", "13")
    assert (ran.status, ran.out) == (130, "")
    assert one_line(ran.err) == "kithara claims: interrupted"


def test_a_missing_package_names_the_extra_that_brings_it(kithara, standin):
    ran = kithara("export", "standin", "--run", "x")
    assert ran.status == 2
    assert "'a_package_that_is_not_installed'" in one_line(ran.err)
    assert "pip install 'kithara[train]'" in ran.err


def test_a_file_that_cannot_be_read_is_one_line(kithara, standin):
    ran = kithara("predict", "standin", "absent.png")
    assert ran.status == 2
    assert "absent.png" in one_line(ran.err)


def test_the_fields_of_a_refusal_are_in_its_line(kithara, standin):
    Path("empty.png").touch()
    ran = kithara("predict", "standin", "empty.png")
    assert ran.status == 2
    assert one_line(ran.err) == "kithara predict: not a picture; file: is empty"


@pytest.mark.parametrize("argv", [["--help"], ["models", "list", "--help"], ["train", "--help"]])
def test_help_imports_neither_torch_nor_the_http_stack(argv):
    program = f"import sys; from deploy.cli import main; main({argv}); print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stderr.split())
    assert "tyro" in loaded
    assert not {"torch", "litestar", "onnxruntime", "tritonclient", "sklearn", "matplotlib"} & loaded


def test_a_reader_that_leaves_is_no_traceback():
    command = f"{sys.executable} -m deploy.cli serve --help"
    ran = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    assert ran.stdout.strip() in ("0", "141")  # 0: all was written before the reader left
