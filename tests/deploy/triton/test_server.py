"""How a server is started, without starting one; the real one is in tests/triton."""

import importlib.util
import json
import socket
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import deploy.triton
from common.errors import OperatorError
from deploy.triton.server import PRODUCTION_ARGS, Ports, arguments
from deploy.triton.wheel import Wheel


def test_a_local_server_has_every_production_argument_with_only_places_swapped() -> None:
    local = arguments(Path("/r"), Path("/b"), Ports(1, 2, 3), "tag_")
    changed = set(PRODUCTION_ARGS) - set(local)
    assert {arg.partition("=")[0] for arg in changed} == {
        "--model-repository",
        "--exit-timeout-secs",
        "--http-port",
        "--grpc-port",
        "--metrics-port",
    }
    assert {"--model-repository=/r", "--http-port=1", "--grpc-port=2", "--metrics-port=3"} <= set(local)
    assert {f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")} <= set(local)
    assert len({arg.partition("=")[0] for arg in PRODUCTION_ARGS}) == len(PRODUCTION_ARGS)


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = Ports.free()
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_an_interpreter_that_is_none_or_has_no_server_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"TRITON_PYTHON: .*absent"):
        Wheel.of(str(tmp_path / "absent"))
    bare = tmp_path / "python"
    found = {"package": None, "libraries": "", "prefix": "", "version": "3.11"}
    bare.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    bare.chmod(0o755)
    with pytest.raises(OperatorError, match=r"pip install 'numpy<2' onnxruntime"):
        Wheel.of(str(bare))


def test_a_python_that_the_wheel_has_no_stub_for_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "pytriton" / "tritonserver" / "backends" / "python"
    home.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (home / name).touch()
    with pytest.raises(OperatorError, match=r"no stub for Python 3\.99"):
        Wheel(tmp_path / "pytriton", "", "", "3.99").backends(tmp_path / "backends")


@pytest.mark.skipif(np.__version__.startswith("1."), reason="needs numpy 2")
def test_the_servers_backend_refuses_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    path = Path(deploy.triton.__path__[0]) / "onnxruntime" / "model.py"
    spec = importlib.util.spec_from_file_location("servers_backend", path)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(RuntimeError, match="numpy<2"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
