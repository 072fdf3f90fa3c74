"""One distribution, its top-level names, and what each extra brings."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAMES = ("contracts", "common", "speech", "vision_nlp", "llm_studies", "music_fewshot", "deploy")


def installs(extra: str) -> set[str]:
    """Names of the packages that an extra asks for, through the project's own extras."""
    found: set[str] = set()
    for requirement in EXTRAS[extra]:
        name = requirement.partition("[")[0].partition(">")[0].partition("=")[0].partition(";")[0].strip()
        if name == PROJECT["name"]:
            found |= installs(requirement.partition("[")[2].partition("]")[0])
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_top_level_name_belongs_to_this_distribution_alone(name: str) -> None:
    assert set(metadata.packages_distributions()[name]) == {"kithara"}


def test_serving_needs_no_torch() -> None:
    assert installs("serve").isdisjoint(installs("train"))
    assert "torch" in installs("train")


def test_serve_and_gpu_differ_in_the_onnx_runtime_alone() -> None:
    assert installs("serve") - installs("gpu") == {"onnxruntime"}
    assert installs("gpu") - installs("serve") == {"onnxruntime-gpu"}


def test_constraints_pin_every_package_that_an_extra_installs() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    wanted = {n.lower().replace("_", "-") for extra in ("serve", "train", "render") for n in installs(extra)}
    assert wanted <= pinned


def test_torch_is_pinned_to_the_build_that_a_local_wheel_may_serve() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
