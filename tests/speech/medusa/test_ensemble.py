"""The graph (sections 5, 10.1, 10.11): one module from frames to answers, in torch and in ONNX Runtime."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
import pytest
import torch

from common.audio.frames import FEATURES
from common.errors import OperatorError
from common.export.onnx import export
from common.training.run import Run
from contracts.speech import FRAMES, emotion_signature
from speech.medusa import ensemble as ensembles
from speech.medusa import meta
from speech.medusa.config import Config, Member, Model, Stem, Stream
from speech.medusa.data import load
from speech.medusa.ensemble import Ensemble
from speech.medusa.members import MemberCard, build, judge
from speech.medusa.meta import LinearMeta, Vote
from speech.medusa.rows import padded
from speech.medusa.streams import _made, read_sources, with_streams

CLASSES = ("a", "b", "c")
STREAMS = {
    "conv": Stream(part="mel", stem=Stem(channels=(4, 4), kernel=3)),
    "picture": Stream(part="mel", pool=2, stem=Stem(kind="picture", channels=(2, 2, 2), kernel=3)),
    "statistics": Stream(source="statistics", window=20, hop=10),
}


BOTH = (Member(streams=("conv", "statistics")), Member(streams=("picture",), seed=1))
EACH = (Member(streams=("conv",)), Member(streams=("picture",), seed=1))
"""For the tracer, to which every layer is a second; the graph of a whole fusion is in the tests of the export."""


def mixed(
    members: tuple[Member, ...] = BOTH,
    kind: type[Vote] | type[LinearMeta] = LinearMeta,
    fusion: Literal["deep", "late"] = "deep",
) -> Ensemble:
    """Two members over three kinds of streams, untrained."""
    torch.manual_seed(0)
    config = Config(streams=STREAMS, members=members, model=Model(width=8, feed_forward=8, fusion=fusion))
    sources = _made(config, Path()).sources
    dims = {"conv": 64, "picture": 64, "statistics": 14 * FEATURES}
    built = [
        build(
            MemberCard(classes=CLASSES, judged=True, streams={}, dims={n: dims[n] for n in m.streams}, fitted=()),
            config,
        )
        for m in config.members
    ]
    return Ensemble(sources, built, kind(2, 3, True)).eval()


def heard(*frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(frames))
    return padded([torch.rand(n, FEATURES, generator=generator) for n in frames])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    model, path = mixed(EACH, fusion="late"), tmp_path_factory.mktemp("graph") / "model.onnx"
    frames, mask = heard(40, 33)
    signature = emotion_signature(FEATURES, 3, model.width, attributes=True, text=False)
    export(model, signature, {"frames": frames, "frames_mask": mask}, path)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("lengths", [(1,), (2, 1), (48, 5, 31), (298,), (1498, 50)])
def test_the_graph_answers_as_the_modules_do(session: ort.InferenceSession, lengths: tuple[int, ...]) -> None:
    """0.5 s, 3 s and 15 s among them, alone and beside others."""
    frames, mask = heard(*lengths)
    with torch.no_grad():
        expected = mixed(EACH, fusion="late")(frames, mask)
    found = session.run(None, {"frames": frames.numpy(), "frames_mask": mask.numpy()})
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours.numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", [Vote, LinearMeta])
def test_a_clip_answers_alone_as_beside_one_ten_times_longer(kind: type[Vote] | type[LinearMeta]) -> None:
    model = mixed(kind=kind)
    frames, mask = heard(30, 300)
    with torch.no_grad():
        both, alone = model(frames, mask), model(frames[:1, :30], mask[:1, :30])
    for together, single in zip(both, alone, strict=True):
        torch.testing.assert_close(together[0], single[0], atol=1e-5, rtol=0)


def test_it_says_what_its_members_say_of_the_rows(run: Run, config: Config) -> None:
    """The served graph from frames, and the offline way over streams made before, are one."""
    model = ensembles.graph(run, config)
    trained = ensembles.load(run, config)
    sets = with_streams(load(config, None, run.folder), config, read_sources(config, run.folder))
    said = [judge(member, sets.test) for member in trained.members]
    with torch.no_grad():
        logits, attributes = trained.meta(meta.answers(said, True))
        found = model(*padded(list(sets.test.streams[FRAMES])))
    torch.testing.assert_close(found[0], logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], attributes, atol=1e-5, rtol=0)
    assert found[2].shape == (40, 16)
    assert (model.width, model.classes, model.judged, model.text) == (16, 8, True, False)


def test_a_stream_from_outside_the_graph_is_named(run: Run, config: Config) -> None:
    trained = ensembles.load(run, config)
    with pytest.raises(OperatorError, match="streams mel come from published encoders"):
        Ensemble({"voice": torch.nn.Identity()}, trained.members, trained.meta)
