"""The OpenAPI document says what the service does, in msgspec's own schemas."""

import msgspec
import pytest

from contracts.examples import EXAMPLES
from contracts.problem import Problem
from contracts.vision_nlp import ClassifyResponse


@pytest.fixture
async def document(suite) -> dict:
    async with suite().client() as client:
        answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def test_components_are_msgspecs_own(document: dict) -> None:
    _, expected = msgspec.json.schema_components(
        [Problem, ClassifyResponse], ref_template="#/components/schemas/{name}"
    )
    schemas = document["components"]["schemas"]
    ours = {name: {k: v for k, v in schemas[name].items() if k != "examples"} for name in expected}
    assert ours == msgspec.json.decode(msgspec.json.encode(expected))
    assert {name for name, schema in schemas.items() if schema.get("additionalProperties", True) is not False} == set()


async def test_the_contracts_own_examples_are_shown(document: dict) -> None:
    (example,) = document["components"]["schemas"]["ClassifyResponse"]["examples"]
    assert msgspec.convert(example, ClassifyResponse) in EXAMPLES


async def test_every_reference_resolves(document: dict) -> None:
    def references(node: object):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in set(references(document)):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


async def test_upload_is_described_raw_and_as_form(document: dict) -> None:
    operation = document["paths"]["/t/picture"]["post"]
    content = operation["requestBody"]["content"]
    assert list(content) == ["image/png", "image/jpeg", "multipart/form-data"]
    form = content["multipart/form-data"]
    assert form["schema"]["required"] == ["image"]
    assert form["schema"]["additionalProperties"] is False
    assert set(form["schema"]["properties"]) == {"image", "model", "top_k", "invert", "depth", "exit_entropy"}
    query = {p["name"]: p["schema"] for p in operation["parameters"] if p.get("in") == "query"}
    assert query["top_k"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 5}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/ClassifyResponse"}


async def test_every_operation_declares_its_errors(document: dict) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            media, name = (
                ("application/json", "OipError")
                if path.startswith("/v2")
                else (
                    "application/problem+json",
                    "Problem",
                )
            )
            for status in ("400", "429", "500"):
                schema = operation["responses"][status]["content"][media]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{name}"}


async def test_every_route_is_listed_once(document: dict) -> None:
    operations = [(p, m) for p, methods in document["paths"].items() for m in methods]
    ids = [document["paths"][p][m]["operationId"] for p, m in operations]
    assert len(set(ids)) == len(ids)
    assert {"/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/{name}", "/v2", "/t/json"} <= {
        p for p, _ in operations
    }
    assert ("/v2/models/{model_name}/infer", "post") in operations
    assert not any(path.startswith(("/docs", "/openapi")) for path, _ in operations)
