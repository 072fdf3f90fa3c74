"""Everything one does with this suite: `nox -l` lists it, `nox -s NAME` does it.

Two environments carry all sessions, built once and rebuilt when pyproject.toml or constraints.txt change: `serve` (no
torch) and `dev` (all of it). Servers and rivals that are no dependency of ours have their own: `triton` (it needs numpy
1), `llm_local` and `bench_llm`.
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


class Environment:
    """A virtual environment shared by sessions."""

    def __init__(self, session: nox.Session, name: str, *requirements: str) -> None:
        self.session = session
        self.folder = HERE / ".nox" / f"env-{name}"
        self.bin = self.folder / ("Scripts" if sys.platform == "win32" else "bin")
        stamp = self.folder / "kithara-stamp"
        parts = [*requirements, sys.version, *(Path(f).read_text() for f in ("pyproject.toml", "constraints.txt"))]
        wanted = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            session.run(sys.executable, "-m", "venv", "--clear", str(self.folder), external=True)
            self.run("python", "-m", "pip", "install", "-q", *requirements)
            stamp.write_text(wanted)

    def run(self, program: str, *arguments: str, **variables: str) -> None:
        """Run one of the environment's programs, with the environment first on PATH."""
        variables = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(self.folder)} | variables
        self.session.run(str(self.bin / program), *arguments, env=variables, external=True)

    def pytest(self, *arguments: str, **variables: str) -> None:
        self.run("python", "-m", "pytest", *arguments, *self.session.posargs, **variables)


def serving(session: nox.Session) -> Environment:
    """What the README's first command installs: enough to serve, no torch."""
    return Environment(session, "serve", *PINNED, "-e", ".[serve]")


def dev(session: nox.Session) -> Environment:
    """Serving, training, tests and checks."""
    return Environment(session, "dev", *PINNED, "-e", ".[serve,train,render]", *groups("test", "quality", "bench"))


@nox.session(venv_backend="none")
def serve(session: nox.Session) -> None:
    """Install what serving needs and start the suite on http://127.0.0.1:8000 (docs at /docs)."""
    serving(session).run("kithara", "serve", *session.posargs)


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    """The whole default test set."""
    dev(session).pytest("-m", "not (slow or triton or e2e or gpu or manifests or api or llm_local)")


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style (ruff) and architecture (import-linter)."""
    env = dev(session)
    env.run("ruff", "check", ".")
    env.run("ruff", "format", "--check", ".")
    env.run("lint-imports")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Static types (basedpyright)."""
    env = dev(session)
    env.run("basedpyright", "--pythonpath", str(env.bin / "python"))


@nox.session(venv_backend="none")
def contracts(session: nox.Session) -> None:
    """The four contract checks, against the snapshots; `-- --update-snapshots` rewrites them."""
    dev(session).pytest("tests/contracts")


@nox.session(venv_backend="none")
def api(session: nox.Session) -> None:
    """Schemathesis against the served OpenAPI document."""
    dev(session).pytest("tests/api", "-m", "api")


@nox.session(venv_backend="none")
def export(session: nox.Session) -> None:
    """Train tiny, export and prove every system, then check the shipped model repository."""
    env = dev(session)
    systems = ("music_fewshot/lc_protonets", "speech/medusa")
    env.pytest("tests/common/export", "tests/vision_nlp", *(f"tests/{system}/test_export.py" for system in systems))
    env.run("kithara", "models", "check")


@nox.session
def triton(session: nox.Session) -> None:
    """The same model repository on a real Triton server."""
    session.install(*groups("triton-server"))
    session.install("--no-deps", *groups("triton-server-no-deps"))
    server = str(Path(session.virtualenv.bin) / "python")
    dev(session).pytest("tests/triton", "-m", "triton", TRITON_PYTHON=server, REQUIRE_TRITON="1")


@nox.session
def llm_local(session: nox.Session) -> None:
    """Probe and studies against a tiny model behind `transformers serve`."""
    session.install(*PINNED, *groups("llm-server"))
    server = str(Path(session.virtualenv.bin) / "python")
    dev(session).pytest("tests/llm_local", "-m", "llm_local", LLM_PYTHON=server, REQUIRE_LLM_LOCAL="1")


@nox.session(venv_backend="none")
def e2e(session: nox.Session) -> None:
    """Start the suite as the README does and check real answers; KITHARA_DATA adds real test images."""
    dev(session).pytest("tests/e2e", "-m", "e2e")


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """What needs a CUDA device."""
    dev(session).pytest("-m", "gpu")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Speed of serving and of systems, as ratios within one run; `-- serving` and no --quick for the record."""
    env = dev(session)
    if session.posargs:
        env.run("kithara", "bench", *session.posargs)
    else:
        for name in ("fff", "acn", "serving", "llm", "lc_protonets", "medusa"):
            env.run("kithara", "bench", name, "--quick")


@nox.session
def bench_llm(session: nox.Session) -> None:
    """The study runner beside a plain client loop and lm-evaluation-harness's runner, on one server in one run."""
    session.install(*groups("lm-eval"))
    rival = str(Path(session.virtualenv.bin) / "python")
    dev(session).run("kithara", "bench", "llm", *session.posargs, LM_EVAL_PYTHON=rival)


@nox.session(venv_backend="none")
def claims(session: nox.Session) -> None:
    """Re-test the papers' claims on bundled data, quickly; KITHARA_DATA adds the real sets."""
    for system in ("fff", "acn", "bloomwise", "icl_priors", "lc_protonets", "medusa"):
        dev(session).run("kithara", "claims", system, "--quick", *session.posargs)


@nox.session(venv_backend="none")
def manifests(session: nox.Session) -> None:
    """Render and validate the Kubernetes manifests."""
    dev(session).pytest("tests/deploy/test_manifests.py", "-m", "manifests")
