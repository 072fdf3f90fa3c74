"""What the settings refuse, and the files that ship."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import OperatorError
from common.toml import check, read_file
from vision_nlp.acn.config import Config

CONFIGS = Path(__file__).parents[3] / "vision_nlp" / "acn" / "configs"


@pytest.mark.parametrize("name", ["tiny", "starter", "paper"])
def test_a_shipped_file_is_a_configuration(name: str) -> None:
    config = read_file(CONFIGS / f"{name}.toml", Config, "--config")
    assert config.model.mode == "acn"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"model": {"backbone": "vit", "width": 30, "heads": 4}}, "model: width 30 is no multiple of heads 4"),
        ({"model": {"backbone": "vit", "tail_skip": True}}, "tail_skip belongs to the mixer, not to vit"),
        ({"model": {"attn_out_norm": True}}, "attn_out_norm and dirac_ffn belong to vit, not to mixer"),
        ({"model": {"backbone": "mlp", "dirac_ffn": True}}, "belong to vit, not to mlp"),
        (
            {"model": {"backbone": "vit", "dirac_ffn": True, "width": 64, "channel_width": 32}},
            "dirac_ffn needs channel_width of at least width 64, not 32",
        ),
        ({"model": {"mode": "residual", "residual_weight": 0.5}}, "residual_weight belongs to mode acn"),
        ({"model": {"residual_learnt": True}}, "needs a residual_weight to start from"),
        ({"model": {"layers": 8}, "exits": [2, 4]}, "exits 2, 4 must rise and end at layers 8"),
        ({"model": {"layers": 4}, "exits": [2, 2, 4]}, "exits 2, 2, 4 must rise"),
        ({"model": {"layers": 4}, "exits": [4, 2]}, "exits 4, 2 must rise"),
        ({"exits": [0, 8]}, "exits"),
        ({"optim": {"exit_loss": 1.5}}, r"optim\.exit_loss"),
        ({"cut": {"tolerance": -1}}, r"cut\.tolerance"),
        ({"data": {"augment": {"cutmix": 2}}}, r"data\.augment\.cutmix"),
        ({"data": {"name": "imagenet"}}, r"data\.name"),
    ],
)
def test_what_does_not_fit_is_named(raw: dict[str, object], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        check(raw, Config, "--config")


def test_without_exits_a_row_may_leave_after_every_block() -> None:
    assert check({"model": {"layers": 3}}, Config, "").leaves == (1, 2, 3)
    assert check({"model": {"layers": 6}, "exits": [1, 6]}, Config, "").leaves == (1, 6)


def test_the_command_line_reads_it_without_torch() -> None:
    script = "import sys, vision_nlp.acn.config, vision_nlp.acn.system; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
