"""Everything one does with this suite: `nox -l` lists it, `nox -s NAME` does it.

Two environments carry all sessions, built once and rebuilt when pyproject.toml or constraints.txt change: `serve` (no
torch) and `dev` (all of it). Only `triton` has a third, because the packaged server needs numpy 1.
"""

import hashlib
import os
import sys
from pathlib import Path

import nox

nox.options.sessions = ["test"]
HERE = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PINNED = ("-c", "constraints.txt")


def groups(*names: str) -> list[str]:
    """The requirements of dependency groups; pip before 25.1 cannot read them itself."""
    return [requirement for name in names for requirement in nox.project.dependency_groups(PROJECT, name)]


def environment(session: nox.Session, name: str, *requirements: str) -> dict[str, str]:
    """A virtual environment shared by sessions; returns the variables that put it first on PATH."""
    folder = HERE / ".nox" / f"env-{name}"
    bin_ = folder / ("Scripts" if sys.platform == "win32" else "bin")
    stamp = folder / "kithara-stamp"
    parts = [*requirements, sys.version, *(Path(f).read_text() for f in ("pyproject.toml", "constraints.txt"))]
    wanted = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        session.run(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        session.run(str(bin_ / "python"), "-m", "pip", "install", "-q", *requirements, external=True)
        stamp.write_text(wanted)
    return {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(folder)}


def serving(session: nox.Session) -> dict[str, str]:
    """What the README's first command installs: enough to serve, no torch."""
    return environment(session, "serve", *PINNED, "-e", ".[serve]")


def dev(session: nox.Session) -> dict[str, str]:
    """Serving, training, tests and checks."""
    return environment(session, "dev", *PINNED, "-e", ".[serve,train]", *groups("test", "quality", "bench"))


def pytest(session: nox.Session, *arguments: str, **variables: str) -> None:
    env = dev(session) | variables
    session.run("python", "-m", "pytest", *arguments, *session.posargs, env=env, external=True)


@nox.session(venv_backend="none")
def serve(session: nox.Session) -> None:
    """Install what serving needs and start the suite on http://127.0.0.1:8000 (docs at /docs)."""
    session.run("kithara", "serve", *session.posargs, env=serving(session), external=True)


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    """The whole default test set."""
    pytest(session, "-m", "not (slow or triton or e2e or gpu or manifests or api)")


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style (ruff) and architecture (import-linter)."""
    env = dev(session)
    session.run("ruff", "check", ".", env=env, external=True)
    session.run("ruff", "format", "--check", ".", env=env, external=True)
    session.run("lint-imports", env=env, external=True)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Static types (basedpyright)."""
    session.run("basedpyright", env=dev(session), external=True)


@nox.session(venv_backend="none")
def contracts(session: nox.Session) -> None:
    """The four contract checks, against the snapshots; `-- --update-snapshots` rewrites them."""
    pytest(session, "tests/contracts")


@nox.session(venv_backend="none")
def api(session: nox.Session) -> None:
    """Schemathesis against the served OpenAPI document."""
    pytest(session, "tests/api", "-m", "api")


@nox.session(venv_backend="none")
def export(session: nox.Session) -> None:
    """Train tiny, export and prove every system, then check the shipped model repository."""
    pytest(session, "tests/common/export", "tests/vision_nlp/fff/test_export.py")
    session.run("kithara", "models", "check", env=dev(session), external=True)


@nox.session
def triton(session: nox.Session) -> None:
    """The same model repository on a real Triton server."""
    session.install(*groups("triton-server"))
    session.install("--no-deps", *groups("triton-server-no-deps"))
    server = str(Path(session.virtualenv.bin) / "python")
    pytest(session, "tests/triton", "-m", "triton", TRITON_PYTHON=server, REQUIRE_TRITON="1")


@nox.session(venv_backend="none")
def e2e(session: nox.Session) -> None:
    """Start the suite as the README does and check real answers; KITHARA_DATA adds real test images."""
    pytest(session, "tests/e2e", "-m", "e2e")


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """What needs a CUDA device."""
    pytest(session, "-m", "gpu")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Serving overhead and FFF speed, as ratios within one run."""
    env = dev(session)
    for name in session.posargs or ("serving", "fff"):
        session.run("kithara", "bench", name, env=env, external=True)


@nox.session(venv_backend="none")
def claims(session: nox.Session) -> None:
    """Re-test the papers' claims on bundled data, quickly; KITHARA_DATA adds the real sets."""
    session.run("kithara", "claims", "fff", "--quick", *session.posargs, env=dev(session), external=True)


@nox.session(venv_backend="none")
def manifests(session: nox.Session) -> None:
    """Render and validate the Kubernetes manifests."""
    pytest(session, "tests/deploy/test_manifests.py", "-m", "manifests")
