"""Pre-training from the command's point of view, on a data folder in EmoDB's layout."""

import io
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch

from common.errors import OperatorError
from common.system import system
from common.training.run import open_run
from deploy.commands import configs
from speech.medusa.encoders.frames import Frames
from speech.medusa.encoders.settings import Acoustic, Clusters, Masked, Text
from speech.medusa.rows import padded
from speech.medusa_encoder.config import Config, Data
from speech.medusa_encoder.read import read_compact
from speech.medusa_encoder.train import train

HEAD = "id\tfile\tspeaker\temotion\ttext\trecognised_pct"
SMALL = Acoustic(width=16, layers=1, heads=2, feed_forward=16)
CONFIG = Config(
    acoustic=SMALL,
    text=Text(width=16, layers=1, heads=2, feed_forward=16),
    vocabulary=300,
    clusters=Clusters(count=4),
    masked=Masked(epochs=1, batch=4, warmup=1),
)


def sound(seed: int, seconds: float = 0.5) -> bytes:
    out = io.BytesIO()
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))
    soundfile.write(out, samples, 16_000, format="FLAC")
    return out.getvalue()


def write_set(folder: Path, split: str, rows: list[str], sounds: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.tsv").write_text("\n".join((HEAD, *rows)) + "\n")
    with tarfile.open(folder / f"{split}.tar", "w") as tar:
        for name, content in sounds.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, (split, count) in enumerate({"train": 6, "dev": 2, "test": 1}.items()):
        rows = [
            f"{split}{n}\t{split}{n}.flac\tspeaker{number}\tanger\tso glad you came {n}\t90.00" for n in range(count)
        ]
        sounds = {f"{split}{n}.flac": sound(10 * number + n) for n in range(count)}
        write_set(folder / "emodb", split, rows, sounds)
    rows = [f"fs{n}\tfs{n}.flac\tf{n}\t\tone\t" for n in range(3)]
    sounds = {f"fs{n}.flac": sound(90 + n, 0.5 if n else 0.1) for n in range(3)}
    write_set(folder / "fsdd", "train", rows, sounds)
    return folder


@pytest.fixture(scope="module")
def acoustic(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    config = msgspec.structs.replace(CONFIG, data=Data(more=("fsdd",)))
    return train(config=config, data=data, out=out, command="kithara train medusa_encoder")


def test_the_system_is_found_and_its_configurations_are_read() -> None:
    found = system("medusa_encoder")
    assert found.load("train") is train
    assert set(configs.packaged(found)) == {"tiny", "starter"}
    starter = configs.read(found, "starter")
    assert isinstance(starter, Config)
    assert starter.data == Data(name="emodb", more=("librispeech_mini",))
    assert isinstance(configs.read(found, "tiny"), Config)


def test_a_finished_run_is_read_as_the_encoder_it_made(acoustic: Path, data: Path) -> None:
    run = open_run(acoustic, "medusa_encoder")
    assert run.manifest.status == "finished"
    assert [source.name for source in run.manifest.data] == ["emodb", "fsdd"]
    made = read_compact(acoustic)
    assert made.use == "open"
    assert made.tokenizer is None
    assert made.speakers == {"speaker0", "speaker1"}
    frames = torch.from_numpy(Frames().encode([np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)])[0])
    found = made.network(padded([frames])).x
    assert found.shape == (1, -(-len(frames) // 4), 16)
    assert torch.isfinite(found).all()
    assert made.key == read_compact(acoustic).key
    other = train(config=msgspec.structs.replace(CONFIG, seed=1), data=data, out=acoustic.parents[1], command="x")
    assert read_compact(other).key != made.key


def test_frames_are_computed_once_for_all_runs(acoustic: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a front end was asked")

    monkeypatch.setattr(Frames, "encode", refuse)
    train(config=CONFIG, data=data, out=acoustic.parents[1], command="x")
    assert train(config=CONFIG, data=data, out=acoustic.parents[1], resume=acoustic, command="x") == acoustic


def test_transcripts_make_a_text_encoder(data: Path, tmp_path: Path) -> None:
    run = train(config=msgspec.structs.replace(CONFIG, kind="text"), data=data, out=tmp_path, command="x")
    made = read_compact(run)
    assert made.tokenizer is not None
    ids = torch.tensor([made.tokenizer.encode("so glad").ids])
    assert made.network(ids, torch.ones_like(ids, dtype=torch.bool)).x.shape == (1, ids.shape[1], 16)


def test_speakers_kept_for_figures_are_not_heard(data: Path, tmp_path: Path) -> None:
    """An encoder that has heard the voices of a test tells nothing about unseen speakers."""
    table = tmp_path / "emodb/train.tsv"
    table.parent.mkdir()
    for path in (data / "emodb").iterdir():
        (table.parent / path.name).write_bytes(path.read_bytes())
    table.write_text(table.read_text().replace("train5.flac\tspeaker0", "train5.flac\tspeaker9"))
    apart = msgspec.structs.replace(CONFIG, data=Data(without=("speaker9",)))
    made = read_compact(train(config=apart, data=tmp_path, out=tmp_path / "runs", command="x"))
    assert made.speakers == {"speaker0", "speaker1"}
    for without, told in ((("nobody",), "nobody is called nobody"), (("speaker1",), "nobody is left in its split dev")):
        config = msgspec.structs.replace(CONFIG, data=Data(without=without))
        with pytest.raises(OperatorError, match=told):
            train(config=config, data=tmp_path, out=tmp_path / "runs", command="x")


def test_a_research_set_makes_a_research_encoder(data: Path, tmp_path: Path) -> None:
    """Weights learnt from a non-commercial set are never called open."""
    (tmp_path / "nemo").mkdir()
    for path in (data / "emodb").iterdir():
        (tmp_path / "nemo" / path.name).write_bytes(path.read_bytes())
    config = msgspec.structs.replace(CONFIG, data=Data(name="nemo", clips=4))
    run = train(config=config, data=tmp_path, out=tmp_path / "runs", command="x")
    assert read_compact(run).use == "research"


def test_an_unfinished_run_and_missing_data_are_refused(acoustic: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    manifest = (acoustic / "run.json").read_text().replace('"finished"', '"running"')
    (copied / "run.json").write_text(manifest)
    with pytest.raises(OperatorError, match="is not finished; `kithara train medusa_encoder --resume"):
        read_compact(copied)
    with pytest.raises(OperatorError, match="KITHARA_DATA"):
        train(config=CONFIG, data=None, out=tmp_path, command="x")
    with pytest.raises(OperatorError, match=r"emodb/train\.tsv"):
        train(config=CONFIG, data=tmp_path, out=tmp_path, command="x")
