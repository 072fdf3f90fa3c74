"""From a trained ensemble to what is served: graph, card, limits, and what is refused."""

import math
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from common.audio.frames import FEATURES, speech_frames
from common.errors import OperatorError
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.check import check
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.training.run import open_run
from contracts.runs import RunManifest
from contracts.speech import EmotionOptions, emotion_signature
from speech.medusa import config as settings
from speech.medusa.ensemble import Ensemble, graph, read_card
from speech.medusa.evaluate import evaluate
from speech.medusa.export import ONE_LABEL, USES, card, caveats, export, name
from speech.medusa.figures import Figures
from speech.medusa.sizes import LONGEST, positions, sampler, sizes
from speech.medusa.train import train
from speech.service import Listener

MEL = settings.Stream(part="mel", pool=4, stem=settings.Stem(channels=(8,)))
VOICE = settings.Stream(part="descriptors", pool=4, stem=settings.Stem(channels=(8, 8)))
CONFIG = settings.Config(
    data=settings.Data(synthetic=settings.Synthetic(train=96, dev=24, test=32, speakers=4)),
    streams={"mel": MEL, "voice": VOICE},
    members=(settings.Member(streams=("mel", "voice")),),  # tracing one takes seconds
    model=settings.Model(width=8, feed_forward=16),
    stage1=settings.Stage(epochs=1),
    stage2=settings.Stage(epochs=0),
    meta=settings.MetaStage(folds=2, epochs=2, runs=2),
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was not evaluated."""
    return train(config=CONFIG, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train medusa")


@pytest.fixture(scope="module")
def run(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, evaluated."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(bare, folder)
    evaluate(run=folder, data=None)
    return folder


@pytest.fixture(scope="module")
def version(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=run, models=tmp_path_factory.mktemp("models") / "models")


@pytest.fixture(scope="module")
def ensemble(run: Path) -> Ensemble:
    return graph(open_run(run, "medusa"), CONFIG)


@pytest.fixture
def broken(run: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def refused(run: Path, tmp_path: Path) -> str:
    """Why; and nothing was published."""
    with pytest.raises(OperatorError) as error:
        export(run=run, models=tmp_path / "models")
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())
    return error.value.detail


async def test_the_server_answers_as_the_modules_do(version: Version, ensemble: Ensemble, make_voice) -> None:
    models = Models(Repository(version.folder.parents[1]), LocalBackend(threads=1, device="cpu"))
    await models.start()
    voice, options = make_voice(3, 2.5), EmotionOptions(model="speech-emotion-synthetic", embedding=True)
    answer = await Listener(models).one(voice.file, options, Call())
    await models.stop(drain=0.0)
    frames = torch.from_numpy(speech_frames(voice.samples))[None]
    with torch.inference_mode():
        logits, attributes, embedding = ensemble(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    p = torch.softmax(logits[0].double() / version.card.speech.temperature, 0).numpy()
    assert list(answer.scores) == list(version.card.labels)
    np.testing.assert_allclose(list(answer.scores.values()), p, atol=1e-5)
    assert answer.attributes
    told = [answer.attributes.arousal, answer.attributes.valence, answer.attributes.dominance]
    np.testing.assert_allclose(told, attributes[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(answer.embedding or (), embedding[0].numpy(), atol=1e-4)


def test_the_card_says_what_the_answers_mean(version: Version, run: Path, ensemble: Ensemble) -> None:
    """Specification, section 10.10: the orders are stored."""
    made, said = read_card(run), version.card
    assert (said.name, said.task, said.use) == ("speech-emotion-synthetic", "speech-emotion", "open")
    assert said.labels == made.classes
    assert said.signature == emotion_signature(FEATURES, 8, 8, attributes=True, text=False)
    assert said.speech.temperature == made.temperature
    assert said.speech.attributes is ensemble.judged is True
    figures = {metric.name: metric for metric in said.metrics}
    assert {metric.split for metric in said.metrics} == {"test"}
    assert figures["macro_f1"].interval
    assert {"uar", "ece", "uncalibrated_ece", "soft_vote_macro_f1", "ccc_valence"} <= figures.keys()
    assert not any(figure.startswith(("member_", "meta_run")) for figure in figures)
    assert USES in said.caveats
    assert max(v for k, v in said.properties.items() if k.startswith("parity_")) <= 1e-4
    assert said.lineage.command == "kithara train medusa"


def test_the_published_version_passes_its_own_check(version: Version) -> None:
    assert set(check(Repository(version.folder.parents[1])).values()) == {None}


def test_the_longest_row_and_more_of_them_fit_one_execution(version: Version) -> None:
    limits, longest = version.card.limits, version.card.speech.longest
    frames = len(speech_frames(np.zeros(round(longest * 16_000), np.float32)))
    assert longest == 30.0
    assert limits.max_cost >= 4 * frames
    assert limits.max_rows >= 8


@pytest.mark.parametrize("frames", [1, 7, 8, 400, 2_998])
def test_positions_are_twice_the_streams_behind_their_stems(ensemble: Ensemble, frames: int) -> None:
    """Specification, section 1: the second fusion encoder sees 2 * sum(L). Stems halve once and twice here."""
    pooled = math.ceil(frames / 4)
    assert positions(ensemble, frames, 1) == 2 * (math.ceil(pooled / 2) + math.ceil(math.ceil(pooled / 2) / 2))


def test_what_takes_more_memory_hears_less_at_once(ensemble: Ensemble) -> None:
    found = [sizes(ensemble, heads, 1) for heads in (1, 40, 10**9)]
    assert [one.longest for one in found] == sorted([one.longest for one in found], reverse=True)
    assert LONGEST[0] == found[0].longest > found[1].longest > found[2].longest == LONGEST[-1]
    for one in found:
        assert (
            one.limits.max_cost >= one.frames == len(speech_frames(np.zeros(round(one.longest * 16_000), np.float32)))
        )


def test_parity_is_tried_from_one_frame_to_the_longest_and_with_an_empty_text() -> None:
    inputs = sampler(50)({"batch": 5, "frames": 9, "tokens": 4})
    np.testing.assert_array_equal(inputs["frames_mask"].sum(1), [9, 7, 5, 3, 1])
    np.testing.assert_array_equal(inputs["ids_mask"].sum(1), [4, 3, 2, 1, 0])
    assert np.isfinite(inputs["frames"]).all()
    assert (inputs["frames"][~inputs["frames_mask"]] != 0).any()  # rubbish that must not show
    assert inputs["ids"].max() < 50
    assert set(sampler(0)({"batch": 1, "frames": 1})) == {"frames", "frames_mask"}


def test_a_run_without_figures_is_refused(bare: Path, tmp_path: Path) -> None:
    assert "first `kithara evaluate medusa" in refused(bare, tmp_path)


def test_an_unfinished_run_is_refused(broken: Path, tmp_path: Path) -> None:
    open_run(broken, "medusa").update(status="running")
    assert "let the run finish" in refused(broken, tmp_path)


@pytest.mark.parametrize("where", ["members/00/member.json", "ensemble.json", "metrics.json"])
def test_another_order_of_the_classes_is_refused(broken: Path, tmp_path: Path, where: str) -> None:
    """Specification, section 10.10: loading with a permuted order fails."""
    file = broken / where
    made = msgspec.json.decode(file.read_bytes())
    made["classes"] = made["classes"][::-1]
    file.write_bytes(msgspec.json.encode(made))
    assert "Neutral" in refused(broken, tmp_path)


def test_streams_of_published_encoders_are_not_exported_and_that_is_said(broken: Path, tmp_path: Path) -> None:
    opened = open_run(broken, "medusa")
    streams = opened.manifest.config["streams"]
    streams["mel"] |= {"source": "pretrained", "encoder": "some/encoder"}
    opened.update(config=opened.manifest.config)
    said = refused(broken, tmp_path)
    assert "streams mel come from published encoders" in said
    assert "is not served" in said


def figures(run: Path, **changes: object) -> Figures:
    return msgspec.structs.replace(msgspec.json.decode((run / "metrics.json").read_bytes(), type=Figures), **changes)


def test_what_only_research_may_use_says_so(run: Path, ensemble: Ensemble) -> None:
    manifest = msgspec.json.decode((run / "run.json").read_bytes(), type=RunManifest)
    draft = card(manifest, figures(run, use="research"), read_card(run), ensemble, sizes(ensemble, 1, 1))
    assert draft.use == "research"


def test_caveats_are_those_of_the_data(run: Path) -> None:
    def of(data: str, **changes: object) -> str:
        config = msgspec.structs.replace(CONFIG, data=msgspec.convert({"name": data}, settings.Data))
        return " ".join(caveats(config, figures(run, **changes)))

    assert "Ten German actors" in of("emodb")
    assert ONE_LABEL in of("emodb", soft=False)
    assert ONE_LABEL not in of("emodb", soft=True)
    assert "neither arousal nor valence" in of("emodb", judged=False)
    assert all(len(of(data)) > len(USES) for data in msgspec.inspect.type_info(settings.Data).fields[0].type.values)


def test_only_ensembles_of_the_starter_bear_the_plain_name() -> None:
    def named(data: str) -> str:
        return name(msgspec.structs.replace(CONFIG, data=msgspec.convert({"name": data}, settings.Data)))

    assert [named(data) for data in ("emodb", "ravdess", "msp_podcast")] == [
        "speech-emotion", "speech-emotion-ravdess", "speech-emotion-msp-podcast"
    ]  # fmt: skip
