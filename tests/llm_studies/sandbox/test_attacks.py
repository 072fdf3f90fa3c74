"""The attack suite: through both layers, and against the process alone."""

import importlib.util
import os
import resource
import socket
import stat
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from llm_studies.sandbox.limits import Limits
from llm_studies.sandbox.run import Outcome, Sandbox

SPEC = importlib.util.spec_from_file_location("attacks", Path(__file__).with_name("attacks.py"))
assert SPEC
assert SPEC.loader
table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(table)
ATTACKS = [pytest.param(attack, id=attack.name) for attack in table.ATTACKS]
FORBIDDEN = [pytest.param(attack, id=attack.name) for attack in table.ATTACKS if attack.status == "forbidden"]


class Outside(NamedTuple):
    """What an attack could reach or change."""

    folder: Path
    secret: Path
    listener: socket.socket

    def aim(self, code: str) -> str:
        marks = {"FOLDER": self.folder, "SECRET": self.secret, "PORT": self.listener.getsockname()[1]}
        for mark, value in {**marks, "PARENT": os.getpid()}.items():
            code = code.replace(mark, str(value))
        return code

    def check_untouched(self) -> None:
        assert [path.name for path in self.folder.iterdir()] == ["secret"]
        assert self.secret.read_text() == "the parent's"
        with pytest.raises(BlockingIOError):
            self.listener.accept()
        with pytest.raises(ChildProcessError):  # no child of ours is left, running or not
            os.waitpid(-1, os.WNOHANG)
        assert _descendants() == set()


@pytest.fixture
def outside() -> Iterator[Outside]:
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(name)
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text("the parent's")
        secret.chmod(stat.S_IRUSR | stat.S_IROTH | stat.S_IWOTH)
        listener.setblocking(False)
        yield Outside(folder, secret, listener)


def _descendants() -> set[str]:
    """Processes that run our child programme, whoever their parent is by now."""
    running = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b"child.py\0" in line and str(os.getpid()).encode() in _ancestors(path.parent):
            running.add(path.parent.name)
    return running


def _ancestors(process: Path) -> set[bytes]:
    found: set[bytes] = set()
    while process.name != "0":
        try:
            parent = (process / "stat").read_bytes().rpartition(b")")[2].split()[1]
        except OSError:
            break
        found.add(parent)
        process = process.with_name(parent.decode())
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_contained_with_the_stated_status(sandbox: Sandbox, outside: Outside, attack) -> None:
    if "sympy" in attack.name and not importlib.util.find_spec("sympy"):
        pytest.skip("sympy is not installed")
    outcome = sandbox.run(outside.aim(attack.code))
    assert outcome.status == attack.status, outcome
    assert outcome.value is None
    assert len(outcome.detail) <= 500
    outside.check_untouched()


@pytest.mark.parametrize("attack", FORBIDDEN)
def test_the_process_alone_contains_what_the_policy_forbids(sandbox: Sandbox, outside: Outside, attack) -> None:
    """Whatever gets past the policy has still no file, no network, no process and no time."""
    if attack.paths and sandbox.isolation == "rlimits" and os.geteuid() != 0:
        pytest.skip("rlimits do not stop what needs a path only; run as root or install bubblewrap")
    outcome = _unchecked(sandbox).run(outside.aim(attack.code))
    assert outcome.value != "escaped", outcome
    outside.check_untouched()


def _unchecked(sandbox: Sandbox) -> Sandbox:
    found = Sandbox(sandbox.limits, sandbox.isolation)
    found._checked = False
    return found


def test_the_suite_could_fail(outside: Outside) -> None:
    """The same attacks do succeed in a plain interpreter: the marks and the checks work."""
    names: dict[str, object] = {}
    exec(outside.aim(table.SYSTEM + "posix.stat('SECRET'); answer = 'escaped'"), names)
    assert names["answer"] == "escaped"
    (outside.folder / "left").touch()
    with pytest.raises(AssertionError):
        outside.check_untouched()


def test_attacks_leave_the_parent_as_it_was(sandbox: Sandbox, outside: Outside) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    loud = [sandbox.run("print('x' * 10 ** 7)") for _ in range(10)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loud += [sandbox.run("print('x' * 10 ** 7)") for _ in range(10)]
    assert {outcome.status for outcome in loud} == {"output"}
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**10  # KiB
    outside.check_untouched()


def test_a_programme_that_sleeps_ends_by_the_wall_clock(sandbox: Sandbox, outside: Outside) -> None:
    quick = Sandbox(Limits(wall=1), sandbox.isolation)
    quick._checked = False
    outcome = quick.run("import time\ntime.sleep(60)")
    assert outcome == Outcome("timeout", None, "it ran longer than 1 s", outcome.seconds)
    outside.check_untouched()


def test_the_environment_is_empty(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITHARA_SECRET", "key")
    seen = _unchecked(sandbox).run("import posix\nanswer = ' '.join(sorted(k.decode() for k in posix.environ))")
    assert set(str(seen.value).split()) <= {"PWD", "LC_CTYPE"}


def test_no_open_file_of_the_parent_is_inherited(sandbox: Sandbox, outside: Outside) -> None:
    with outside.secret.open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        code = """
            import posix
            seen = b""
            for number in range(256):
                try:
                    seen += posix.pread(number, 99, 0)
                except OSError:
                    pass
            answer = seen.decode(errors="replace")
        """
        assert _unchecked(sandbox).run(textwrap.dedent(code)).value == ""


def test_nobody_else_is_there(sandbox: Sandbox) -> None:
    """Not root, and not the parent's group; under bubblewrap no other process either."""
    seen = _unchecked(sandbox).run("import posix\nanswer = f'{posix.getuid()} {posix.getgid()} {posix.getppid()}'")
    user, group, parent = map(int, str(seen.value).split())
    if os.geteuid() == 0 or sandbox.isolation == "bubblewrap":
        assert 0 not in (user, group)
    assert (parent == os.getpid()) == (sandbox.isolation == "rlimits")
