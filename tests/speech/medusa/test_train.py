"""The four stages as one run: exact resume, no leaks, what a run says of itself (sections 2.6, 4.10, 10.8, 10.10)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from common.errors import OperatorError
from common.registry.cards import render
from common.training import checkpoint, loop
from common.training.run import Run
from deploy.commands.configs import packaged, read
from speech.medusa import ensemble, meta
from speech.medusa import train as medusa_train
from speech.medusa.config import ATTRIBUTES, Config, Data, Member, MetaStage, Stage, Stream
from speech.medusa.data import load
from speech.medusa.ensemble import CARD, EnsembleCard
from speech.medusa.members import CARD as MEMBER
from speech.medusa.members import read_card
from speech.medusa.streams import read_sources, with_streams
from speech.medusa.system import SYSTEM
from speech.medusa.train import HELD_OUT, OUT_OF_FOLD, OWN_ROWS, derive, train


def again(out: Path, config: Config, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train medusa")


def weights(folder: Path) -> dict[str, bytes]:
    """Every kept weight of the run, byte for byte."""
    files = [*folder.rglob("best-*.safetensors"), folder / "meta.safetensors", folder / OUT_OF_FOLD]
    return {
        f"{path.relative_to(folder)} {name}": tensor.numpy().tobytes()
        for path in files
        for name, tensor in checkpoint.read(path).tensors.items()
    }


@pytest.mark.parametrize("killed_at", [1, 13, 25, 40])
def test_a_killed_ensemble_resumes_to_the_same_bits(
    trained: Path, config: Config, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """Before the first checkpoint, within the first and the second member, and among the folds."""
    with killed(killed_at):
        again(tmp_path, config)
    (folder,) = (tmp_path / "medusa").iterdir()
    torch.rand(5)
    assert again(tmp_path, config, resume=folder) == folder
    assert weights(folder) == weights(trained)


def test_finished_members_are_not_trained_again(
    trained: Path, config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "medusa" / "run"
    _copy(trained, folder, status="running", checkpoint=None)
    monkeypatch.setattr(loop.Trainer, "fit", lambda _self: pytest.fail("trained again"))
    assert again(tmp_path, config, resume=folder) == folder
    assert weights(folder) == weights(trained)


def test_the_test_split_chooses_nothing(
    trained: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do its labels: any would do."""
    whole = medusa_train.load

    def spoilt(*args: object):
        sets = whole(*args)  # pyright: ignore[reportArgumentType]
        return sets._replace(test=sets.test.select(torch.arange(len(sets.test)) < 3))

    monkeypatch.setattr(medusa_train, "load", spoilt)
    assert weights(again(tmp_path, config)) == weights(trained)


def test_out_of_fold_answers_are_those_of_members_that_never_heard_the_speaker(run: Run, config: Config) -> None:
    """Section 10.8, on the files of a run."""
    sets = with_streams(load(config, None, run.folder), config, read_sources(config, run.folder))
    kept = checkpoint.read(run.folder / OUT_OF_FOLD)
    assert tuple(msgspec.json.decode(kept.scalars)) == sets.train.ids
    said, folds = kept.part("said")["logits"], kept.part("said")["folds"]
    speakers = np.array(sets.train.speakers)
    for fold in (0, 1):
        held = folds == fold
        for number in range(len(config.members)):
            folder = run.folder / f"folds/{fold}/{number:02d}"
            fitted = set(read_card(folder).fitted)
            judged = {i for i, h in zip(sets.train.ids, held, strict=True) if h}
            assert not fitted & judged
            assert fitted | judged == set(sets.train.ids)
            assert not set(speakers[held]) & set(speakers[~held])
            found = medusa_train.judge(ensemble.members.read(folder, config), sets.train.select(held))
            torch.testing.assert_close(said[number][held], found.logits, atol=1e-6, rtol=0)


def test_a_fold_that_learnt_what_it_judges_is_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medusa_train, "jobs", _leaking(medusa_train.jobs))
    short = msgspec.structs.replace(config, stage1=Stage(epochs=1), stage2=Stage(epochs=0))
    with pytest.raises(OperatorError, match="were learnt by the member that is to judge them"):
        again(tmp_path, short)


def test_the_published_recipe_is_a_flag_and_the_run_says_so(trained: Path, config: Config, tmp_path: Path) -> None:
    """Section 2.8: trained on rows that its members were fitted to."""
    short = msgspec.structs.replace(
        config, meta=msgspec.structs.replace(config.meta, on_train=True), stage2=Stage(epochs=0)
    )
    folder = again(tmp_path, short)
    assert not (folder / "folds").exists()
    assert ensemble.read_card(folder).meta_rows == OWN_ROWS
    assert ensemble.read_card(trained).meta_rows == HELD_OUT
    manifest = medusa_train.open_run(folder, "medusa").manifest
    assert manifest.properties["meta_rows"] == OWN_ROWS


def test_a_vote_needs_no_folds(config: Config, tmp_path: Path) -> None:
    short = msgspec.structs.replace(config, meta=MetaStage(kind="none"), stage2=Stage(epochs=0))
    folder = again(tmp_path, short)
    assert not (folder / "folds").exists()
    kept = ensemble.load(medusa_train.open_run(folder, "medusa"), short)
    assert isinstance(kept.meta, meta.Vote)
    assert kept.runs == ()


def test_soup_and_runs_are_kept(run: Run, config: Config) -> None:
    """Section 10.7: the mean of the weights, exactly."""
    kept = ensemble.load(run, config)
    assert len(kept.runs) == 2
    mean = torch.stack([one.linear.weight for one in kept.runs]).mean(0)
    assert isinstance(kept.meta, meta.LinearMeta)
    assert torch.equal(kept.meta.linear.weight, mean)
    assert kept.meta.linear.in_features == 11 * len(config.members)


def test_another_order_of_classes_or_attributes_is_refused(trained: Path, config: Config, tmp_path: Path) -> None:
    """Section 10.10."""
    folder = tmp_path / "medusa" / "run"
    _copy(trained, folder)
    run, card, member = medusa_train.open_run(folder, "medusa"), folder / CARD, folder / "members/01" / MEMBER
    whole, part = ensemble.read_card(folder), read_card(member.parent)
    for path, record, said in (
        (card, msgspec.structs.replace(whole, attributes=ATTRIBUTES[::-1]), "attributes are dominance"),
        (member, msgspec.structs.replace(part, attributes=ATTRIBUTES[::-1]), "attributes are dominance"),
        (member, msgspec.structs.replace(part, classes=part.classes[::-1]), "classes of the member are"),
        (member, msgspec.structs.replace(part, streams={"voice": "speech-frames-0"}), "streams of the member are"),
        (member, msgspec.structs.replace(part, judged=False), "judged of the member are"),
    ):
        before = path.read_bytes()
        path.write_bytes(render(record))
        with pytest.raises(OperatorError, match=said):
            ensemble.load(run, config)
        path.write_bytes(before)
    ensemble.load(run, config)


def test_data_of_another_order_or_encoder_is_refused(run: Run, config: Config) -> None:
    sets = with_streams(load(config, None, run.folder), config, read_sources(config, run.folder))
    card = ensemble.read_card(run.folder)
    ensemble.same_meaning(card, sets)
    with pytest.raises(OperatorError, match="classes are Angry"):
        ensemble.same_meaning(card, sets._replace(classes=sets.classes[::-1]))
    with pytest.raises(OperatorError, match="stream voice: the ensemble learnt from"):
        ensemble.same_meaning(card, sets._replace(keys=sets.keys | {"voice": "another"}))


def test_the_card_names_everything(run: Run, config: Config) -> None:
    card = ensemble.read_card(run.folder)
    assert isinstance(card, EnsembleCard)
    assert card.members == ("members/00", "members/01")
    assert card.streams.keys() == {"mel", "voice"}
    assert card.classes[:2] == ("Angry", "Sad")
    assert card.calibrated_on == "dev"


def test_seeds_of_members_and_folds_are_all_different(config: Config) -> None:
    found = [derive(config.seed, m.seed, *fold) for m in config.members for fold in ((), (0,), (1,))]
    assert len(set(found)) == len(found)


def test_what_the_configuration_refuses(config: Config) -> None:
    for changes, said in (
        ({"members": (Member(streams=("nothing",)),)}, "no stream 'nothing'"),
        ({"members": (Member(streams=("mel",)), Member(streams=("mel",)))}, "same streams and the same seed"),
        ({"stage1": Stage(epochs=0), "stage2": Stage(epochs=0)}, "both stages have 0 epochs"),
        ({"streams": {"frames": Stream()}, "members": (Member(streams=("frames",)),)}, "name the stream otherwise"),
    ):
        with pytest.raises(ValueError, match=said):
            msgspec.structs.replace(config, **changes)
    for bad in ({"source": "pretrained"}, {"source": "statistics", "window": 5, "hop": 9}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, Stream)
    with pytest.raises(msgspec.ValidationError, match=r"0\.001"):
        msgspec.convert({"lr": 0.01}, Stage)
    with pytest.raises(ValueError, match="go together"):
        Data(dev_speakers=("a",))


def test_what_the_operator_must_mend(trained: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="--data"):
        again(tmp_path, msgspec.structs.replace(config, data=Data(name="emodb")))
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        again(tmp_path, config, resume=tmp_path)
    _copy(trained, tmp_path / "medusa" / "run", status="running")
    with pytest.raises(OperatorError, match="not finished"):
        ensemble.load(medusa_train.open_run(tmp_path / "medusa" / "run", "medusa"), config)


@pytest.mark.parametrize("name", ["tiny", "starter", "paper"])
def test_packaged_configurations_are_valid(name: str) -> None:
    assert set(packaged(SYSTEM)) == {"tiny", "starter", "paper"}
    assert isinstance(read(SYSTEM, name), Config)


def _copy(run: Path, folder: Path, **changes: object) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(run)).write_bytes(path.read_bytes())
    manifest = medusa_train.open_run(run, "medusa").manifest
    (folder / "run.json").write_bytes(render(msgspec.structs.replace(manifest, **changes)))


def _leaking(jobs):
    """All clips are learnt from, whatever the fold."""
    everything = []

    def made(config, learnt, fold=None):
        if fold is None:
            everything.append(learnt)
        return jobs(config, everything[0], fold)

    return made
