"""What a research system tells the suite about itself, and how the suite finds it.

Each paper folder holds ``system.py`` with one ``SYSTEM``. The verbs are dotted paths, imported only when called, so
that listing systems or serving one never imports torch.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Literal

from common.errors import OperatorError
from contracts._base import Name, Record

Verb = Literal["train", "evaluate", "export", "claims", "predict", "bench"]
DOMAINS = ("speech", "vision_nlp", "llm_studies", "music_fewshot")


class System(Record, frozen=True, kw_only=True):
    """One published system.

    The verbs are called so (all keyword arguments; paths are ``pathlib.Path``):

    - ``train(config, data=None|Path, out=Path, resume=None|Path, command=str) -> Path``, the run folder
    - ``evaluate(run=Path, data=None|Path) -> RunManifest`` (also writes ``metrics.json``)
    - ``export(run=Path, models=Path) -> common.registry.layout.Version``
    - ``claims(quick=bool, data=None|Path, seeds=None|int, out=None|Path, command=str) -> ClaimsReport``
    - ``predict(file=Path, models=Path, model=None|str) -> Record``
    - ``bench(quick=bool) -> Record``
    """

    name: Name
    domain: Literal["speech", "vision_nlp", "llm_studies", "music_fewshot"]
    title: str
    paper: str
    config: str
    """Dotted path of the configuration Struct, e.g. ``vision_nlp.fff.config:Config``."""
    verbs: dict[Verb, str]

    def load(self, verb: Verb) -> Callable[..., Any]:
        """Import and return the function behind a verb. Raises OperatorError when the system has no such verb."""
        if verb not in self.verbs:
            raise OperatorError(f"{self.name} has no {verb!r}; it has {', '.join(sorted(self.verbs))}")
        return load(self.verbs[verb])


def load(dotted: str) -> Any:
    """The object at ``package.module:attribute``."""
    module, _, attribute = dotted.partition(":")
    return getattr(importlib.import_module(module), attribute)


def systems() -> MappingProxyType[str, System]:
    """Every system of every domain, by name, found by walking the domain packages."""
    found: dict[str, System] = {}
    for domain in DOMAINS:
        package = importlib.import_module(domain)
        for folder in pkgutil.iter_modules(package.__path__):
            if folder.ispkg and importlib.util.find_spec(f"{domain}.{folder.name}.system"):
                system = load(f"{domain}.{folder.name}.system:SYSTEM")
                found[system.name] = system
    return MappingProxyType(found)


def system(name: str) -> System:
    """The system of that name. Raises OperatorError that lists the known ones."""
    known = systems()
    if name not in known:
        raise OperatorError(f"no system named {name!r}; known: {', '.join(sorted(known))}")
    return known[name]
