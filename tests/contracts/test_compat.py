"""The additive-only rule sees what breaks a caller and lets the rest pass."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from contracts.compat import breaking

REF = "#/components/schemas/"
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/v1/x": {
            "post": {
                "parameters": [{"name": "top_k", "in": "query", "schema": {"type": "integer", "minimum": 1}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": REF + "Ask"}}}},
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": REF + "Answer"}}}}},
            }
        }
    },
    "components": {
        "schemas": {
            "Ask": {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": []},
            "Answer": {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": REF + "Item"}}}},
            "Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            "Problem": {
                "type": "object",
                "properties": {"title": {"type": "string"}, "parameters": {"type": "object"}},
            },
        }
    },
}


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    new = copy.deepcopy(DOCUMENT)
    change(new)
    return breaking(DOCUMENT, new)


def schemas(d: dict[str, Any]) -> dict[str, Any]:
    return d["components"]["schemas"]


def operation(d: dict[str, Any]) -> dict[str, Any]:
    return d["paths"]["/v1/x"]["post"]


ADDITIVE = {
    "nothing": lambda d: None,
    "a path": lambda d: d["paths"].update({"/v1/y": {"get": {"responses": {}}}}),
    "an optional parameter": lambda d: operation(d)["parameters"].append({"name": "invert", "in": "query"}),
    "a parameter's position": lambda d: operation(d)["parameters"].insert(0, {"name": "invert", "in": "query"}),
    "an enum value": lambda d: schemas(d)["Ask"]["properties"]["kind"]["enum"].insert(0, "c"),
    "a request field": lambda d: schemas(d)["Ask"]["properties"].update(extra={"type": "string"}),
    "an answer field, always there": lambda d: (
        schemas(d)["Item"]["properties"].update(m={"type": "integer"}),
        schemas(d)["Item"]["required"].append("m"),
    ),
    "wording": lambda d: schemas(d)["Item"].update(description="other words", title="t"),
}
BREAKING = {
    "path removed": (lambda d: d["paths"].clear(), "/v1/x: removed"),
    "schema removed": (lambda d: schemas(d).pop("Item"), "schemas.Item: removed"),
    "answer field removed": (lambda d: schemas(d)["Item"]["properties"].pop("n"), "properties.n: removed"),
    "field named like a keyword removed": (
        lambda d: schemas(d)["Problem"]["properties"].pop("title"),
        "Problem.properties.title: removed",
    ),
    "type changed": (
        lambda d: schemas(d)["Item"]["properties"]["n"].update(type="string"),
        "'integer' became 'string'",
    ),
    "limit tightened": (lambda d: operation(d)["parameters"][0]["schema"].update(minimum=2), "minimum: 1 became 2"),
    "enum value removed": (lambda d: schemas(d)["Ask"]["properties"]["kind"]["enum"].remove("b"), "'b' removed"),
    "parameter removed": (lambda d: operation(d)["parameters"].clear(), "removed"),
    "required parameter": (
        lambda d: operation(d)["parameters"].append({"name": "key", "in": "query", "required": True}),
        "key is new and required",
    ),
    "required request field": (lambda d: schemas(d)["Ask"]["required"].append("kind"), "Ask.kind: is now required"),
    "answer no longer complete": (lambda d: schemas(d)["Item"]["required"].clear(), "Item.n: is no longer"),
}


@pytest.mark.parametrize("change", ADDITIVE.values(), ids=ADDITIVE.keys())
def test_additive_changes_pass(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(("change", "said"), BREAKING.values(), ids=BREAKING.keys())
def test_breaking_changes_are_named(change: Callable[[dict[str, Any]], object], said: str) -> None:
    found = changed(change)
    assert len(found) == 1
    assert said in found[0]
