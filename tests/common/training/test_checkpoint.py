from pathlib import Path

import pytest
import torch

from common.errors import OperatorError
from common.training import checkpoint


def test_tensors_and_scalars_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.safetensors"
    model = {"w": torch.randn(3, 4).T, "n": torch.tensor(7)}
    checkpoint.write(path, {"model": model, "rng0": {"torch": torch.get_rng_state()}}, {"step": 5, "best": None})
    back = checkpoint.read(path)
    assert all(torch.equal(back.part("model")[name], tensor) for name, tensor in model.items())
    assert torch.equal(back.part("rng0")["torch"], torch.get_rng_state())
    assert back.record(dict) == {"step": 5, "best": None}


def test_the_newest_whole_one_is_found_past_a_damaged_one(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    for step in (2, 10):
        checkpoint.write(checkpoint.step_path(tmp_path, step), {"m": {"x": torch.zeros(2)}}, step)
    newest = checkpoint.step_path(tmp_path, 10)
    newest.write_bytes(newest.read_bytes()[:-3])
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.record(int) == 2
    with pytest.raises(OperatorError, match="not a whole checkpoint"):
        checkpoint.read(newest)


def test_prune_keeps_the_newest_and_the_selected(tmp_path: Path) -> None:
    names = [checkpoint.step_path(tmp_path, s).name for s in (5, 100, 20)]
    for name in (*names, "best-a.safetensors"):
        (tmp_path / name).touch()
    checkpoint.prune(tmp_path, 2)
    assert {p.name for p in tmp_path.iterdir()} == {names[1], names[2], "best-a.safetensors"}


def test_an_optimiser_goes_on_as_if_never_stopped() -> None:
    def steps(optimizer: torch.optim.Optimizer, w: torch.Tensor, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            (w**2).sum().backward()
            optimizer.step()

    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.AdamW([w])
    steps(optimizer, w, 3)
    again = w.detach().clone().requires_grad_()
    fresh = torch.optim.AdamW([again])
    checkpoint.load_optimizer(fresh, {k: t.clone() for k, t in checkpoint.optimizer_tensors(optimizer).items()})
    steps(optimizer, w, 3)
    steps(fresh, again, 3)
    assert torch.equal(w, again)
