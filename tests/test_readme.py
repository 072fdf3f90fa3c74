"""What the README says is what the repository does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [b.strip() for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


def test_ci_runs_the_test_command_of_the_first_screen() -> None:
    assert blocks("sh")[1].endswith("nox -s test")
    assert blocks("sh")[1] in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


def test_the_two_commands_stand_on_the_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    assert all(command in first_screen for command in blocks("sh")[:3])


def test_every_file_that_the_readme_names_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    named = {*links, *re.findall(r"`((?:deploy|docs|vision_nlp)/[\w./-]+)`", README)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_nox_session_that_the_readme_names_exists() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
    checks = README.partition("## Checks")[2].partition("## Licence")[0]
    assert set(re.findall(r"`(\w+)`", checks)) <= sessions
