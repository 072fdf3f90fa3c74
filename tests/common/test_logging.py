"""Every log line is one JSON object."""

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from common.logging import REQUEST_ID, configure
configure("info")
REQUEST_ID.set("r-1")
structlog.get_logger("kithara").info("ours", answer=42, path=object)
structlog.get_logger("kithara").debug("too small")
logging.getLogger("uvicorn.error").warning("theirs %d", 7)
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("kithara").exception("broken")
"""


def test_all_loggers_write_json_with_the_request_id() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    assert result.stdout == b""
    ours, theirs, broken = map(json.loads, result.stderr.splitlines())
    assert (ours["event"], ours["answer"], ours["level"], ours["request_id"]) == ("ours", 42, "info", "r-1")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("theirs 7", "uvicorn.error", "warning")
    assert theirs["request_id"] == "r-1"
    assert "ZeroDivisionError: division by zero" in broken["exception"]
    assert ours["time"] <= broken["time"]
