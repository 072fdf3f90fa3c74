"""Tokens, draws and the end of a generation."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.llm import Message
from llm_studies.simulate.mind import Prompt, babble, draw, end, prompt_tokens, tokens, uniform


@given(st.text(max_size=200))
def test_tokens_joined_are_the_text(text):
    assert "".join(tokens(text)) == text


@given(st.text(alphabet="ab ,\n", max_size=60), st.integers(1, 20))
def test_max_tokens_cuts_and_says_so(text, limit):
    said = end(text, (), limit)
    assert text.startswith(said.text)
    assert len(tokens(said.text)) <= limit
    assert (said.finish == "length") == (said.text != text)


def test_the_earliest_stop_text_ends_it_and_is_removed():
    assert end("one two three", ("three", "two"), None) == ("one ", "stop")
    assert end("one two three", ("three", "two"), None, keep_stop=True) == ("one two", "stop")
    assert end("one two three", (), 2) == ("one two", "length")
    assert end("one two three", ("three",), 1) == ("one", "length")


def test_every_message_is_billed_its_tokens_and_four():
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    assert prompt_tokens(turns) == (3 + 4) + (1 + 4)


def test_temperature_0_has_one_draw_and_others_one_per_seed_and_choice():
    assert draw(0.0, 1) == draw(0.0, 2, 3) == ""
    assert len({draw(0.7, seed, choice) for seed in range(3) for choice in range(3)}) == 9


def test_uniform_numbers_are_uniform_and_a_function_of_their_key():
    drawn = [uniform("a", n) for n in range(4000)]
    assert uniform("a", 7) == drawn[7]
    assert abs(sum(drawn) / 4000 - 0.5) < 4 * (1 / 12 / 4000) ** 0.5
    assert abs(sum(x < 0.1 for x in drawn) / 4000 - 0.1) < 4 * (0.09 / 4000) ** 0.5


def test_an_unknown_prompt_gets_another_text_for_another_draw():
    assert babble(_hello("")) == babble(_hello(""))
    assert babble(_hello("")) != babble(_hello("1/0")) != babble(_hello("2/0"))


def _hello(drawn: str) -> Prompt:
    return Prompt((Message(role="user", content="Hello"),), drawn)
