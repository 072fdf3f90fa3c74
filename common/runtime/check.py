"""Is what lies in a repository what its cards say? Digests, configuration, real signatures, golden outputs, aliases."""

from common.errors import KitharaError, NotReady
from common.registry.golden import read_golden
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.proof import mismatch
from common.runtime.sessions import open_graph


def check(repository: Repository) -> dict[str, str | None]:
    """By ``name@version``, and by ``name`` for aliases: what is wrong, or None.

    Each version is looked at by itself, so that one broken file says nothing about the others. Raises OperatorError
    when the repository itself cannot be read.
    """
    found: dict[str, str | None] = {}
    for name in repository.names():
        numbers = repository.versions(name)
        for number in numbers:
            found[f"{name}@{number}"] = _reason(repository, name, number)
        if aliases := _aliases(repository, name, numbers):
            found[name] = aliases
    return found


def check_version(version: Version) -> None:
    """Raises NotReady: the graph cannot be loaded, is not the card's, or does not reproduce its golden outputs."""
    graph = open_graph(version, "cpu")
    inputs, golden = read_golden(version.golden)
    try:
        outputs = graph.run(inputs)
    except Exception as error:
        raise NotReady(f"{version.label} fails on its golden inputs ({error}); publish it again") from error
    if reason := mismatch(outputs, golden, version.card):
        raise NotReady(reason)


def _reason(repository: Repository, name: str, number: int) -> str | None:
    try:
        check_version(repository.load(name, number))
    except KitharaError as error:
        return error.detail
    return None


def _aliases(repository: Repository, name: str, numbers: list[int]) -> str | None:
    try:
        dangling = {alias: number for alias, number in repository.aliases(name).items() if number not in numbers}
    except KitharaError as error:
        return error.detail
    said = [
        f"alias {alias} means version {number}, which is not there; set it anew" for alias, number in dangling.items()
    ]
    return "; ".join(said) or None
