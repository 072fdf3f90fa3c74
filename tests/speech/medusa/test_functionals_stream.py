"""A stream of one vector for the whole clip: made by the server as by the trainer, and taken by the graph."""

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch

from common.audio.frames import FEATURES, speech_frames
from common.audio.functionals import FUNCTIONALS, functionals
from common.export.onnx import export
from contracts.speech import emotion_signature
from contracts.tensors import BATCH
from speech.inputs import graph_inputs
from speech.medusa.config import Config, Data, Member, Model, Stream
from speech.medusa.data import encoders
from speech.medusa.ensemble import Ensemble
from speech.medusa.members import MemberCard, build
from speech.medusa.meta import Vote
from speech.medusa.model import Padded
from speech.medusa.sizes import sampler
from speech.medusa.stems import Front
from speech.medusa.streams import _made

CONFIG = Config(
    data=Data(name="emodb"),
    streams={"whole": Stream(source="functionals", cut=3.0), "mel": Stream(part="mel", pool=4)},
    members=(Member(streams=("whole", "mel")),),
    model=Model(width=8, feed_forward=8, fusion="late"),
)


def ensemble() -> Ensemble:
    torch.manual_seed(0)
    dims = {"whole": len(FUNCTIONALS), "mel": 64}
    made = MemberCard(classes=("a", "b", "c"), judged=False, streams={}, dims=dims, fitted=())
    return Ensemble(_made(CONFIG, Path()).sources, [build(made, CONFIG)], Vote(1, 3, False)).eval()


def noise(number: int, seconds: float) -> np.ndarray:
    return np.random.default_rng(number).normal(0.0, 0.1, int(16_000 * seconds)).astype(np.float32)


def test_the_store_holds_what_the_server_makes() -> None:
    rows = [noise(0, 0.4), noise(1, 0.9)]
    stored = encoders(CONFIG)["functionals"].encode(rows)
    served = graph_inputs(rows, None, whole=True)
    for row, kept, sent in zip(rows, stored, served["functionals"], strict=True):
        np.testing.assert_array_equal(kept, functionals(speech_frames(row))[None])
        np.testing.assert_array_equal(kept[0], sent)
    assert set(graph_inputs(rows, None)) == {"frames", "frames_mask"}


def test_the_graph_takes_them_beside_the_frames(tmp_path: Path) -> None:
    model, path = ensemble(), tmp_path / "model.onnx"
    assert model.described
    assert not model.text
    signature = emotion_signature(FEATURES, 3, model.width, attributes=False, text=False, functionals=len(FUNCTIONALS))
    sample = sampler(0, described=True)
    example = {name: torch.from_numpy(array) for name, array in sample({BATCH: 2, "frames": 30}).items()}
    export(model, signature, example, path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows, longest in ((1, 1), (3, 50)):
        inputs = sample({BATCH: rows, "frames": longest})
        with torch.no_grad():
            expected = model(*(torch.from_numpy(inputs[t.name]) for t in signature.inputs))
        for ours, theirs in zip(expected, session.run(None, inputs), strict=True):
            np.testing.assert_allclose(np.asarray(theirs), ours.numpy(), atol=1e-4)
    # The vector matters, and no other clip's does.
    moved = {**inputs, "functionals": inputs["functionals"] + np.array([[0.0], [0.0], [5.0]], np.float32)}
    before, after = (np.asarray(session.run(["logits"], given)[0]) for given in (inputs, moved))
    np.testing.assert_array_equal(before[:2], after[:2])
    assert np.abs(before[2] - after[2]).max() > 1e-4


def test_what_lies_far_out_is_cut() -> None:
    front = Front(Stream(source="functionals", cut=3.0), 2)
    front.scale.fit(torch.tensor([[0.0, 10.0], [2.0, 14.0]]))
    found = front(Padded(torch.tensor([[[1.5, 100.0]]]), torch.ones(1, 1, dtype=torch.bool))).x
    assert found.tolist() == [[[0.5, 3.0]]]


def test_the_made_set_has_none() -> None:
    raw = {"streams": {"whole": {"source": "functionals"}}, "members": [{"streams": ["whole"]}]}
    with pytest.raises(msgspec.ValidationError, match="functionals need another set"):
        msgspec.convert(raw, Config)
