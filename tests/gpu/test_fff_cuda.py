"""A CUDA device computes what the CPU computes. Run with `nox -s gpu` on a GPU host."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from deploy import SHIPPED
from vision_nlp.fff.config import Config, Data, Model, Optim, Phase, Phases, Tune
from vision_nlp.fff.model import FFF
from vision_nlp.fff.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run `nox -s gpu` on a GPU host"),
]


@pytest.mark.parametrize("hard", [False, True])
def test_forward_and_gradients_equal_the_cpus(hard: bool) -> None:
    torch.manual_seed(0)
    model = FFF(64, 10, Model(depth=5, leaf_width=4, master_width=8))
    x = torch.randn(33, 64)
    outputs, gradients = [], []
    for device in ("cpu", "cuda"):
        model.zero_grad()
        routed = model.to(device)(x.to(device), hard=hard)
        routed.logits.square().mean().backward()
        outputs.append(routed.logits.detach().cpu())
        gradients.append({n: p.grad.detach().cpu() for n, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)


def test_trains_on_the_gpu(tmp_path: Path) -> None:
    phases = Phases(balance=Phase(epochs=2), harden=Phase(epochs=1), tune=Tune(epochs=1))
    config = Config(device="cuda", data=Data(), optim=Optim(batch=64), phases=phases)
    assert (train(config=config, data=None, out=tmp_path, resume=None, command="test") / "run.json").exists()


async def test_onnxruntime_on_the_gpu_answers_the_golden_tensors() -> None:
    pytest.importorskip("onnxruntime", reason="install kithara[gpu]")
    from common.registry.golden import read_golden

    backend = LocalBackend(threads=1, device="gpu")
    version = Repository(SHIPPED).load("fff-digits", 1)
    engine = await backend.open(version)
    inputs, golden = read_golden(version.golden)
    outputs = await engine.infer(inputs, Call())
    np.testing.assert_allclose(outputs["logits"], golden["logits"], atol=1e-3)
    np.testing.assert_array_equal(outputs["leaf"], golden["leaf"])
    await engine.close()
    await backend.close()
