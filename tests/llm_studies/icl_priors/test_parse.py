import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from llm_studies.icl_priors.parse import STATUSES, legacy, parse
from llm_studies.icl_priors.vocabulary import aliases, vocabulary

SETS = {
    "emotions": ("joy", "optimism", "admiration", "surprise", "fear", "sadness", "anger"),
    "morals": ("authority", "care", "equality", "loyalty", "proportionality", "purity"),
    "hate": ("hate", "aggressive", "offensive"),
}
HEADERS = {"emotions": "Emotion(s)", "morals": "Moral Foundation(s)", "hate": "Label(s)"}
REPLIES = [json.loads(line) for line in Path(__file__).with_name("replies.jsonl").read_text("utf-8").splitlines()]
EMOTIONS = SETS["emotions"]


def read(row: dict) -> tuple[tuple[str, ...], str]:
    found = parse(
        row["text"],
        SETS[row["set"]],
        finish=row.get("finish", "stop"),
        header=HEADERS[row["set"]],
        reasoning=row.get("reasoning", False),
    )
    return found.labels, found.status


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: repr(row["text"])[:40])
def test_a_reply_is_read_as_a_person_reads_it(row: dict) -> None:
    assert read(row) == (tuple(row["labels"]), row["status"])


def test_the_table_is_large_and_holds_every_status() -> None:
    assert len({json.dumps(row) for row in REPLIES}) == len(REPLIES) >= 200
    assert {row["status"] for row in REPLIES} == set(STATUSES)


@pytest.mark.parametrize(
    ("names", "text", "official", "ours", "status"),
    [
        ("emotions", "The writer would enjoy it.", ("joy",), (), "invalid"),
        ("morals", "scared", ("care",), (), "invalid"),
        ("morals", "careful", ("care",), (), "invalid"),
        ("emotions", "no anger", ("anger",), (), "invalid"),
        ("emotions", "Angry, sad", (), ("sadness", "anger"), "alias"),
        ("emotions", "I cannot label fear.", ("fear",), (), "refused"),
        ("emotions", "tristesse", (), (), "invalid"),
        ("emotions", "", (), (), "invalid"),
        ("emotions", "none", (), (), "exact"),
        # One unknown item threw the parsed list away, and the substring result was kept.
        ("emotions", '{"label": ["enjoyment", "fear"]}', ("joy", "fear"), ("fear",), "salvage"),
    ],
)
def test_defects_of_the_official_rule(
    names: str, text: str, official: tuple[str, ...], ours: tuple[str, ...], status: str
) -> None:
    assert legacy(text, SETS[names]) == official
    found = parse(text, SETS[names])
    assert (found.labels, found.status) == (ours, status)


def test_legacy_cuts_at_the_next_input_and_before_the_header() -> None:
    assert legacy("joy\n\nInput: so sad\nEmotion(s): sadness", EMOTIONS) == ("joy",)
    reply = "It is not anger.\nEmotion(s): fear"
    assert legacy(reply, EMOTIONS) == ("fear", "anger")
    assert legacy(reply, EMOTIONS, header="Emotion(s)", reasoning=True) == ("fear",)


def test_invalid_is_not_the_empty_set() -> None:
    assert parse("none", EMOTIONS).answered
    assert not parse("whatever", EMOTIONS).answered
    assert parse("whatever", EMOTIONS).labels == parse("none", EMOTIONS).labels == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('["joy"]', "json"),
        ("joy", "line"),
        ("none", "none"),
        ("[]", "none"),
        ("It is joy.", "search"),
        ("It is odd.", "nothing"),
    ],
)
def test_the_path_is_recorded(text: str, path: str) -> None:
    assert parse(text, EMOTIONS).path == path


def test_a_name_of_the_set_beats_the_table() -> None:
    names = ("neutral", "sad", "caring", "nothing")
    assert parse("neutral, sad", names) == (("neutral", "sad"), "exact", "line")
    assert parse("caring", names).labels == ("caring",)
    assert parse("nothing", names) == (("nothing",), "exact", "line")
    assert parse("sorrow", names).status == "invalid"  # an alias of a label that is not in this set


@pytest.mark.parametrize("names", [(), ("joy", ""), ("joy", "Joy")])
def test_unusable_label_sets_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="label set"):
        parse("joy", names)


def test_the_alias_table_is_consistent() -> None:
    table = aliases()
    assert table.version >= 1
    words = [word for found in table.labels.values() for word in found]
    assert len(set(words)) == len(words)
    assert all(word == word.lower().strip() for word in (*words, *table.none, *table.none_aliases, *table.refusals))
    assert vocabulary(EMOTIONS).version == table.version


@given(st.lists(st.sampled_from(EMOTIONS), unique=True), st.sampled_from([", ", "; ", "\n- ", " and ", "\n"]))
def test_what_a_prompt_writes_is_read_back(labels: list[str], separator: str) -> None:
    text = separator.join(labels) if labels else "none"
    found = parse(text, EMOTIONS)
    assert set(found.labels) == set(labels)
    assert found.status == "exact"
    assert parse(json.dumps({"label": labels}), EMOTIONS).labels == found.labels


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(["joy", "no", "[", "{", '"', "Input:", "Emotion(s):", ",", "\n", "```", "<3>", "none", ":"])
        ).map(" ".join),
    ),
    st.booleans(),
    st.sampled_from(["stop", "length", "content_filter"]),
)
def test_any_text_is_read_without_error(text: str, reasoning: bool, finish: str) -> None:
    found = parse(text, EMOTIONS, finish=finish, header="Emotion(s)", reasoning=reasoning)
    assert found.status in STATUSES
    assert list(found.labels) == [name for name in EMOTIONS if name in found.labels]
    assert found.answered or not found.labels


@pytest.mark.parametrize(
    "piece", ['{"a":', "[", '["', "no ", "joy, ", "(", " ", "\n", "a ", "*", ": ", "- ", "``` ", "joy: ", "{'", "x-"]
)
def test_a_hostile_reply_is_only_text(piece: str) -> None:
    """None is deep or long enough to exhaust the stack, or to make a pattern backtrack without end."""
    for text in (piece * 50_000, "joy" + piece * 50_000 + "fear"):
        assert parse(text, EMOTIONS, header="Emotion(s)").status in STATUSES
