"""The model repository: list, load, resolve, alias, publish."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import msgspec

from common.errors import OperatorError, Unknown
from common.registry.cards import read_record, render, sha256, sync, write_whole
from common.registry.golden import check_golden, read_golden
from common.registry.layout import ALIASES, CARD, CONFIG, GOLDEN, GRAPH, Version
from common.registry.triton_config import check_config, write_config
from contracts._base import Name, Positive
from contracts.models import ModelCard

DEFAULT = "default"
"""The alias that answers when a request names no version; without it the newest version does."""
STAGING = ".publish-"
"""Prefix of a version that is being written; hidden, and no number, so nothing takes it for one."""
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
REMEDY = "publish the model again or remove the version's folder"
NO_FILES: Mapping[str, bytes] = MappingProxyType({})


class Repository:
    """A folder of models in Triton's layout (``common.registry.layout``). Constructing it reads nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Models with at least one version, readable or not. Raises OperatorError when there is no such folder."""
        try:
            folders = sorted(self.root.iterdir())
        except OSError as error:
            reason = f"model repository {self.root} cannot be read ({error.strerror})"
            raise OperatorError(f"{reason}; name an existing folder with --models") from error
        return [folder.name for folder in folders if NAME.fullmatch(folder.name) and _numbers(folder)]

    def versions(self, name: str) -> list[int]:
        """Version numbers, ascending. Raises Unknown when the model has none."""
        numbers = _numbers(self.root / name) if NAME.fullmatch(name) else []
        if not numbers:
            raise Unknown(f"no model {name!r} in {self.root}; `kithara models list` shows those there are")
        return numbers

    def load(self, name: str, number: int) -> Version:
        """Read and verify one version: card, digests of all its files, ``config.pbtxt``.

        Raises OperatorError that names the file, the field and the remedy.
        """
        folder = self.root / name / str(number)
        card = _card(folder, name, number)
        for file, field, wanted in _digests(card):
            if sha256(folder / file, REMEDY) != wanted:
                raise OperatorError(f"{folder / file} is not the file of {CARD}'s {field}; {REMEDY}")
        check_config(self.root / name / CONFIG, card)
        return Version(folder, card)

    def aliases(self, name: str) -> dict[str, int]:
        """Version numbers by alias. Raises OperatorError when the file cannot be read."""
        path = self.root / name / ALIASES
        return read_record(path, dict[Name, Positive], "correct or remove the file") if path.exists() else {}

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let ``name@alias`` mean a published version. Raises Unknown, or OperatorError for a bad alias or number."""
        if not NAME.fullmatch(alias) or alias.isdecimal():
            raise OperatorError(f"alias {alias!r}: take lower-case letters, digits, '.', '_' or '-', and not a number")
        with self._locked():
            published = self.versions(name)
            if number not in published:
                raise OperatorError(f"{name} has no version {number}; it has {', '.join(map(str, published))}")
            aliases = {**self.aliases(name), alias: number}
            write_whole(self.root / name / ALIASES, render(dict(sorted(aliases.items()))))

    def resolve(self, ref: str) -> tuple[str, int]:
        """Name and number of ``name``, ``name@number`` or ``name@alias``. Raises Unknown."""
        name, _, tag = ref.partition("@")
        numbers, aliases = self.versions(name), self.aliases(name)
        if ref == name:
            return name, aliases.get(DEFAULT, numbers[-1])
        if tag in aliases:
            return name, aliases[tag]
        if tag in map(str, numbers):
            return name, int(tag)
        known = ", ".join([*map(str, numbers), *aliases])
        raise Unknown(f"{name!r} has no version or alias {tag!r}; it has {known}")

    def publish(self, draft: ModelCard, graph: Path, golden: Path, files: Mapping[str, bytes] = NO_FILES) -> Version:
        """Add a version: everything or nothing.

        ``draft``'s version and digests are filled in, those of ``files`` (contents by name) too. The version appears
        with one rename, after all its bytes are on the disk; a failure before leaves the repository as it was, a kill
        leaves at most a hidden folder that the next publication removes. Publishers take turns.

        Raises OperatorError when the card is not valid, the golden tensors are not the signature's, or a published
        version of the name has another signature.
        """
        check_golden(draft.signature, *read_golden(golden))
        if not NAME.fullmatch(draft.name):
            raise OperatorError(
                f"card, name: {draft.name!r} is no model name (lower-case letters, digits, '.', '_', '-')"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locked(), _restored(self.root / draft.name) as model:
            for leftover in model.glob(STAGING + "*"):
                shutil.rmtree(leftover)
            published = _numbers(model)
            for number in published:
                _same_signature(draft, _card(model / str(number), draft.name, number))
            version = max(published, default=0) + 1
            staged = _stage(model, msgspec.structs.replace(draft, version=version), graph, golden, files)
            # Before the rename: whoever sees the version finds a configuration that fits it.
            write_config(model / CONFIG, draft)
            os.rename(staged, model / str(version))  # noqa: PTH104
        sync(model)
        return self.load(draft.name, version)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, among threads and processes; a killed one frees the lock."""
        try:
            handle = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise OperatorError(f"model repository {self.root} cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _numbers(folder: Path) -> list[int]:
    try:
        found = [int(e.name) for e in folder.iterdir() if re.fullmatch(r"[1-9][0-9]{0,17}", e.name) and e.is_dir()]
    except OSError:
        return []
    return sorted(found)


def _card(folder: Path, name: str, number: int) -> ModelCard:
    path = folder / CARD
    card = read_record(path, ModelCard, REMEDY)
    if (card.name, card.version) != (name, number):
        field, has = ("name", card.name) if card.name != name else ("version", card.version)
        raise OperatorError(f"{path}: {field} is {has!r} in the folder of {name}@{number}; {REMEDY}")
    return card


def _same_signature(draft: ModelCard, card: ModelCard) -> None:
    for kind in ("inputs", "outputs"):
        new, old = getattr(draft.signature, kind), getattr(card.signature, kind)
        if new != old:
            differences = [f"{n} is not {o}" for n, o in zip(new, old, strict=False) if n != o]
            what = differences[0] if differences else f"{len(new)} instead of {len(old)}"
            raise OperatorError(
                f"{draft.name}: {kind} of the signature differ from version {card.version} ({what}); "
                "publish under a new name"
            )


def _digests(card: ModelCard) -> Iterator[tuple[str, str, str]]:
    """Of every file of a version: its name, the card's field, the digest that stands there."""
    yield GRAPH, "graph_sha256", card.graph_sha256
    yield GOLDEN, "golden_sha256", card.golden_sha256
    for name, digest in card.files.items():
        yield name, "files", digest


def _stage(model: Path, draft: ModelCard, graph: Path, golden: Path, files: Mapping[str, bytes]) -> Path:
    """The complete version in a hidden folder, on the disk."""
    folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=model))
    folder.chmod(0o755)  # mkdtemp makes it private; Triton may run as another user
    for source, file in ((graph, GRAPH), (golden, GOLDEN)):
        try:
            shutil.copyfile(source, folder / file)
        except OSError as error:
            raise OperatorError(f"{source} cannot be copied ({error.strerror}); export the model again") from error
    if taken := files.keys() & {GRAPH, GOLDEN, CARD}:
        raise OperatorError(f"{sorted(taken)[0]}: every version has a file of this name; publish yours under another")
    card = msgspec.structs.replace(
        draft,
        graph_sha256=sha256(folder / GRAPH, REMEDY),
        golden_sha256=sha256(folder / GOLDEN, REMEDY),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    (folder / CARD).write_bytes(render(card))
    # Constructing a Struct validates nothing, and JSON has no NaN: only what reads back as itself is published.
    if read_record(folder / CARD, ModelCard, "correct the card's draft") != card:
        raise OperatorError(f"card of {card.name}: does not read back as it was written; correct the card's draft")
    # After the card was read back: that is where file names are checked.
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for file in (GRAPH, GOLDEN, CARD, *files):
        sync(folder / file)
    sync(folder)
    return folder


@contextmanager
def _restored(model: Path) -> Iterator[Path]:
    """The model's folder, made where there is none; after an exception it is as it was before."""
    config = model / CONFIG
    before = config.read_bytes() if config.exists() else None
    created = not model.exists()
    model.mkdir(exist_ok=True)
    try:
        yield model
    except BaseException:
        for leftover in model.glob(STAGING + "*"):
            shutil.rmtree(leftover)
        if created:
            shutil.rmtree(model)
        elif before is None:
            config.unlink(missing_ok=True)
        elif config.read_bytes() != before:
            write_whole(config, before)
        raise
