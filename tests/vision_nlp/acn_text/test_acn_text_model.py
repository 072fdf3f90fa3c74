"""Which parameters each phase trains, and what the masked-word head reads."""

import msgspec
import pytest
import torch

from vision_nlp.acn_text.config import Config, Model
from vision_nlp.acn_text.model import Learner

VOCABULARY, LONGEST, LABELS = 30, 9, 4


def learner(**changes: float | str) -> Learner:
    torch.manual_seed(0)
    settings = msgspec.convert({"width": 12, "layers": 2, "heads": 2, "dropout": 0.0, **changes}, Model)
    return Learner(settings, VOCABULARY, LONGEST, LABELS).eval()


def some() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return torch.arange(10).reshape(2, 5) + 4, mask


def test_masked_words_are_read_from_the_sum_by_the_token_embeddings() -> None:
    model, (ids, mask) = learner(), some()
    chosen = torch.tensor([[False, True, False, False, True], [True, False, False, False, False]])
    with torch.no_grad():
        said = model.masked_words(ids, mask, chosen)
        state = model.network.begin(ids, mask)
        outputs = [state.x]
        for i in (1, 2):
            state = model.network.advance(state, i, mask)
            outputs.append(state.x)
        y = sum(outputs)[:, 1:]  # pyright: ignore[reportIndexIssue]
        at = torch.stack([y[0, 1], y[0, 4], y[1, 0]])
        expected = model.words.transform(at) @ model.embed.tokens.weight.T + model.words.bias
    torch.testing.assert_close(said, expected)


def test_pre_training_moves_everything_but_the_label_head() -> None:
    model, (ids, mask) = learner(), some()
    model.masked_words(ids, mask, mask).sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in model.pretrained()} == moved
    assert {name for name in names.values() if name not in moved} == {
        name for name in names.values() if name.startswith("network.head.")
    }


def test_an_untrained_head_starts_at_the_rates() -> None:
    model, (ids, mask) = learner(), some()
    rates = torch.tensor([0.5, 0.1, 0.9, 0.0])
    before = model.network(ids, mask)
    old = model.network.head[3].bias.clone()  # pyright: ignore[reportIndexIssue]
    model.start_at(rates)
    expected = before - old + torch.tensor([0.0, -2.1972246, 2.1972246, -6.9067548])
    torch.testing.assert_close(model.network(ids, mask), expected)


@pytest.mark.parametrize("mode", ["acn", "residual"])
def test_the_mode_reaches_the_wiring(mode: str) -> None:
    assert learner(mode=mode).network.mode == mode


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"width": 30, "heads": 4}}, "width 30 is no multiple of heads 4"),
        ({"model": {"mode": "residual", "residual_weight": 0.5}}, "residual_weight belongs to mode acn"),
        ({"classify": {"epochs": 0}}, "classify.epochs"),
        ({"tolerance": -1}, "tolerance"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(settings, Config)
