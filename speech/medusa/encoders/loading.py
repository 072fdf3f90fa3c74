"""Published models and their revision, from a name or a folder; nothing is fetched unless that is asked for."""

import hashlib
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError

from common.errors import OperatorError
from common.registry.cards import sha256

MAY_BE_NEW = ("pooler.", "masked_spec_embed")
"""Weights that a published checkpoint may lack, because no stream reads what they do."""
FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
"""What the library raises for files that are missing or broken."""


class Place(NamedTuple):
    """Where a published model lies."""

    name: str
    """A folder, or a name of the public model hub."""
    revision: str | None = None
    """Of a name: a branch, a tag or a commit."""
    download: bool = False
    """Whether a name may be fetched; otherwise it must have been fetched before."""

    @property
    def options(self) -> dict[str, Any]:
        """For every ``from_pretrained``."""
        return {"revision": self.revision or "main", "local_files_only": not self.download}


def config(place: Place) -> Any:
    """The model's configuration. Raises OperatorError when there is none."""
    return _read("AutoConfig", place)


def processor(kind: str, place: Place) -> Any:
    """``AutoTokenizer`` or ``AutoFeatureExtractor``. Raises OperatorError when there is none."""
    return _read(kind, place)


def model(place: Place) -> torch.nn.Module:
    """In eval mode, float32, on the CPU.

    Raises OperatorError when it cannot be read, and when a weight is missing: the library would go on with random ones.
    """
    network, told = _read("AutoModel", place, dtype=torch.float32, output_loading_info=True)
    if missing := sorted(key for key in told["missing_keys"] if not key.startswith(MAY_BE_NEW)):
        raise OperatorError(
            f"{place.name}: the checkpoint lacks {', '.join(missing[:3])}; fetch the model again, whole"
        )
    return network.eval().requires_grad_(False)


def revision(place: Place, settings: Any) -> str:
    """Which weights these are: the commit of a name, or a digest of a folder's files."""
    folder = Path(place.name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        told = "\n".join(f"{path.name} {sha256(path, 'fetch the model again')}" for path in files)
        return f"{settings.model_type}@sha256:{hashlib.sha256(told.encode()).hexdigest()}"
    commit = getattr(settings, "_commit_hash", None)
    if not commit:
        raise OperatorError(f"{place.name}: its commit is not known; give the folder that holds the model")
    return f"{place.name}@{commit}"


def _read(kind: str, place: Place, **more: Any) -> Any:
    # Takes seconds, which no one waits for who opens no published model.
    library = importlib.import_module("transformers")
    try:
        return getattr(library, kind).from_pretrained(place.name, **place.options, **more)
    except FAILURES as error:
        why = str(error).strip().split("\n")[0]
        remedy = "check the name" if place.download else "give a folder that holds the whole model, or fetch it before"
        raise OperatorError(f"{place.name} cannot be read ({why}); {remedy}") from error
