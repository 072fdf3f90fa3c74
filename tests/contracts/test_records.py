"""The rules every contract obeys, checked on all of them at once."""

import importlib
import pkgutil

import msgspec
import pytest

import contracts
from contracts._base import Record
from contracts.examples import EXAMPLES


def records() -> list[type[Record]]:
    modules = [importlib.import_module(f"contracts.{m.name}") for m in pkgutil.iter_modules(contracts.__path__)]
    found = {v for m in modules for v in vars(m).values() if isinstance(v, type) and issubclass(v, Record)}
    return sorted(found - {Record}, key=lambda t: t.__name__)


@pytest.mark.parametrize("record", records(), ids=lambda t: t.__name__)
def test_frozen_keyword_only_closed_and_documented(record: type[Record]) -> None:
    config = record.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    own = [f for f in msgspec.structs.fields(record) if f.name in record.__annotations__]
    if own:
        with pytest.raises(TypeError, match="positional"):
            record(*[None] * len(record.__struct_fields__))
    assert record.__doc__


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_examples_survive_json_and_messagepack(example: Record) -> None:
    kind = type(example)
    assert msgspec.json.decode(msgspec.json.encode(example), type=kind) == example
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(example), type=kind) == example


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_unknown_field_is_named(example: Record) -> None:
    document = msgspec.to_builtins(example) | {"surprise": 1}
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.convert(document, type=type(example))
