"""What is read from a prompt in the fixed format."""

import pytest

from llm_studies.icl_priors.demos import Demo as Shown
from llm_studies.icl_priors.prompts import Form, prompt
from llm_studies.simulate.icl_prompt import read

LABELS = ("joy", "fear", "anger", "sadness")


def test_demonstrations_query_header_and_labels_are_read(icl):
    task = read(icl([("a fine  day", ["joy"]), ("no news", []), ("dark, and cold", ["fear", "sadness"])], "what now?"))
    assert task is not None
    assert task.labels == LABELS
    assert [(demo.text, sorted(demo.labels)) for demo in task.demos] == [
        ("a fine day", ["joy"]),
        ("no news", []),
        ("dark, and cold", ["fear", "sadness"]),
    ]
    assert (task.query, task.header, task.reasons) == ("what now?", "Emotion(s)", False)


def test_no_demonstrations_is_zero_shot(icl):
    task = read(icl([], "what now?"))
    assert task is not None
    assert (task.demos, task.query, task.labels) == ((), "what now?", LABELS)


def test_reasoning_is_skipped_and_asked_for(icl):
    task = read(icl([("a", ["joy"])], "b", cot=True))
    assert task is not None
    assert (task.demos[0].labels, task.query, task.header, task.reasons) == ({"joy"}, "b", "Emotion(s)", True)


def test_a_label_that_only_demonstrations_name_is_added_and_a_given_set_replaces_the_listed_one(icl):
    task = read(icl([("a", ["awe"])], "b"))
    assert task is not None
    assert task.labels == (*LABELS, "awe")
    given = read(icl([], "b"), ("one", "two"))
    assert given is not None
    assert given.labels == ("one", "two")


def test_another_prompt_is_none():
    assert read("What is the capital of France?") is None


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("names", [("hate", "offensive"), ("care", "equality", "loyalty")])
@pytest.mark.parametrize("shots", [0, 2])
def test_it_reads_what_the_study_writes(reasons, names, shots):
    form = Form(names, "Moral Foundation(s)", "moral foundations")
    demos = [_shown(f"text {n}", tuple(i == n for i in range(len(names)))) for n in range(shots)]
    task = read(prompt(form, demos, "the  query\nInput: fake", reasons=reasons))
    assert task is not None
    assert task.labels == names
    assert (task.query, task.header, task.reasons) == ("the query Input: fake", "Moral Foundation(s)", reasons)
    assert [sorted(demo.labels) for demo in task.demos] == [[names[n]] for n in range(shots)]


def _shown(text: str, labels: tuple[bool, ...]) -> Shown:
    return Shown("an id", text, labels, "because")
