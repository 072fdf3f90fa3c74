"""The one app: every domain's routes over one set of models, on the back end that the settings name."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from common.errors import KitharaError, OperatorError
from common.http import app as http
from common.registry.store import Repository
from common.runtime.base import Backend
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.settings import Settings
from common.system import DOMAINS, load, systems
from deploy import SHIPPED


def create_app(settings: Settings) -> http.App:
    """Compose the domains that ``settings.domain`` names. Raises OperatorError for settings that cannot be served."""
    repository = Repository(repository_folder(settings))
    names = model_names(repository, settings.domain)
    models = Models(repository, open_backend(settings), names=names, licences=settings.licences)
    served = [load(f"{domain}.app:routes")(models, settings) for domain in domains(settings.domain)]
    return http.create_app("Kithara", served, models, settings)


def repository_folder(settings: Settings) -> Path:
    """The model repository to serve; the shipped one when none is named."""
    folder = SHIPPED if settings.models is None else Path(settings.models)
    if not folder.is_dir():
        raise OperatorError(f"no model repository at {folder}; name an existing folder with --models")
    return folder


def model_names(repository: Repository, domain: str) -> list[str] | None:
    """The models of one domain's systems; None for all. One whose card cannot be read is kept, and says so."""
    if domain == "all":
        return None
    own = {system.name for system in systems().values() if system.domain == domain}
    return [name for name in repository.names() if _system(repository, name) in {*own, None}]


def _system(repository: Repository, name: str) -> str | None:
    with contextlib.suppress(KitharaError):
        return repository.load(*repository.resolve(name)).card.system
    return None


def open_backend(settings: Settings) -> Backend:
    """The only place where a back end is chosen."""
    if settings.backend == "local":
        return LocalBackend(threads=settings.threads, device=settings.device)
    assert settings.triton is not None, "Settings refuses a remote back end without an address"
    from common.runtime.remote import TritonBackend  # tritonclient takes time and memory that local serving saves

    return TritonBackend(settings.triton)


def domains(wanted: str) -> Iterator[str]:
    """Domain packages to serve: the one that is named, or all."""
    return (domain for domain in DOMAINS if wanted in ("all", domain))
