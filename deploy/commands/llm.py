"""``kithara llm simulate | probe``: a model server to try everything on, and what a real one honours."""

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro import conf

from common.errors import OperatorError
from common.registry import cards
from common.system import system
from common.toml import read_file
from contracts.llm import Honoured, Profile
from deploy.commands import configs
from deploy.commands.base import DATA, Answer, Command, Reporting, data_root, existing
from deploy.commands.tables import fields
from llm_studies.llm import loop

if TYPE_CHECKING:
    from llm_studies.simulate.server import SimulatedServer

File = Annotated[Path, conf.arg(metavar="FILE")]


@dataclass(frozen=True, kw_only=True)
class Simulate(Command):
    """Serve a simulated model of known behaviour with OpenAI's API; prints its base URL when it listens."""

    kind: Literal["respondent", "solver"] = "solver"
    """`solver` answers the prompts of `study bloomwise`, `respondent` those of `study priors`."""
    config: Annotated[str, conf.arg(metavar="small|medium|large|FILE")] = "medium"
    """A packaged simulation or a TOML file of llm_studies.simulate.config:Simulation."""
    faults: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """A TOML file of faults, e.g. `shares = {rate_limit = 0.1, dropped = 0.05}`. Default: none."""
    study: Annotated[str, conf.arg(metavar="tiny|paper|FILE")] = "tiny"
    """Whose problems, or texts and labels, the model knows."""
    data: Annotated[Path | None, conf.arg(metavar="DIR")] = field(default_factory=data_root)
    """Folder with the study's data sets. Default: the environment's KITHARA_DATA."""
    problems: Annotated[tuple[Path, ...], conf.arg(metavar="FILE ...")] = ()
    """Solver: further problems that it knows, as JSON lines with `question` and `gold`."""
    gold: Annotated[tuple[Path, ...], conf.arg(metavar="FILE ...")] = ()
    """Respondent: what it knows in place of the study's, as JSON lines with `text`, `labels` and, where there are
    several, `annotator`."""
    host: str = "127.0.0.1"
    port: Annotated[int, conf.arg(metavar="PORT")] = 8080
    """0: one that is free."""
    key_env: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Variable that holds the API key which callers must show. Default: none is wanted."""

    def run(self) -> None:
        """Serve until a signal says to stop."""
        _serve(self.app(), self.host, self.port)

    def app(self) -> "SimulatedServer":
        """What is served."""
        from llm_studies.simulate.faults import FaultPlan
        from llm_studies.simulate.server import SimulatedServer

        plan = FaultPlan(_faults(self.faults)) if self.faults else None
        simulation = _simulation(self.config)
        return SimulatedServer(self._mind(simulation), simulation.server, plan, _key(self.key_env))

    def _mind(self, simulation: Any) -> Any:
        from llm_studies.simulate import gold, problems
        from llm_studies.simulate.respondent import SimulatedRespondent
        from llm_studies.simulate.solver import SimulatedSolver

        data = existing(self.data, DATA)
        if self.kind == "respondent" and self.gold:
            return SimulatedRespondent(simulation.respondent, gold.read(self.gold))
        study: Any = configs.read(system("bloomwise" if self.kind == "solver" else "icl_priors"), self.study)
        if self.kind == "respondent":
            return SimulatedRespondent(simulation.respondent, gold.of_study(study, data))
        return SimulatedSolver(simulation.solver, problems.of_study(study, data) | problems.read(self.problems))


@dataclass(frozen=True, kw_only=True)
class Probe(Reporting):
    """Record what a server really honours, with about ten small calls."""

    profile: File
    """A TOML profile: `base_url`, `model`, `api_key_env`, ..."""
    out: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """Where the record is written too. Default: nowhere."""

    def answer(self) -> Answer:
        profile = read_file(self.profile, Profile, "--profile")
        found = loop.run(_probed(profile))
        if self.out is not None:
            self.out.write_bytes(cards.render(found))
        return Answer(found, fields(found))


async def _probed(profile: Profile) -> Honoured:
    from llm_studies.llm.client import Client
    from llm_studies.llm.probe import probe

    async with Client(profile) as client:
        return await probe(client)


def _simulation(name: str) -> Any:
    from llm_studies.simulate.config import Simulation, packaged

    return read_file(packaged().get(name, Path(name)), Simulation, "--config")


def _faults(file: Path) -> Any:
    from llm_studies.simulate.config import Faults

    return read_file(file, Faults, "--faults")


def _key(variable: str | None) -> str:
    """The API key in that variable. Raises OperatorError when it is empty."""
    if variable and not os.environ.get(variable):
        raise OperatorError(f"--key-env {variable}: the environment has no such variable; set it to the key")
    return os.environ[variable] if variable else ""


def _serve(app: Any, host: str, port: int) -> None:
    """uvicorn on a socket of our own, so that the URL is true when it is printed."""
    import uvicorn

    with socket.create_server((host, port), backlog=2048) as listening:
        print(f"http://{host}:{listening.getsockname()[1]}/v1", flush=True)  # noqa: T201
        quiet = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
        uvicorn.Server(quiet).run(sockets=[listening])
