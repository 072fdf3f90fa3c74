"""Our client, probe and studies against a real inference server (bloomwise.md, sections 9.2 and 10 I).

The model's weights are random: every reply is noise, so nothing is extractable or right, and nothing may crash.
"""

import asyncio
from pathlib import Path

import msgspec
import openai
import pytest

from common.errors import KitharaError, OperatorError
from contracts.llm import ChatRequest, Honoured, Message, Profile
from contracts.studies import StudyReport
from llm_studies.bloomwise import study as bloomwise
from llm_studies.bloomwise.attempt import Decoding
from llm_studies.bloomwise.config import Bootstrap, Items
from llm_studies.bloomwise.config import Config as BloomWise
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.icl_priors import study as priors
from llm_studies.icl_priors.config import Config as Priors
from llm_studies.icl_priors.config import Data, Generated, Grid
from llm_studies.llm import run
from llm_studies.llm.client import Client
from llm_studies.llm.probe import probe
from llm_studies.llm.study import Study

SHORT = Decoding(text=32, programme=32, verdict=16)
FEW = Bootstrap(rounds=100)
QUESTION = (Message(role="user", content="How many legs have three cats?"),)


async def asked(profile: Profile, **fields: object) -> str:
    async with Client(profile) as client:
        return (await client(msgspec.convert({"messages": QUESTION, "max_tokens": 24, **fields}, ChatRequest))).text


async def honoured(profile: Profile) -> Honoured:
    async with Client(profile) as client:
        return await probe(client)


async def test_probe_records_what_the_server_ignores(greedy: Profile) -> None:
    found = await honoured(greedy)
    assert found.deterministic
    assert not found.temperature
    assert not found.seed
    assert (found.stop, found.stop_stripped) == (True, False)
    assert not found.n
    assert not found.logprobs
    assert found.usage
    assert found.max_tokens
    assert found.system_role
    assert any("sampling is ignored" in note for note in found.notes)


async def test_probe_sees_sampling_where_the_model_allows_it(sampling: Profile) -> None:
    found = await honoured(sampling)
    assert found.deterministic
    assert found.temperature
    assert found.seed
    assert found.usage


async def test_the_raw_wire(greedy: Profile) -> None:
    """What the OpenAI library itself sees; without it, a wrong probe and a wrong client could agree."""
    ask = {"model": greedy.model, "messages": [{"role": "user", "content": QUESTION[0].content}], "max_tokens": 24}
    async with openai.AsyncOpenAI(base_url=greedy.base_url, api_key="none", max_retries=0) as client:
        samples = [await client.chat.completions.create(**ask, temperature=1.0, seed=seed) for seed in (1, 2)]
        two = await client.chat.completions.create(**ask, n=2)
        text = samples[0].choices[0].message.content or ""
        stop = text[8:11]
        stopped = await client.chat.completions.create(**ask, stop=[stop])
    assert text == samples[1].choices[0].message.content
    assert len(two.choices) == 1
    assert samples[0].usage is not None
    assert samples[0].usage.completion_tokens == 24
    assert (stopped.choices[0].message.content or "").endswith(stop)


async def test_the_client_removes_the_stop_text_that_the_server_leaves(greedy: Profile) -> None:
    whole = await asked(greedy)
    stop = whole[8:11]
    assert stop.isascii()
    assert await asked(greedy, stop=(stop,)) == whole[: whole.index(stop)]


async def test_replies_do_not_depend_on_how_many_are_under_way(greedy: Profile) -> None:
    alone = await asked(greedy)
    assert set(await asyncio.gather(*(asked(greedy) for _ in range(8)))) == {alone}


async def test_a_model_that_is_not_served_is_refused_in_one_line(greedy: Profile) -> None:
    with pytest.raises(KitharaError, match=r"^another/model at \S+ refused the request \(400: .*pinned.*\)$"):
        await asked(msgspec.structs.replace(greedy, model="another/model"))


async def finished(study: Study, profile: Profile, folder: Path) -> StudyReport:
    """Run to the end, then again, which asks nothing; the report of both is the same."""
    outcome = await run.execute(study, folder, profile)
    assert (outcome.complete, outcome.failed) == (True, 0), outcome
    again = await run.execute(study, folder, profile)
    assert again.paid == 0
    found = await run.report(study, folder, profile)
    assert msgspec.json.encode(found) == msgspec.json.encode(await run.report(study, folder, profile))
    assert found.calls == outcome.paid
    return found


async def test_a_bloomwise_study_of_noise(greedy: Profile, tmp_path: Path) -> None:
    """Twenty problems, text and programme ladder: no answer is right, and the table says so."""
    ladders = {
        "bloomwise": Ladder(verdicts=True),
        "programme": Ladder(levels=("applying", "analyzing"), mode="programme"),
    }
    config = BloomWise(
        data=(Items(items=20, options=0.2),), ladders=ladders, methods=("cot", "pot"), decoding=SHORT, bootstrap=FEW
    )
    study = bloomwise.make(config, None)
    found = await finished(study, greedy, tmp_path)
    methods = next(table for table in found.tables if table.name == "methods-generated")
    shares = [row[methods.columns.index("accuracy, %")] for row in methods.rows]
    assert len(shares) == 4
    assert set(shares) == {0.0}


async def test_a_priors_study_of_noise(greedy: Profile, tmp_path: Path) -> None:
    sizes = Generated(train=40, dev=6, test=10)
    grid = Grid(conditions=("icl", "prior:zero"), shots=(2,), seeds=(0,))
    study = priors.make(Priors(data=Data(generated=sizes), grid=grid, rounds=100, shuffles=10), None)
    found = await finished(study, greedy, tmp_path)
    assert found.warnings  # of replies without an answer


async def test_a_study_that_samples_is_refused_where_sampling_is_ignored(greedy: Profile, tmp_path: Path) -> None:
    config = BloomWise(data=(Items(items=2),), methods=("self_consistency_3",))
    with pytest.raises(OperatorError, match=r"ignores temperature .*every sample would be the same"):
        await run.execute(bloomwise.make(config, None), tmp_path, greedy)
    assert not [line for file in tmp_path.glob("calls/*.jsonl") for line in file.read_text().splitlines()]


async def test_and_starts_where_it_is_honoured(sampling: Profile, tmp_path: Path) -> None:
    ladders = {"one": Ladder(levels=("applying", "analyzing"))}
    config = BloomWise(data=(Items(items=2),), ladders=ladders, methods=("self_consistency_3",), decoding=SHORT)
    outcome = await run.execute(bloomwise.make(config, None), tmp_path, sampling)
    assert outcome.complete
