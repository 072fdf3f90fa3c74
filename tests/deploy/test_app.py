"""The composition root: which domains, which models, which back end."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from common.errors import OperatorError
from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.runtime.local import LocalBackend
from common.settings import Settings
from contracts.examples import EXAMPLES
from contracts.models import ModelCard
from contracts.tensors import Signature, Tensor
from deploy import SHIPPED
from deploy.app import create_app, domains, model_names, open_backend, repository_folder

DOUBLE = Signature(
    inputs=(Tensor(name="x", dtype="float32", dims=("batch", 2)),),
    outputs=(Tensor(name="y", dtype="float32", dims=("batch", 2)),),
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Models of two systems, of a domain each, and one whose card is broken."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    body = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "double.onnx"
    )
    one = np.ones((1, 2), np.float32)
    write_golden(tmp_path / "golden.npz", {"x": one}, {"y": 2 * one})
    example = next(e for e in EXAMPLES if isinstance(e, ModelCard))
    found = Repository(tmp_path / "models")
    for name, system in (("mine", "fff"), ("other", "medusa"), ("broken", "fff")):
        card = msgspec.structs.replace(example, **DRAFT, name=name, system=system, signature=DOUBLE)
        found.publish(card, tmp_path / "double.onnx", tmp_path / "golden.npz")
    (found.root / "broken/1/card.json").write_text("{")
    return found


def test_a_domain_serves_the_models_of_its_systems_and_hides_no_broken_one(repository: Repository) -> None:
    assert model_names(repository, "all") is None
    assert model_names(repository, "vision_nlp") == ["broken", "mine"]
    assert model_names(repository, "speech") == ["broken", "other"]


def test_all_domains_are_served_or_the_one_that_is_named() -> None:
    assert list(domains("all")) == ["speech", "vision_nlp", "llm_studies", "music_fewshot"]
    assert list(domains("vision_nlp")) == ["vision_nlp"]


def test_the_shipped_models_are_served_unless_a_folder_is_named(tmp_path: Path) -> None:
    assert repository_folder(Settings()) == SHIPPED
    assert repository_folder(Settings(models=str(tmp_path))) == tmp_path
    with pytest.raises(OperatorError, match="name an existing folder with --models"):
        create_app(Settings(models=str(tmp_path / "none")))


def test_the_back_end_is_the_one_that_was_asked_for() -> None:
    from common.runtime.remote import TritonBackend

    assert isinstance(open_backend(Settings()), LocalBackend)
    assert isinstance(open_backend(Settings(backend="remote", triton="127.0.0.1:1")), TritonBackend)
