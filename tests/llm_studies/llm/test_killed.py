"""A study whose process is killed, and run again (specification, section 10 E)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from llm_studies.llm import run

CHILD = """
import asyncio, importlib.util, sys
from pathlib import Path
import msgspec
from contracts.llm import Profile
from llm_studies.llm import run

where = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(where)
where.loader.exec_module(shared)
profile = msgspec.json.decode(sys.argv[2], type=Profile)
asyncio.run(run.execute(shared.Questions(250, repeats=2), Path(sys.argv[3]), profile))
"""


async def test_killed_in_the_middle_of_500_calls_it_pays_for_500(server, profile, questions, tmp_path: Path) -> None:
    server.latency, after = 0.005, 250
    study, shared = questions(250, repeats=2), Path(__file__).with_name("conftest.py")
    command = [
        sys.executable,
        "-c",
        CHILD,
        str(shared),
        msgspec.json.encode(profile).decode(),
        str(tmp_path / "killed"),
    ]
    child = subprocess.Popen(command, cwd=Path(run.__file__).parents[2])
    try:
        end = time.monotonic() + 60
        while sum(server.arrived.values()) - server.arrived[""] < after:
            assert child.poll() is None, "the child ended by itself"
            assert time.monotonic() < end
            time.sleep(0.001)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    before = len([key for key in server.arrived if key])
    assert after <= before < 500
    again = await run.execute(study, tmp_path / "killed", profile)
    assert (again.complete, again.calls) == (True, 500)
    billed = {key: count for key, count in server.arrived.items() if key}
    assert len(billed) == 500
    # only what was under way at the kill was asked twice, under the key that tells the server so
    assert sum(billed.values()) - 500 <= profile.concurrency
    assert max(billed.values()) <= 2

    arrived = sum(server.arrived.values())
    await run.execute(study, tmp_path / "killed", profile)
    assert sum(server.arrived.values()) == arrived

    await run.execute(study, tmp_path / "whole", profile)
    reports = [msgspec.json.encode(await run.report(study, tmp_path / name, profile)) for name in ("killed", "whole")]
    assert reports[0] == reports[1]
