"""The simulated server speaks OpenAI's protocol as OpenAI does, or as badly as it is told to."""

import msgspec
import openai
import pytest

from contracts.llm import ChatRequest, Message
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Server
from llm_studies.simulate.mind import Prompt, babble, tokens
from llm_studies.simulate.server import SimulatedServer

CHAT = "/v1/chat/completions"


def echo(prompt: Prompt) -> str:
    """The question, and the draw where there is one."""
    return f"{prompt.question} {prompt.draw}".strip()


def body(text: str = "one two three", **more: object) -> dict[str, object]:
    return {"model": "simulated", "messages": [{"role": "user", "content": text}]} | more


def said(answer) -> list[str]:
    return [choice["message"]["content"] for choice in answer.json()["choices"]]


@pytest.fixture
def post(client):
    """``await post(Server(...), **body)`` with a mind that repeats the question."""

    async def send(config: Server | None = None, mind=echo, **more):
        return await client(SimulatedServer(mind, config)).post(CHAT, json=body(**more))

    return send


async def test_usage_follows_the_token_rule(post):
    answer = (await post(temperature=0)).json()
    assert answer["usage"] == {"prompt_tokens": 3 + 4, "completion_tokens": 3, "total_tokens": 10}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["model"] == "simulated"


async def test_stop_and_length(post):
    stopped = await post(temperature=0, stop=[" three"])
    assert (said(stopped), stopped.json()["choices"][0]["finish_reason"]) == (["one two"], "stop")
    cut = await post(temperature=0, max_tokens=2)
    assert (said(cut), cut.json()["choices"][0]["finish_reason"]) == (["one two"], "length")
    assert said(await post(temperature=0, max_completion_tokens=1)) == ["one"]


async def test_temperature_0_is_greedy_and_others_follow_the_seed(post):
    async def text(**more):
        return said(await post(mind=babble, **more))

    assert await text(temperature=0, seed=1) == await text(temperature=0, seed=2)
    assert await text(temperature=1, seed=1) == await text(temperature=1, seed=1)
    assert await text(temperature=1, seed=1) != await text(temperature=1, seed=2)
    assert await text(seed=1) == await text(temperature=1, seed=1)
    choices = await text(temperature=1, seed=1, n=3)
    assert len(set(choices)) == 3


async def test_without_a_seed_every_call_differs(client):
    open_to = client(SimulatedServer(babble))
    drawn = {said(await open_to.post(CHAT, json=body(temperature=1)))[0] for _ in range(5)}
    assert len(drawn) == 5


async def test_what_it_is_told_to_ignore_it_ignores_without_an_error(post):
    async def text(what, **more):
        return said(await post(Server(ignore=(what,)), babble, **more))

    assert await text("sampling", temperature=1, seed=1) == await text("sampling", temperature=1, seed=2)
    assert len(await text("n", temperature=1, n=3)) == 1
    assert ", 3" in (await text("stop", temperature=0, stop=[", 3"]))[0]
    assert len(tokens((await text("max_tokens", temperature=0, max_tokens=2))[0])) > 50
    assert "usage" not in (await post(Server(ignore=("usage",)))).json()
    assert (await post(Server(ignore=("logprobs",)), logprobs=True)).json()["choices"][0]["logprobs"] is None
    assert (await post(logprobs=True)).json()["choices"][0]["logprobs"]["content"][0]["token"] == "one"


async def test_an_ignored_seed_does_not_repeat(client):
    open_to = client(SimulatedServer(babble, Server(ignore=("seed",))))
    drawn = {said(await open_to.post(CHAT, json=body(temperature=1, seed=1)))[0] for _ in range(5)}
    assert len(drawn) == 5


async def test_the_stop_text_can_stay(post):
    assert said(await post(Server(keep_stop=True), temperature=0, stop="two")) == ["one two"]


async def test_a_system_message_can_be_refused_or_ignored(client):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    conversation = {"model": "simulated", "messages": turns, "temperature": 0}
    refused = await client(SimulatedServer(echo, Server(refuse_system=True))).post(CHAT, json=conversation)
    assert refused.status_code == 400
    assert "system role" in refused.json()["error"]["message"]
    taken = await client(SimulatedServer(echo)).post(CHAT, json=conversation)
    ignored = await client(SimulatedServer(echo, Server(ignore=("system",)))).post(CHAT, json=conversation)
    assert taken.json()["usage"]["prompt_tokens"] - ignored.json()["usage"]["prompt_tokens"] == 3 + 4


async def test_another_model_is_404_and_a_bad_body_400(client):
    open_to = client(SimulatedServer(echo))
    other = await open_to.post(CHAT, json=body() | {"model": "gpt"})
    assert (other.status_code, other.json()["error"]["code"]) == (404, "model_not_found")
    assert "`gpt`" in other.json()["error"]["message"]
    for wrong in (b"{", b'{"model": "simulated", "messages": []}', b'{"model": "simulated"}'):
        assert (await open_to.post(CHAT, content=wrong)).status_code == 400
    assert (await open_to.get("/v1/nothing")).status_code == 404


async def test_the_key_is_checked_where_there_is_one(client):
    open_to = client(SimulatedServer(echo, key="secret"))
    assert (await open_to.post(CHAT, json=body())).status_code == 401
    wrong = {"Authorization": "Bearer other"}
    assert (await open_to.post(CHAT, json=body(), headers=wrong)).json()["error"]["code"] == "invalid_api_key"
    right = {"Authorization": "Bearer secret"}
    assert (await open_to.post(CHAT, json=body(), headers=right)).status_code == 200
    assert (await open_to.get("/v1/models", headers=right)).json()["data"][0]["id"] == "simulated"
    assert (await open_to.get("/health")).status_code == 200


async def test_a_repeated_key_gets_the_same_answer_and_is_billed_once(client):
    open_to = client(SimulatedServer(babble))
    key = {"Idempotency-Key": "a"}
    first, again = [await open_to.post(CHAT, json=body(temperature=1), headers=key) for _ in range(2)]
    other = await open_to.post(CHAT, json=body(temperature=1), headers={"Idempotency-Key": "b"})
    assert first.json() == again.json()
    assert said(first) != said(other)
    stats = (await open_to.get("/stats")).json()
    assert (stats["calls"], stats["billed"], stats["keys"], stats["repeated"]) == (3, 2, 2, 1)
    used = [one.json()["usage"] for one in (first, other)]
    assert stats["completion_tokens"] == sum(one["completion_tokens"] for one in used)
    assert stats["prompt_tokens"] == sum(one["prompt_tokens"] for one in used)


async def test_the_stream_adds_up_to_the_whole_answer(client):
    app = SimulatedServer(babble)
    asked = body(temperature=0, n=2, stream=True, stream_options={"include_usage": True})
    lines = (await client(app).post(CHAT, json=asked)).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [msgspec.json.decode(line.removeprefix("data: ")) for line in lines[:-2]]
    whole = (await client(app).post(CHAT, json=body(temperature=0, n=2))).json()
    for index, choice in enumerate(whole["choices"]):
        mine = [part for chunk in chunks for part in chunk["choices"] if part["index"] == index]
        assert "".join(part["delta"].get("content", "") for part in mine) == choice["message"]["content"]
        assert mine[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == whole["usage"]


async def test_the_openai_client_reads_it(client):
    import httpx2

    app = SimulatedServer(echo)
    async with openai.AsyncOpenAI(
        base_url="http://simulated/v1",
        api_key="none",
        http_client=openai.DefaultAsyncHttpxClient(transport=httpx2.ASGITransport(app)),
    ) as library:
        turns = [{"role": "user", "content": [{"type": "text", "text": "one two"}]}]
        answer = await library.chat.completions.create(model="simulated", messages=turns, temperature=0)  # type: ignore[arg-type]
        assert answer.choices[0].message.content == "one two"
        stream = await library.chat.completions.create(model="simulated", messages=turns, temperature=0, stream=True)  # type: ignore[arg-type]
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["", "one", " two", None]
        assert [model.id async for model in library.models.list()] == ["simulated"]


async def test_in_process_and_over_http_the_answers_are_the_same(client):
    open_to, ask = client(SimulatedServer(babble)), SimulatedAsk(babble)
    for temperature, seed in ((0.0, 0), (0.7, 1), (0.7, 2)):
        turns = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
        request = ChatRequest(messages=turns, temperature=temperature, seed=seed, max_tokens=9, stop=(", 5",))
        sent = msgspec.to_builtins(request) | {"model": "simulated"}
        whole = (await open_to.post(CHAT, json=sent)).json()
        reply = await ask(request)
        assert reply.text == whole["choices"][0]["message"]["content"]
        assert reply.finish == whole["choices"][0]["finish_reason"]
        assert msgspec.to_builtins(reply.usage).items() <= whole["usage"].items()


async def test_repeats_without_a_seed_are_other_samples_in_process():
    ask = SimulatedAsk(babble)
    request = ChatRequest(messages=(Message(role="user", content="Hi"),), temperature=0.7, seed=None)
    assert len({(await ask(request, repeat)).text for repeat in range(3)}) == 3
