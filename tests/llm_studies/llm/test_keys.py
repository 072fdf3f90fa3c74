from typing import Any

import msgspec
import pytest

from contracts.llm import ChatRequest, Message, Profile
from llm_studies.llm import keys

PROFILE = Profile(base_url="http://a/v1", model="m")
REQUEST = ChatRequest(messages=(Message(role="user", content="x"),))

OTHER_REQUEST: dict[str, Any] = {
    "messages": (Message(role="user", content="y"),),
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 3,
    "seed": None,
    "stop": ("x",),
    "template": "0",
}
OTHER_PROFILE: dict[str, Any] = {
    "base_url": "http://b/v1",
    "model": "n",
    "system_role": False,
    "max_tokens_field": "max_completion_tokens",
    "send_seed": False,
    "extra": {"top_k": 1},
}
REACHING: dict[str, Any] = {
    "api_key_env": "KEY",
    "concurrency": 3,
    "requests_per_minute": 3.0,
    "tokens_per_minute": 3.0,
    "timeout": 3.0,
    "deadline": 3.0,
    "attempts": 3,
}
"""How to get there is no part of what is asked."""


@pytest.mark.parametrize("field", ChatRequest.__struct_fields__)
def test_every_field_of_a_request_is_part_of_the_key(field: str) -> None:
    other = msgspec.structs.replace(REQUEST, **{field: OTHER_REQUEST[field]})
    assert keys.Keys(PROFILE)(other) != keys.Keys(PROFILE)(REQUEST)


@pytest.mark.parametrize("field", Profile.__struct_fields__)
def test_a_field_of_a_profile_is_part_of_the_key_or_says_only_how_to_reach_the_server(field: str) -> None:
    other = msgspec.structs.replace(PROFILE, **{field: (OTHER_PROFILE | REACHING)[field]})
    assert (keys.Keys(other)(REQUEST) != keys.Keys(PROFILE)(REQUEST)) == (field in OTHER_PROFILE)


def test_role_repeat_and_schema_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.Keys(PROFILE)
    system = msgspec.structs.replace(REQUEST, messages=(Message(role="system", content="x"),))
    found = {key(REQUEST), key(system), key(REQUEST, 1)}
    monkeypatch.setattr(keys, "SCHEMA", 2)
    assert len(found | {key(REQUEST)}) == 4


def test_the_order_of_extra_fields_is_no_part_of_the_key() -> None:
    one = msgspec.structs.replace(PROFILE, extra={"a": 1, "b": 2})
    two = msgspec.structs.replace(PROFILE, extra={"b": 2, "a": 1})
    assert keys.Keys(one)(REQUEST) == keys.Keys(two)(REQUEST)


def test_the_key_of_this_version_stays() -> None:
    """Paid replies are found under it: whoever changes this changes SCHEMA too."""
    assert keys.Keys(PROFILE)(REQUEST) == "59770a167d1130c583167289a1888c7293f796661443f9527bdf2e67c79b2710"
