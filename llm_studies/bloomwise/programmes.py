"""Which studies run programmes, and the sandbox that they share."""

import hashlib

from llm_studies.bloomwise.attempt import Run
from llm_studies.bloomwise.baselines import PROGRAMMING
from llm_studies.bloomwise.config import Config
from llm_studies.sandbox.run import Outcome, Sandbox


def programmes(config: Config) -> bool:
    """Whether anything in the study is run in the sandbox."""
    return bool(PROGRAMMING & set(config.methods)) or any(one.mode != "text" for one in config.ladders.values())


def remembering() -> Run:
    """A sandbox that runs each programme once, however often its outcome is asked for."""
    sandbox = Sandbox()
    known: dict[bytes, Outcome] = {}

    async def run(code: str) -> Outcome:
        key = hashlib.sha256(code.encode(errors="surrogatepass")).digest()
        if key not in known:
            known[key] = await sandbox.arun(code)
        return known[key]

    return run
