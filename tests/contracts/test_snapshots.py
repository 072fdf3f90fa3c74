"""What was published keeps working: documents against the snapshots, shipped models against their contracts."""

import asyncio
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import contracts
from common.registry.store import Repository
from common.runtime.check import check
from common.settings import Settings
from contracts._base import Record
from contracts.compat import breaking
from contracts.examples import EXAMPLES
from deploy import SHIPPED
from deploy.app import create_app

SNAPSHOTS = Path(contracts.__file__).parent / "snapshots"
OPENAPI, SCHEMAS, DOCUMENTS = SNAPSHOTS / "openapi.json", SNAPSHOTS / "schemas.json", SNAPSHOTS / "examples"
REMEDY = "if it is additive: nox -s contracts -- --update-snapshots"


def records() -> dict[str, type[Record]]:
    modules = [importlib.import_module(f"contracts.{m.name}") for m in pkgutil.iter_modules(contracts.__path__)]
    found = [v for m in modules for v in vars(m).values() if isinstance(v, type) and issubclass(v, Record)]
    return {t.__name__: t for t in sorted(found, key=lambda t: t.__name__) if t is not Record}


def openapi() -> dict[str, Any]:
    """The document that the running suite serves."""

    async def get() -> bytes:
        transport = httpx.ASGITransport(create_app(Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://suite") as client:
            return (await client.get("/openapi.json")).content

    return msgspec.json.decode(asyncio.run(get()))


def schemas() -> dict[str, Any]:
    """The schema of every contract, files included, in the form of an OpenAPI document."""
    _, components = msgspec.json.schema_components(records().values(), ref_template="#/components/schemas/{name}")
    return {"components": {"schemas": dict(sorted(components.items()))}}


def canonical(node: Any) -> Any:
    """With 0.0 as 0: ``typing`` keeps one of two equal annotations, so a bound's form depends on import order."""
    if isinstance(node, dict):
        return {key: canonical(value) for key, value in node.items()}
    if isinstance(node, list):
        return [canonical(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def pretty(document: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


@pytest.mark.parametrize(("file", "make"), [(OPENAPI, openapi), (SCHEMAS, schemas)], ids=["openapi", "schemas"])
def test_only_additive_change(file: Path, make: Any, request: pytest.FixtureRequest) -> None:
    new = canonical(msgspec.json.decode(msgspec.json.encode(make())))
    if file.exists():
        broken = breaking(msgspec.json.decode(file.read_bytes()), new)
        assert broken == [], f"callers of v1 would break; undo it, or publish it under v2: {broken}"
    if request.config.getoption("--update-snapshots"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(pretty(new), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == pretty(new), f"{file.name} changed; {REMEDY}"


def test_every_published_example_still_decodes(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-snapshots"):
        DOCUMENTS.mkdir(exist_ok=True, parents=True)
        for example in EXAMPLES:
            file = DOCUMENTS / f"{type(example).__name__}.1.json"
            if not file.exists():  # a published document is never changed; a new form is a new file
                file.write_text(pretty(example), encoding="utf-8")
    files = sorted(DOCUMENTS.iterdir())
    assert {type(e).__name__ for e in EXAMPLES} <= {f.name.partition(".")[0] for f in files}, REMEDY
    for file in files:
        msgspec.json.decode(file.read_bytes(), type=records()[file.name.partition(".")[0]])


def test_shipped_graphs_and_configurations_are_what_the_cards_say() -> None:
    repository = Repository(SHIPPED)
    found = check(repository)
    assert found, "deploy/models ships no model"
    assert {label: why for label, why in found.items() if why} == {}


def test_shipped_models_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in SHIPPED.glob("*/*/model.onnx")}
    assert max(sizes.values()) <= 8 * 1024 * 1024
    assert sum(sizes.values()) <= 40 * 1024 * 1024
