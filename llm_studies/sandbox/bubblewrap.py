"""The command that starts a child: inside bubblewrap where that works, else as it is.

bubblewrap gives the child namespaces of its own (no network, no other process, no host name), a file system that holds
a read-only Python and an empty directory, no capability, a user that is not root, and a filter of system calls. It
needs user namespaces, which a restricted container or pod may forbid: only running it tells.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from llm_studies.sandbox import seccomp

Isolation = Literal["bubblewrap", "rlimits"]
HERE = Path(__file__).parent
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
"""The loader, the C library, and where the loader finds a libpython outside them, as in the official images."""
PYTHON = os.path.realpath(sys.executable)
"""Of the installation, not of the virtual environment: the child sees no package."""
STDLIB = Path(os.__file__).parent
INSIDE = "/sandbox"
NOBODY = "65534"
FLAGS = ("-I", "-S", "-B")


def isolation() -> Isolation:
    """The best that this machine allows."""
    return "bubblewrap" if works() else "rlimits"


@cache
def works() -> bool:
    """Whether a Python starts in it here, by starting one. Once a process: it depends on the kernel's settings."""
    if shutil.which("bwrap") is None or seccomp.program() is None:
        return False
    with filtered() as filter_:
        command = [*wrapped((), filter_), PYTHON, *FLAGS, "-c", "print(6 * 7)"]
        try:
            tried = subprocess.run(
                command,
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10,
                pass_fds=(filter_,),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return tried.returncode == 0 and tried.stdout == b"42\n"


@contextmanager
def filtered() -> Iterator[int]:
    """A descriptor from which bubblewrap reads the filter of system calls, once."""
    reading, writing = os.pipe()
    try:
        os.write(writing, seccomp.program() or b"")
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def wrapped(packages: tuple[Path, ...], filter_: int) -> list[str]:
    """bubblewrap's own part of the command."""
    bind = [part for path in _shown() for part in ("--ro-bind-try", path, path)]
    bind += [part for path in packages for part in ("--ro-bind", str(path), f"{INSIDE}/packages/{path.name}")]
    bind += [part for name in ("child.py", "policy.py") for part in ("--ro-bind", str(HERE / name), f"{INSIDE}/{name}")]
    namespaces = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    user = ["--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL", "--clearenv", "--hostname", "sandbox"]
    rest = ["--seccomp", str(filter_), "--tmpfs", "/tmp", "--chdir", "/tmp", "--"]
    return [shutil.which("bwrap") or "bwrap", *namespaces, *user, *bind, *rest]


def _shown() -> list[str]:
    """The interpreter, its standard library and its shared objects; installed packages are not on the child's path."""
    library = [str(path) for path in Path(PYTHON).parent.parent.glob("lib/libpython*.so*")]
    return [*SYSTEM, PYTHON, *library, str(STDLIB)]


@cache
def sympy() -> tuple[Path, ...]:
    """The folders of sympy and of what it needs, where it is installed."""
    found = [find_spec(name) for name in ("sympy", "mpmath")]
    return tuple(Path(spec.origin).parent for spec in found if spec and spec.origin) if all(found) else ()


def command(kind: Isolation, filter_: int, arguments: list[str], root: Path, checked: bool) -> list[str]:
    """The whole command; ``filter_`` is a descriptor of ``filtered``, ``arguments`` are the child's first four."""
    packages = sympy()
    if kind == "bubblewrap":
        shown = [f"{INSIDE}/packages"] if packages else []
        child = [PYTHON, *FLAGS, f"{INSIDE}/child.py", *arguments, "/tmp", str(int(checked)), *shown]
        return [*wrapped(packages, filter_), *child]
    shown = [str(path.parent) for path in packages[:1]]
    return [PYTHON, *FLAGS, str(HERE / "child.py"), *arguments, str(root), str(int(checked)), *shown]
