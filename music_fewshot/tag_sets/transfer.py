"""A tag set as one file, and back: embeddings as safetensors, everything else as JSON in its metadata. No pickle."""

import secrets

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from common.errors import Conflict, Invalid, Malformed
from common.http.problems import field_error
from contracts.music_fewshot import MAX_EXPORT, MAX_ITEM_TAGS, ExportedTagSet, SupportItem
from contracts.problem import FieldError
from music_fewshot.tag_sets.content import Content, Item
from music_fewshot.tag_sets.describe import support_item
from music_fewshot.tag_sets.edits import checked

METADATA = "kithara.tag_set"
EMBEDDINGS = "embeddings"
LENGTH = 8
"""Bytes that state the length of a safetensors header."""
REMEDY = "send a file as GET .../export gave it"


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """Where a tensor lies; the library checks whether that can be."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """Of a safetensors file with no other tensor. Typed to the last value, so nothing in it can be nested deeply."""

    metadata: dict[str, str] = msgspec.field(name="__metadata__", default={})
    embeddings: _Tensor | None = None


def exported(content: Content) -> bytes:
    """The file. Raises Conflict: it would be larger than is taken back."""
    described = ExportedTagSet(
        name=content.name,
        description=content.description,
        model=content.model,
        graph_sha256=content.graph_sha256,
        decision=content.decision,
        overflow=content.overflow,
        items=tuple(support_item(item) for item in content.items),
    )
    embeddings = np.stack([item.embedding for item in content.items]).astype(np.float32, copy=False)
    file = save({EMBEDDINGS: embeddings}, {METADATA: msgspec.json.encode(described).decode()})
    if len(file) > MAX_EXPORT:
        raise Conflict(f"the file would have {len(file)} bytes, and at most {MAX_EXPORT} can be imported; remove clips")
    return file


def described(file: bytes) -> ExportedTagSet:
    """What the file says of itself. Raises Malformed, Invalid."""
    header = _header(file)
    if METADATA not in header.metadata:
        raise Malformed(f"the file holds no tag set: its metadata have no {METADATA!r}; {REMEDY}")
    try:
        said = msgspec.json.decode(header.metadata[METADATA], type=ExportedTagSet)
    except msgspec.ValidationError as error:
        raise Invalid.fields((field_error(error, METADATA),)) from None
    except msgspec.DecodeError as error:
        raise Malformed(f"the metadata {METADATA!r} are not valid JSON ({error}); {REMEDY}") from None
    _check_tags(said)
    return said


def imported(file: bytes, said: ExportedTagSet, model: str, dimensions: int) -> Content:
    """A tag set of its own: its clips get new ids. ``model``: the served version with the file's graph.

    Raises Malformed, Invalid.
    """
    embeddings = _embeddings(file, (len(said.items), dimensions))
    items = tuple(
        Item(
            secrets.token_hex(16),
            item.clip,
            tuple(sorted(item.tags)),
            row,
            item.seconds,
            item.windows,
            item.audio_sha256,
        )
        for item, row in zip(said.items, embeddings, strict=True)
    )
    content = Content(said.name, said.description, model, said.graph_sha256, said.decision, said.overflow, items)
    return checked(content)


def _item(said: SupportItem, embedding: np.ndarray) -> Item:
    return Item(
        id=secrets.token_hex(16),
        clip=said.clip,
        tags=tuple(sorted(said.tags)),
        embedding=embedding,
        seconds=said.seconds,
        windows=said.windows,
        audio_sha256=said.audio_sha256,
    )


def _header(file: bytes) -> _Header:
    length = int.from_bytes(file[:LENGTH], "little")
    # Checked before anything is read: a file may state any length.
    if len(file) < LENGTH or length > len(file) - LENGTH:
        raise Malformed(f"the file is cut off, or no safetensors file: its header states {length} bytes; {REMEDY}")
    try:
        return msgspec.json.decode(memoryview(file)[LENGTH : LENGTH + length], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the file's header cannot be read ({error}); {REMEDY}") from None


def _embeddings(file: bytes, shape: tuple[int, int]) -> np.ndarray:
    """float32 of that shape, finite."""
    try:
        found = load(file)[EMBEDDINGS]
    except KeyError:
        raise Malformed(f"the file has no tensor {EMBEDDINGS!r} of a known type; {REMEDY}") from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise Malformed(f"the file's tensors cannot be read ({error}); {REMEDY}") from None
    if found.dtype != np.float32 or found.shape != shape:
        raise Invalid.field(
            EMBEDDINGS, f"is {found.dtype} {list(found.shape)}, float32 {list(shape)} is needed: a row for each item"
        )
    if not np.isfinite(found).all():
        raise Invalid.field(EMBEDDINGS, "holds numbers that are not finite; export the tag set again")
    return found


def _check_tags(said: ExportedTagSet) -> None:
    errors = [
        FieldError(field=f"{METADATA}.items[{i}].tags", message=f"must be 1 to {MAX_ITEM_TAGS} different tags")
        for i, item in enumerate(said.items)
        if not 0 < len(item.tags) <= MAX_ITEM_TAGS or len(set(item.tags)) < len(item.tags)
    ]
    if errors:
        raise Invalid.fields(tuple(errors[:100]))
