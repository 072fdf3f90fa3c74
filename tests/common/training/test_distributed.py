"""Two real processes under torchrun's variables."""

import json
import os
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys, weakref
import torch
import torch.distributed as dist
from torch import nn
from common.training.distributed import world

with world("cpu") as here:
    layer = nn.Linear(2, 1, bias=False)
    nn.init.constant_(layer.weight, float(here.rank))
    here.same_tensors(layer.parameters())
    optimizer = torch.optim.AdamW(layer.parameters())  # imports half of torch while the group exists
    layer(torch.tensor([[1.0, 10.0]]) * (here.rank + 1)).sum().backward()
    here.sum_gradients(layer.parameters())
    said = {
        "rank": here.rank,
        "weight": layer.weight.tolist(),
        "gradient": layer.weight.grad.tolist(),
        "text": here.share_text(f"from {here.rank}"),
        "number": here.share_number(here.rank + 0.5),
        "gathered": [part.tolist() for part in here.gather(torch.tensor([here.rank]))],
    }
    group = weakref.ref(dist.group.WORLD)
print(json.dumps({**said, "group_is_left": group() is not None}))
"""


@pytest.fixture(scope="module")
def said() -> list[dict[str, object]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    return [json.loads(out) for out, _ in told]


def test_the_leader_s_values_are_everybody_s(said: list[dict[str, object]]) -> None:
    assert [one["rank"] for one in said] == [0, 1]
    for one in said:
        assert one["weight"] == [[0.0, 0.0]]
        assert one["text"] == "from 0"
        assert one["number"] == 0.5


def test_gradients_are_summed_and_tensors_gathered_by_rank(said: list[dict[str, object]]) -> None:
    for one in said:
        assert one["gradient"] == [[1.0 + 2.0, 10.0 + 20.0]]
        assert one["gathered"] == [[0], [1]]


def test_nothing_of_the_group_is_left(said: list[dict[str, object]]) -> None:
    """Its threads would run into the end of the interpreter, and abort the process now and then."""
    assert [one["group_is_left"] for one in said] == [False, False]
