from pathlib import Path

import pytest

from common.errors import OperatorError
from contracts.llm import ChatRequest, Message, Price, Usage
from llm_studies.llm.prices import cost, read
from llm_studies.llm.tokens import prompt_tokens


def test_cost_is_per_million_tokens() -> None:
    usage = Usage(prompt_tokens=2_000_000, completion_tokens=500_000)
    assert cost(usage, Price(prompt=0.15, completion=0.6)) == pytest.approx(0.15 * 2 + 0.6 / 2)


def test_a_price_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('currency = "EUR"\n[models."a/b-4"]\nprompt = 1\ncompletion = 2.5\n')
    prices = read(file, "a/b-4")
    assert (prices.currency, prices.models["a/b-4"]) == ("EUR", Price(prompt=1.0, completion=2.5))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[models.n]\nprompt = 1\ncompletion = 1\n", "no price of 'm'"),
        ("[models.m]\nprompt = -1\ncompletion = 1\n", "prompt"),
        ("[models.m]\nprompt = 1\n", "completion"),
        ("[models.m]\nprompt = 1\ncompletion = 1\nimage = 3\n", "image"),
        ("models = [", "prices.toml"),
    ],
)
def test_a_price_file_that_is_wrong_is_named_with_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(OperatorError, match=says) as caught:
        read(file, "m")
    assert str(file) in str(caught.value)


def test_a_price_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        read(tmp_path / "none.toml", "m")


def test_the_estimate_counts_bytes_not_letters() -> None:
    request = ChatRequest(messages=(Message(role="system", content="abc"), Message(role="user", content="ζζ")))
    assert prompt_tokens(request) == (1 + 8) + (2 + 8)
