"""How many tokens a text will be, without the model's tokenizer."""

from contracts.llm import ChatRequest

BYTES = 3
"""UTF-8 bytes per token. English prose in today's vocabularies has 4 to 5, code and digits about 3: this counts high. A
byte-level vocabulary has 1, and what the server then reports corrects the reservations of a running study."""

MESSAGE = 8
"""Tokens of a chat template around one message."""


def estimated(text: str) -> int:
    return -(-len(text.encode()) // BYTES)


def prompt_tokens(request: ChatRequest) -> int:
    return sum(estimated(message.content) + MESSAGE for message in request.messages)
