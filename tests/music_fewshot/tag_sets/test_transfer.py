"""A tag set as a file: it comes back as it was, and what is no such file is refused before it costs anything."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from common.errors import Conflict, Invalid, Malformed, Rejected
from contracts.music_fewshot import Decision
from music_fewshot.tag_sets.content import Content, Item
from music_fewshot.tag_sets.transfer import EMBEDDINGS, METADATA, described, exported, imported

D = 5


def content(items: int = 3, tags: tuple[str, ...] = ("a/b", "ü")) -> Content:
    rng = np.random.default_rng(items)
    made = (
        Item(
            f"{i:032x}",
            f"clip {i}",
            tags[: 1 + i % len(tags)],
            rng.standard_normal(D).astype(np.float32),
            1.25,
            2,
            "1" * 64,
        )
        for i in range(items)
    )
    return Content("n", "d", "music-embedding@1", "2" * 64, Decision(rule="topk", k=2), "degrade", tuple(made))


def test_it_comes_back_with_new_ids() -> None:
    given = content()
    file = exported(given)
    back = imported(file, described(file), "other@3", D)
    assert back._replace(items=()) == given._replace(items=(), model="other@3")
    for old, new in zip(given.items, back.items, strict=True):
        np.testing.assert_array_equal(old.embedding, new.embedding)
        assert old._replace(id="", embedding=None) == new._replace(id="", embedding=None)
        assert len(new.id) == 32
    assert len({i.id for i in back.items} | {i.id for i in given.items}) == 6


def test_any_reader_of_safetensors_reads_it() -> None:
    given = content()
    assert list(load(exported(given))) == [EMBEDDINGS]
    np.testing.assert_array_equal(load(exported(given))[EMBEDDINGS], np.stack([i.embedding for i in given.items]))


def file_of(array: np.ndarray | None = None, **changes: object) -> bytes:
    """The file of ``content()`` with another array, or other fields in its metadata (None: without that field)."""
    said = json.loads(_header(exported(content()))["__metadata__"][METADATA]) | changes
    said = {name: value for name, value in said.items() if value is not None}
    return save({EMBEDDINGS: np.zeros((3, D), np.float32) if array is None else array}, {METADATA: json.dumps(said)})


def _header(file: bytes) -> dict:
    return json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])


def raw(header: dict | bytes, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(shape: list[int], end: int, dtype: str = "F32") -> dict:
    metadata = _header(exported(content()))["__metadata__"]
    return {"__metadata__": metadata, EMBEDDINGS: {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


ITEM = {"id": "0" * 32, "clip": "c", "tags": ["x"], "seconds": 1.0, "windows": 1, "audio_sha256": "1" * 64}

HOSTILE = {
    "empty": (b"", Malformed, "cut off"),
    "seven bytes": (b"\x00" * 7, Malformed, "cut off"),
    "huge header": (b"\xff" * 8 + b"{}", Malformed, "states 18446744073709551615 bytes"),
    "header past the end": ((100).to_bytes(8, "little") + b"{}", Malformed, "cut off"),
    "no JSON": (raw(b"\x80\x04pickle"), Malformed, "header cannot be read"),
    "not UTF-8": (raw(b'{"__metadata__": {"k": "\xff"}}'), Malformed, "header cannot be read"),
    "deep": (raw(b'{"embeddings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), Malformed, "header cannot be read"),
    "no metadata": (save({EMBEDDINGS: np.zeros((3, D), np.float32)}), Malformed, "no tag set"),
    "metadata no JSON": (
        save({EMBEDDINGS: np.zeros((3, D), np.float32)}, {METADATA: "{"}),
        Malformed,
        "not valid JSON",
    ),
    "another tensor": (save({"other": np.zeros(3, np.float32)}, {METADATA: "{}"}), Malformed, "unknown field"),
    "cut off": (exported(content())[:-1], Malformed, "tensors cannot be read"),
    "longer": (exported(content()) + b"\x00", Malformed, "tensors cannot be read"),
    "float64": (file_of(np.zeros((3, D))), Invalid, "float32 [3, 5] is needed"),
    "int": (file_of(np.zeros((3, D), np.int32)), Invalid, "float32 [3, 5] is needed"),
    "bfloat16": (raw(tensor([3, D], 30, "BF16"), b"\x00" * 30), Rejected, EMBEDDINGS),
    "unknown dtype": (raw(tensor([3, D], 60, "X99"), b"\x00" * 60), Malformed, "tensors cannot be read"),
    "wide": (file_of(np.zeros((3, D + 1), np.float32)), Invalid, "float32 [3, 5] is needed"),
    "flat": (file_of(np.zeros(3 * D, np.float32)), Invalid, "float32 [3, 5] is needed"),
    "few rows": (file_of(np.zeros((2, D), np.float32)), Invalid, "float32 [3, 5] is needed"),
    "NaN": (file_of(np.full((3, D), np.nan, np.float32)), Invalid, "not finite"),
    "infinity": (file_of(np.full((3, D), np.inf, np.float32)), Invalid, "not finite"),
    "a billion rows": (raw(tensor([10**9, D], 60), b"\x00" * 60), Malformed, "tensors cannot be read"),
    "overflowing rows": (raw(tensor([2**62, 2**62], 60), b"\x00" * 60), Malformed, "tensors cannot be read"),
    "negative rows": (raw(tensor([-3, D], 60), b"\x00" * 60), Malformed, "tensors cannot be read"),
    "another format": (file_of(format=2), Invalid, "format"),
    "unknown field": (file_of(code="import os"), Invalid, "code"),
    "no digest": (file_of(graph_sha256=None), Invalid, "graph_sha256"),
    "no items": (file_of(np.zeros((0, D), np.float32), items=[]), Invalid, "items"),
    "no tag": (file_of(items=[ITEM | {"tags": []}] * 3), Invalid, "items[0].tags"),
    "tag twice": (file_of(items=[ITEM | {"tags": ["x", "x"]}] * 3), Invalid, "different tags"),
    "65 tags": (file_of(items=[ITEM | {"tags": [str(i) for i in range(65)]}] * 3), Invalid, "1 to 64"),
    "white tag": (file_of(items=[ITEM | {"tags": [" x"]}] * 3), Invalid, "items[0].tags[0]"),
    "no sound": (file_of(items=[ITEM | {"seconds": 0}] * 3), Invalid, "seconds"),
    "endless": (file_of(items=[ITEM | {"seconds": float("inf")}] * 3), Malformed, "not valid JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_within_bounded_memory(case: str) -> None:
    file, error, said = HOSTILE[case]
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            imported(file, described(file), "m@1", D)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert said in caught.value.detail


@given(st.integers(0, 10**6), st.binary(max_size=4))
def test_a_damaged_file_is_a_tag_set_or_refused(at: int, put: bytes) -> None:
    whole = exported(content())
    at %= len(whole)
    damaged = whole[:at] + put + whole[at + len(put) :]
    try:
        back = imported(damaged, described(damaged), "m@1", D)
    except Rejected:
        return
    assert len(back.items) == 3
    assert all(np.isfinite(item.embedding).all() for item in back.items)


def test_what_could_not_be_imported_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("music_fewshot.tag_sets.transfer.MAX_EXPORT", 100)
    with pytest.raises(Conflict, match="at most 100"):
        exported(content())
