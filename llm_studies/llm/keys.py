"""The address of a call in every journal: a digest of all that may change its reply."""

import hashlib

import msgspec

from contracts.llm import ChatRequest, Profile

SCHEMA = 1
"""Of the key. A new version misses every older journal, so it changes only when the meaning of a request does."""

SENT = ("base_url", "model", "system_role", "max_tokens_field", "send_seed", "extra")
"""Fields of a profile that change the request. The others say how to reach the server, not what it is asked."""

_encoder = msgspec.json.Encoder(order="sorted")


class Keys:
    """Keys of the calls to one model."""

    def __init__(self, profile: Profile) -> None:
        self._profile = {field: getattr(profile, field) for field in SENT}

    def __call__(self, request: ChatRequest, repeat: int = 0) -> str:
        """Lower-case hex SHA-256 over canonical JSON (sorted names) of schema, profile, every field and the repeat."""
        return hashlib.sha256(_encoder.encode([SCHEMA, self._profile, request, repeat])).hexdigest()
