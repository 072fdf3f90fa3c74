import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from common.errors import OperatorError, Unknown
from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from contracts.models import Limits, Lineage, Metric, ModelCard
from contracts.tensors import Signature, Tensor


def signature(width: int = 2) -> Signature:
    return Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=("batch", width)),),
        outputs=(Tensor(name="y", dtype="int64", dims=("batch",)),),
    )


def draft(**changes: Any) -> ModelCard:
    lineage = Lineage(command="kithara train fff", run="r", config={}, data=(), created="2026-11-01", software={})
    fields: dict[str, Any] = {
        "name": "m", "system": "fff", "task": "image-classification", "paper": "p", "description": "d", "use": "open",
        "signature": signature(), "labels": ("a", "b"), "metrics": (), "caveats": (), "lineage": lineage,
    }  # fmt: skip
    return ModelCard(**{**DRAFT, **fields, **changes})


class Site:
    """A repository, and a graph and golden file to publish."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "models"
        self.repository = Repository(self.root)
        self.graph, self.golden = folder / "g.onnx", folder / "g.npz"
        self.graph.write_bytes(b"graph")
        write_golden(self.golden, {"x": np.ones((3, 2), np.float32)}, {"y": np.arange(3)})

    def publish(self, **changes: Any):
        return self.repository.publish(draft(**changes), self.graph, self.golden)

    def tree(self) -> dict[str, bytes | None]:
        found = sorted(self.root.rglob("*")) if self.root.exists() else []
        return {str(p.relative_to(self.root)): p.read_bytes() if p.is_file() else None for p in found}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_published_version_holds_what_was_given(site: Site):
    version = site.publish(description="first")
    assert (version.card.version, version.label) == (1, "m@1")
    assert version.graph.read_bytes() == b"graph"
    assert version.card.graph_sha256 == hashlib.sha256(b"graph").hexdigest()
    assert version.card.golden_sha256 == hashlib.sha256(site.golden.read_bytes()).hexdigest()
    assert set(site.tree()) == {"m", "m/config.pbtxt", "m/1", "m/1/card.json", "m/1/golden.npz", "m/1/model.onnx"}
    assert site.repository.load("m", 1) == version


def test_further_files_lie_beside_the_graph_and_are_vouched_for(site: Site):
    files = {"tokenizer.json": b"{}", "words.txt": b"a\n"}
    version = site.repository.publish(draft(), site.graph, site.golden, files)
    assert {name: (version.folder / name).read_bytes() for name in files} == files
    assert version.card.files == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert site.repository.load("m", 1) == version
    (version.folder / "words.txt").write_bytes(b"b\n")
    with pytest.raises(OperatorError, match=r"words\.txt is not the file of card\.json's files"):
        site.repository.load("m", 1)
    (version.folder / "words.txt").unlink()
    with pytest.raises(OperatorError, match=r"words\.txt cannot be read"):
        site.repository.load("m", 1)


@pytest.mark.parametrize(
    "name", ["../card.json", "/tmp/x.json", "card.json", "model.onnx", "golden.npz", ".x", "x", ""]
)
def test_a_further_file_has_a_plain_name_of_its_own(site: Site, name: str):
    with pytest.raises(OperatorError, match=r"another|files"):
        site.repository.publish(draft(), site.graph, site.golden, {name: b""})
    assert site.tree() == {}


def test_numbers_follow_the_newest_even_over_gaps(site: Site):
    assert [site.publish().card.version for _ in range(3)] == [1, 2, 3]
    shutil.rmtree(site.root / "m" / "2")
    assert site.publish().card.version == 4
    assert site.repository.versions("m") == [1, 3, 4]


def test_config_never_shrinks_below_what_an_older_version_needs(site: Site):
    site.publish(limits=Limits(max_rows=32))
    site.publish(limits=Limits(max_rows=8))
    assert "max_batch_size: 32\n" in (site.root / "m/config.pbtxt").read_text()
    assert [site.repository.load("m", n).card.limits.max_rows for n in (1, 2)] == [32, 8]


def test_other_signature_is_refused_with_difference_and_remedy(site: Site):
    site.publish()
    before = site.tree()
    write_golden(site.golden, {"x": np.ones((3, 5), np.float32)}, {"y": np.arange(3)})
    with pytest.raises(OperatorError, match=r"inputs.*version 1.*5.*2.*publish under a new name"):
        site.publish(signature=signature(5))
    assert site.tree() == before


@pytest.mark.parametrize("earlier", [0, 1])
@pytest.mark.parametrize("step", ["rename", "replace", "fsync"])
def test_failure_at_any_step_leaves_the_repository_as_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch, earlier: int, step: str
):
    for _ in range(earlier):
        site.publish()
    before = site.tree()

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="disk full"):
            site.publish(limits=Limits(max_rows=128))
    assert site.tree() == before
    assert site.publish().card.version == earlier + 1


def test_leftovers_of_a_killed_publisher_are_no_version_and_are_removed(site: Site):
    site.publish()
    leftover = site.root / "m" / ".publish-x"
    leftover.mkdir()
    (leftover / "card.json").write_text("{")
    assert site.repository.versions("m") == [1]
    assert site.publish().card.version == 2
    assert not leftover.exists()


def test_concurrent_publishers_get_different_versions(site: Site):
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(lambda i: site.publish(description=str(i)).card.version, range(6)))
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    for i, number in enumerate(numbers):
        assert site.repository.load("m", number).card.description == str(i)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../m"}, "name"),
        ({"use": "secret"}, r"\$\.use"),
        ({"metrics": (Metric(name="a", split="test", value=float("nan"), n=1),)}, r"\$\.metrics\[0\]\.value"),
    ],
)
def test_invalid_draft_publishes_nothing(site: Site, changes: dict[str, Any], words: str):
    with pytest.raises(OperatorError, match=words):
        site.publish(**changes)
    assert site.tree() == {}


def test_golden_that_is_not_the_signatures_is_refused(site: Site):
    write_golden(site.golden, {"x": np.ones((3, 2), np.float64)}, {"y": np.arange(3)})
    with pytest.raises(OperatorError, match=r"in\.x is float64 \[3, 2\] instead of float32"):
        site.publish()
    write_golden(site.golden, {"x": np.ones((3, 2), np.float32)}, {"y": np.arange(2)})
    with pytest.raises(OperatorError, match=r"out\.y is int64 \[2\]"):
        site.publish()
    assert site.tree() == {}


def edit(site: Site, **changes: Any) -> None:
    path = site.root / "m/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda s: (s.root / "m/1/card.json").unlink(), r"card\.json is missing; publish"),
        (lambda s: (s.root / "m/1/card.json").write_bytes(b'{"name": "m"'), r"card\.json: .*publish"),
        (lambda s: (s.root / "m/1/card.json").write_bytes(b"\xff\xfe"), r"card\.json: .*publish"),
        (lambda s: edit(s, colour="red"), r"card\.json: .*`colour`"),
        (lambda s: edit(s, use="secret"), r"card\.json: .*\$\.use"),
        (lambda s: edit(s, version=2), r"card\.json: version is 2 in the folder of m@1"),
        (lambda s: edit(s, name="other"), r"card\.json: name is 'other' in the folder of m@1"),
        (lambda s: (s.root / "m/1/model.onnx").write_bytes(b"grapH"), r"model\.onnx .* graph_sha256"),
        (lambda s: (s.root / "m/1/model.onnx").unlink(), r"model\.onnx cannot be read"),
        (lambda s: (s.root / "m/1/golden.npz").write_bytes(b""), r"golden\.npz .* golden_sha256"),
        (lambda s: (s.root / "m/1/golden.npz").unlink(), r"golden\.npz cannot be read"),
        (lambda s: (s.root / "m/config.pbtxt").unlink(), r"config\.pbtxt is missing; publish"),
        (lambda s: (s.root / "m/config.pbtxt").write_text('name: "m"\n'), r"config\.pbtxt, line 2"),
        (lambda s: edit(s, signature=msgspec.to_builtins(signature(3))), r"config\.pbtxt, line 4: .* 2 .* 3 "),
        (lambda s: edit(s, limits={"max_rows": 65}), r"config\.pbtxt, line 3: .*64.*65"),
    ],
)  # fmt: skip
def test_damage_is_named_and_spares_the_other_models(site: Site, damage: Any, words: str):
    site.publish()
    site.publish(name="sound")
    damage(site)
    with pytest.raises(OperatorError, match=words):
        site.repository.load("m", 1)
    assert site.repository.names() == ["m", "sound"]
    assert site.repository.load("sound", 1).card.name == "sound"


def test_references(site: Site):
    repository = site.repository
    site.publish()
    site.publish()
    assert repository.resolve("m") == ("m", 2)
    assert repository.resolve("m@1") == ("m", 1)
    repository.set_alias("m", "stable", 1)
    assert repository.resolve("m@stable") == ("m", 1)
    repository.set_alias("m", "default", 1)
    assert repository.resolve("m") == ("m", 1)
    assert repository.aliases("m") == {"default": 1, "stable": 1}


@pytest.mark.parametrize("ref", ["m@3", "m@", "m@none", "other", "../models/m", "", "m@01"])
def test_unknown_references(site: Site, ref: str):
    site.publish()
    with pytest.raises(Unknown):
        site.repository.resolve(ref)


def test_bad_aliases_change_nothing(site: Site):
    site.publish()
    for alias, number in (("7", 1), ("Up", 1), ("a/b", 1), ("ok", 9)):
        with pytest.raises(OperatorError):
            site.repository.set_alias("m", alias, number)
    assert site.repository.aliases("m") == {}
    (site.root / "m/aliases.json").write_text('{"stable": "one"}')
    with pytest.raises(OperatorError, match=r"aliases\.json: .*correct or remove"):
        site.repository.resolve("m")


def test_absent_repository_is_the_operators_matter(tmp_path: Path):
    with pytest.raises(OperatorError, match="--models"):
        Repository(tmp_path / "none").names()
