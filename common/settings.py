"""Every setting of the serving process, and where its value came from: defaults < TOML file < environment < flags."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from common.errors import OperatorError
from contracts._base import Positive, Record, Seconds
from contracts.media import MIB

PREFIX = "KITHARA_"
_OTHER_VARIABLES = frozenset({"KITHARA_DATA"})
"""Read elsewhere: the default of ``--data``."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(Record, frozen=True, kw_only=True):
    """Of ``kithara serve``. Each field is a flag, a variable ``KITHARA_<FIELD>`` and a key of the TOML file."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the service to the network."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    domain: Literal["all", "speech", "vision_nlp", "llm_studies", "music_fewshot"] = "all"
    """Serve one domain's routes, or all."""
    models: str | None = None
    """Model repository to serve; none: the models shipped with the package."""
    licences: Literal["all", "open"] = "all"
    """Serve every model, or only those whose data and weights anybody may use."""
    backend: Literal["local", "remote"] = "local"
    """Run the graphs in this process, or on a Triton server."""
    triton: str | None = None
    """HOST:PORT of Triton's gRPC service, for the remote back end."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where the local back end runs the graphs; never replaced silently."""
    threads: Annotated[int, Meta(ge=1, le=256)] = msgspec.field(default_factory=usable_cores)
    """Threads of the local back end."""
    in_flight: Positive = 256
    """Requests answered at once. One more is refused before its body is read (503 and Retry-After)."""
    rate_limit: Annotated[float, Meta(ge=0.0)] = 0.0
    """Requests per second and client address, in bursts of at most one second's worth; 0 switches the limit off."""
    deadline: Seconds = 30.0
    """Seconds within which every request is answered or given up; ``x-timeout-ms`` asks for less."""
    json_bytes: Positive = MIB
    """Largest body of a JSON route."""
    tensor_bytes: Positive = 32 * MIB
    """Largest body of ``/v2`` inference."""
    proxies: str = ""
    """Addresses of proxies, with commas between, whose X-Forwarded-For names the client."""
    llm: str | None = None
    """Profile (TOML) of the language model behind ``/v1/llm``; none: the routes that need one say so (503)."""
    llm_prices: str | None = None
    """Price file (TOML) by which ``/v1/llm`` tells what an answer cost; none: it does not."""
    database: str | None = None
    """Where tag sets are kept: sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME; none: a file
    in $XDG_DATA_HOME/kithara (~/.local/share/kithara)."""
    keep_alive_seconds: Positive = 75
    """An idle connection is closed after it; longer than the load balancer's own."""
    unready_seconds: Annotated[float, Meta(ge=0.0)] = 1.0
    """On SIGTERM: how long to keep serving while ``/readyz`` already says 503."""
    drain_seconds: Annotated[float, Meta(ge=0.0)] = 20.0
    """Then: how long accepted requests may take to finish."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines to write."""
    access_log: bool = True
    """Write one line per request, health checks excepted."""

    def __post_init__(self) -> None:
        if self.backend == "remote" and not self.triton:
            raise ValueError("backend 'remote' needs triton = HOST:PORT")


def load(flags: Mapping[str, Any], env: Mapping[str, str], file: Path | None = None) -> Settings:
    """Merge the sources and validate the result.

    ``flags`` holds only what was given on the command line, by field name. Raises OperatorError, one line that names
    the field, its source and the remedy.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = [_from_file(file)] if file else []
    layers += [_from_environment(env), {name: (value, _flag(name)) for name, value in flags.items()}]
    for layer in layers:
        for name, (value, source) in layer.items():
            if name not in Settings.__struct_fields__:
                raise OperatorError(f"{source}: no such setting; known: {', '.join(Settings.__struct_fields__)}")
            values[name], sources[name] = value, source
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise OperatorError(_explain(str(error), values, sources)) from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _from_file(file: Path) -> dict[str, tuple[Any, str]]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OperatorError(f"cannot read the settings {file}: {error.strerror}; name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file} is not TOML: {error}; write one key = value a line") from None
    return {name: (value, f"{name} in {file}") for name, value in values.items()}


def _from_environment(env: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    names = [name for name in env if name.startswith(PREFIX) and name not in _OTHER_VARIABLES]
    return {name.removeprefix(PREFIX).lower(): (env[name], name) for name in names}


def _explain(message: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """``Expected `int` <= 65535 - at `$.port``` and where that port came from."""
    reason, _, path = message.partition(" - at `$.")
    name = path.rstrip("`").partition(".")[0]
    if name in sources:
        return f"{sources[name]}: {reason}, got {values[name]!r}; set {name} to a legal value"
    return f"settings: {message}; set it by flag, {PREFIX}<FIELD> or in the TOML file"
