"""May a new OpenAPI document replace an old one without breaking a caller? Inside ``v1`` only additive change may.

Additive: new paths, methods, answers, optional request fields, response fields, enum values. Anything else that a
caller could notice is reported. Wording (titles, descriptions, examples) is free.
"""

from collections.abc import Iterator
from typing import Any

WORDING = frozenset(
    {"title", "description", "summary", "example", "examples", "operationId", "tags", "info", "servers"}
)
_REF = "#/components/schemas/"


def breaking(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Each way in which ``new`` breaks callers of ``old``, as ``path: what``; empty when it may replace it."""
    requests = _reachable(new, _request_side(new))
    answers = _reachable(new, _answer_side(new))
    found = list(_compare(old.get("paths", {}), new.get("paths", {}), "paths"))
    before, after = _schemas(old), _schemas(new)
    for name, schema in before.items():
        if name not in after:
            found.append(f"schemas.{name}: removed")
            continue
        found += _compare(schema, after[name], f"schemas.{name}")
        found += _required(schema, after[name], f"schemas.{name}", name in requests, name in answers)
    return found


def _compare(old: Any, new: Any, at: str, *, names: bool = False) -> Iterator[str]:
    """Everything of ``old`` still stands in ``new``. ``names``: the keys are the names of fields, not keywords."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if not names and (key in WORDING or key == "required"):
                continue
            if key not in new:
                yield f"{at}.{key}: removed"
            else:
                yield from _compare(value, new[key], f"{at}.{key}", names=key == "properties" and not names)
        if not names and isinstance(new.get("parameters"), list):
            yield from _new_parameters(old.get("parameters", []), new["parameters"], at)
    elif isinstance(old, list) and isinstance(new, list):
        for item in old:
            same = next((n for n in new if _same_item(item, n)), None)
            if same is None:
                yield f"{at}: {item!r} removed"
            else:
                yield from _compare(item, same, f"{at}[{_label(item)}]")
    elif old != new:
        yield f"{at}: {old!r} became {new!r}"


def _new_parameters(old: list[dict[str, Any]], new: list[dict[str, Any]], at: str) -> Iterator[str]:
    known = {_label(p) for p in old}
    for parameter in new:
        if parameter.get("required") and _label(parameter) not in known:
            yield f"{at}.parameters: {_label(parameter)} is new and required"


def _required(old: dict[str, Any], new: dict[str, Any], at: str, in_request: bool, in_answer: bool) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    if in_request:
        yield from (f"{at}.{field}: is now required" for field in sorted(after - before))
    if in_answer:
        yield from (f"{at}.{field}: is no longer always answered" for field in sorted(before - after))


def _same_item(a: Any, b: Any) -> bool:
    """Entries of ``parameters``, ``anyOf`` and ``enum`` are found again by name or by value, not by position."""
    return _label(a) == _label(b)


def _label(item: Any) -> str:
    if isinstance(item, dict):
        return str(
            item.get("name") or item.get("$ref") or sorted((k, str(v)) for k, v in item.items() if k not in WORDING)
        )
    return repr(item)


def _schemas(document: dict[str, Any]) -> dict[str, Any]:
    return document.get("components", {}).get("schemas", {})


def _request_side(document: dict[str, Any]) -> Iterator[Any]:
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            yield operation.get("requestBody")
            yield operation.get("parameters")


def _answer_side(document: dict[str, Any]) -> Iterator[Any]:
    for operations in document.get("paths", {}).values():
        yield from (operation.get("responses") for operation in operations.values())


def _reachable(document: dict[str, Any], roots: Iterator[Any]) -> set[str]:
    """Names of the component schemas that the roots refer to, directly or through one another."""
    schemas, found, todo = _schemas(document), set[str](), list(roots)
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix(_REF)
            if name and name in schemas and name not in found:
                found.add(name)
                todo.append(schemas[name])
            todo += node.values()
    return found
