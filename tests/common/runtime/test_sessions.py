from importlib import metadata
from typing import Any

import msgspec
import onnxruntime
import pytest

from common.errors import NotReady
from common.registry.layout import Version
from common.runtime.sessions import open_graph, runtime
from contracts.tensors import Tensor


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def distribution(name: str) -> None:
        if name not in names:
            raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_runs_and_names_its_outputs(publish: Any, graphs: Any) -> None:
    request = graphs.request("mlp", 3, 1, 0)
    outputs = open_graph(publish("mlp"), "cpu").run(request)
    assert outputs.keys() == {"y"}
    assert outputs["y"] == pytest.approx(request["x"] @ graphs.weights, abs=1e-5)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a" * 1000])
def test_a_corrupted_graph_is_not_ready(publish: Any, content: bytes) -> None:
    version = publish("mlp")
    version.graph.write_bytes(content)
    with pytest.raises(NotReady, match=r"mlp@1: .*model\.onnx cannot be loaded .*publish it again"):
        open_graph(version, "cpu")


def test_a_truncated_or_missing_graph_is_not_ready(publish: Any) -> None:
    version = publish("lstm")
    version.graph.write_bytes(version.graph.read_bytes()[:200])
    with pytest.raises(NotReady, match="cannot be loaded"):
        open_graph(version, "cpu")
    version.graph.unlink()
    with pytest.raises(NotReady, match="cannot be loaded"):
        open_graph(version, "cpu")


def with_signature(version: Version, **changed: Any) -> Version:
    signature = msgspec.structs.replace(version.card.signature, **changed)
    return version._replace(card=msgspec.structs.replace(version.card, signature=signature))


def tensor(name: str, dtype: Any, *dims: Any) -> tuple[Tensor, ...]:
    return (Tensor(name=name, dtype=dtype, dims=("batch", *dims)),)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"inputs": tensor("pixels", "float32", 4)}, r"input 'x' is in the graph but not in the card|input 'pixels'"),
        ({"inputs": tensor("x", "float64", 4)}, r"input 'x' is float32 \['batch', 4\] in the graph and float64"),
        ({"inputs": tensor("x", "float32", 5)}, r"input 'x' .* in the graph and float32 \['batch', 5\] in the card"),
        ({"inputs": tensor("x", "float32", "wide")}, r"input 'x' .*\['batch', 'wide'\] in the card"),
        ({"inputs": tensor("x", "float32", 4, 1)}, "input 'x'"),
        ({"outputs": tensor("y", "int64", 3)}, "output 'y' is float32"),
        ({"outputs": tensor("z", "float32", 3)}, "output"),
    ],
)
def test_a_graph_that_differs_from_its_card_is_not_ready(publish: Any, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(NotReady, match=says):
        open_graph(with_signature(publish("mlp"), **changed), "cpu")


def test_both_runtimes_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(NotReady, match=r"both installed .* uninstall both"):
        runtime("cpu")


def test_no_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(NotReady, match=r"install kithara\[serve\]"):
        runtime("cpu")


def test_gpu_asked_and_absent_is_never_replaced_by_the_cpu(publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime")
    with pytest.raises(NotReady, match=r"install kithara\[gpu\], or set device to cpu"):
        open_graph(publish("mlp"), "gpu")


def test_gpu_package_without_a_gpu_is_not_ready(publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish("mlp")
    installed(monkeypatch, "onnxruntime-gpu")

    class Fallen(onnxruntime.InferenceSession):
        """What ONNX Runtime does when CUDA does not come up: it goes on without it."""

        def __init__(self, path: Any, options: Any, providers: list[str]) -> None:
            super().__init__(path, options, providers=[name for name in providers if name.startswith("CPU")])

    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    with pytest.raises(NotReady, match="check the driver and cuDNN, or set device to cpu"):
        open_graph(version, "gpu")
