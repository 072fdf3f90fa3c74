"""What our runner is held against: a plain loop over the library, and another harness's runner."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import openai

from common.errors import OperatorError

VARIABLE = "LM_EVAL_PYTHON"
INSTALL = f'make an environment with `pip install "lm-eval[api]"` (no torch needed) and set {VARIABLE} to its python'

MESSAGES = (
    {
        "role": "system",
        "content": "You solve mathematics problems and explain each step so that a student follows. " * 4,
    },
    {"role": "user", "content": "A farmer has some hens and sells a dozen eggs a day. How many in a week? " * 8},
)
"""About 1 kB, as a short prompt of a study."""

DRIVER = """
import asyncio, json, sys, time
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion

url, calls, concurrency, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
model = LocalChatCompletion(
    base_url=url + "/chat/completions", model="m", num_concurrent=concurrency, tokenizer_backend=None
)
asked = [JsonChatStr(json.dumps([*messages, {"role": "user", "content": str(i)}])) for i in range(calls)]
settings = {"max_gen_toks": 100, "until": [], "temperature": 0}
started = time.perf_counter()
answers = asyncio.run(
    model.get_batched_requests(asked, cache_keys=[(x, settings) for x in asked], generate=True, gen_kwargs=settings)
)
seconds = time.perf_counter() - started
assert len(answers) == calls
print(json.dumps(calls / seconds))
"""


async def library(url: str, calls: int, concurrency: int) -> float:
    """Calls per second of workers that do nothing but await the ``openai`` client."""
    numbers = iter(range(calls))

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def worker() -> None:
            for number in numbers:
                messages: Any = [*MESSAGES, {"role": "user", "content": str(number)}]
                await client.chat.completions.create(
                    model="m", messages=messages, temperature=0.0, max_tokens=100, seed=0
                )

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
        return calls / (time.perf_counter() - started)


def harness_python() -> Path | None:
    """The interpreter that has lm-evaluation-harness, if one is named. Raises OperatorError when it is not there."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_file():
        raise OperatorError(f"{VARIABLE}={named}: no such file; {INSTALL}")
    return Path(named) if named else None


def harness(python: Path, url: str, calls: int, concurrency: int) -> float:
    """Calls per second of lm-evaluation-harness's API model runner alone, by its own clock. Raises OperatorError."""
    command = [str(python), "-c", DRIVER, url, str(calls), str(concurrency), json.dumps(MESSAGES)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OperatorError(f"{python} could not run lm-evaluation-harness ({last}); {INSTALL}")
    return float(done.stdout.strip().splitlines()[-1])
