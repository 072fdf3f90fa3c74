"""A study file, resolved: what was chosen on the command line is in it, and it alone decides the report."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from common.errors import OperatorError
from common.system import system
from common.toml import check, read_file
from contracts.llm import Profile
from deploy.commands import configs

HEAD = "# kithara study "
WORDS = {"bloomwise": "bloomwise", "icl_priors": "priors"}
"""The command's word for each study system."""
PACE = ("concurrency", "requests_per_minute", "tokens_per_minute", "timeout", "deadline", "attempts")
"""Fields of a profile that say how fast, not what; a resumed run may have others."""
BARE = re.compile(r"[A-Za-z0-9_-]+")


def chosen(name: str, config: str, profile: Path | None, base_url: str | None) -> Any:
    """The study file ``config`` of the system ``name``, with the model of the flags. Raises OperatorError."""
    study: Any = configs.read(system(name), config)
    model: Profile | None = read_file(profile, Profile, "--profile") if profile else study.profile
    if model is None:
        raise OperatorError(f"--config {config} names no model; add [profile] to it, or give --profile FILE")
    if base_url is not None:
        model = check(msgspec.to_builtins(model) | {"base_url": base_url}, Profile, "--base-url")
    return replace(study, profile=model)


def text(name: str, study: Any) -> str:
    """``study.toml`` of a run folder: without the pace and the spending limits, which may change from run to run."""
    profile = replace(study.profile, **{field: getattr(_DEFAULT, field) for field in PACE})
    same = replace(study, profile=profile, limits=replace(study.limits, cost=None, calls=None))
    return f"{HEAD}{WORDS[name]}\n{toml(msgspec.to_builtins(same))}"


def of_run(run: Path) -> tuple[str, Any]:
    """The system and the study of a run folder. Raises OperatorError when it is none."""
    file = run / "study.toml"
    if not file.is_file():
        raise OperatorError(f"{run}: no study.toml in it; name the run folder that `kithara study` made")
    word = file.read_text().partition("\n")[0].removeprefix(HEAD)
    name = next((name for name, one in WORDS.items() if one == word), None)
    if name is None:
        raise OperatorError(f"{file} does not begin with {HEAD}{'|'.join(WORDS.values())}; name the folder of a run")
    return name, configs.read(system(name), str(file))


def toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of nested mappings; None is left out, as TOML has none. Tables inside lists are written in one line."""
    lines = [f"{_key(key)} = {_value(v)}" for key, v in values.items() if v is not None and not isinstance(v, dict)]
    for key, inner in values.items():
        if isinstance(inner, dict):
            path = f"{prefix}{_key(key)}"
            lines += ["", f"[{path}]", toml(inner, f"{path}.").rstrip("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any) -> str:
    match value:
        case dict():
            return f"{{{', '.join(_inside(value))}}}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _inside(values: Mapping[str, Any]) -> Iterator[str]:
    return (f"{_key(key)} = {_value(value)}" for key, value in values.items() if value is not None)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


_DEFAULT = Profile(base_url="http://127.0.0.1", model="any")
