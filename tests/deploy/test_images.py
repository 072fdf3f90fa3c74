"""The Containerfiles keep their rules, and each rule can be broken."""

from pathlib import Path

import pytest

from deploy.images.checks import instructions, problems

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "images"
FILES = {path.name: path.read_text() for path in sorted(FOLDER.glob("Containerfile.*"))}


def test_both_images_are_checked():
    assert set(FILES) == {"Containerfile.api", "Containerfile.train"}


@pytest.mark.parametrize("name", FILES)
def test_sound(name):
    assert problems(FILES[name], ROOT, serving=name == "Containerfile.api") == []


def test_instructions_are_joined_and_comments_left_out():
    text = "# a comment\nFROM a:1\n\nRUN one \\\n    && two\n"
    assert instructions(text) == [("FROM", "a:1"), ("RUN", "one  && two")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("FROM python:3.11-slim AS build", "FROM python AS build", "no fixed tag"),
        ("FROM python:3.11-slim AS build", "FROM python:latest AS build", "no fixed tag"),
        ("USER 10001:10001\n", "", "USER"),
        ("USER 10001:10001", "USER kithara", "USER"),
        ("USER 10001:10001", "USER 0", "USER"),
        ("COPY contracts contracts", "COPY contrakts contracts", "COPY contrakts: not in the repository"),
        ("COPY speech speech\n", "", "the package speech is not copied"),
        ("-c constraints.txt ", "", "constraints"),
        ('".[serve]"', '".[serve,train]"', "torch"),
        ('".[serve]"', '".[serve]" torch', "torch"),
        ("--no-install-recommends bubblewrap", "--no-install-recommends tini", "bubblewrap"),
        ('ENTRYPOINT ["kithara", "serve"', "ENTRYPOINT kithara serve #", "ENTRYPOINT"),
    ],
)
def test_every_rule_can_be_broken(old, new, expected):
    text = FILES["Containerfile.api"]
    assert old in text
    found = problems(text.replace(old, new), ROOT, serving=True)
    assert any(expected in one for one in found), found


@pytest.mark.parametrize("package", ["fluidsynth", "fluid-soundfont-gm"])
def test_an_image_that_trains_can_render_music(package):
    text = FILES["Containerfile.train"].replace(f" {package}", "")
    assert any("render music" in one for one in problems(text, ROOT, serving=False))


def test_the_user_that_counts_is_that_of_the_last_stage():
    text = FILES["Containerfile.api"].replace("USER 10001:10001\n", "").replace("WORKDIR /src", "USER 10001:10001")
    assert any("USER" in one for one in problems(text, ROOT, serving=True))
