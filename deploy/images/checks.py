"""What every Containerfile keeps to. No container engine is asked, so the rules are about the text."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction with its continuation lines joined."""

    keyword: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Containerfile, in order; comments and blank lines are left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def problems(text: str, root: Path, serving: bool) -> list[str]:
    """Every breach; empty for a sound file. ``root`` is the build context; ``serving``: torch has no place in it."""
    found = instructions(text)
    return [
        *_bases(found), *_user(found), *_sources(found, root), *_packages(found, root), *_install(found, serving),
        *_programs(found, serving),
    ]  # fmt: skip


def _bases(found: list[Instruction]) -> Iterator[str]:
    for _, rest in (one for one in found if one.keyword == "FROM"):
        if not re.match(r"\S+:(?!latest\b)\S+", rest):
            yield f"FROM {rest}: no fixed tag"


def _user(found: list[Instruction]) -> Iterator[str]:
    last = found[len(found) - 1 - [one.keyword for one in found[::-1]].index("FROM") :]
    users = [one.rest for one in last if one.keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        yield "the last USER is not a number above 0: Kubernetes cannot prove that the image is not root"


def _sources(found: list[Instruction], root: Path) -> Iterator[str]:
    for source in _copied(found):
        if not (root / source).exists():
            yield f"COPY {source}: not in the repository"


def _copied(found: list[Instruction]) -> list[str]:
    copies = [one.rest.split() for one in found if one.keyword == "COPY" and not one.rest.startswith("--from")]
    return [source for words in copies for source in words[:-1]]


def _packages(found: list[Instruction], root: Path) -> Iterator[str]:
    """All top-level packages of the distribution are in the build."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in {name.partition(".")[0] for name in include} - set(_copied(found)):
        yield f"the package {package} is not copied"


def _install(found: list[Instruction], serving: bool) -> Iterator[str]:
    installs = [one.rest for one in found if one.keyword == "RUN" and "pip install" in one.rest]
    if not installs or any("-c constraints.txt" not in one for one in installs):
        yield "pip installs without -c constraints.txt"
    if serving and any(re.search(r"\b(torch|train)\b", one) for one in installs):
        yield "an image that serves installs torch"
    if not any(one.keyword == "ENTRYPOINT" and one.rest.startswith('["kithara"') for one in found):
        yield "the ENTRYPOINT is not kithara, in exec form: signals would not reach it"


def _programs(found: list[Instruction], serving: bool) -> Iterator[str]:
    last = found[len(found) - 1 - [one.keyword for one in found[::-1]].index("FROM") :]
    installed = {word for one in last if one.keyword == "RUN" for word in one.rest.split()}
    if serving and "bubblewrap" not in installed:
        yield "an image that serves has no bubblewrap: programmes of a language model could not be run"
    if not serving and not {"fluidsynth", "fluid-soundfont-gm"} <= installed:
        yield "an image that trains has no fluidsynth or no fluid-soundfont-gm: it could not render music"
