"""From a corpus to windows and embeddings."""

import numpy as np
import pytest
import torch

from common.errors import OperatorError
from music_fewshot.lc_protonets import corpora
from music_fewshot.lc_protonets.config import Config, Data, Episodic, Model, Pretrain
from music_fewshot.lc_protonets.corpora import Corpus, Split
from music_fewshot.lc_protonets.data import embedder, load, rows, source
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.model import Embedder, Kind

TAGS = tuple("abcdefghij")
MODEL = Model(window=1_024, mels=12, channels=(4, 6), dimensions=5)


def split(inputs: np.ndarray, start: int = 0) -> Split:
    truth = np.random.default_rng(start).random((len(inputs), len(TAGS))) < 0.5
    return Split(tuple(f"{start + i}" for i in range(len(inputs))), truth, inputs)


def corpus(kind: Kind, train: np.ndarray, dev: np.ndarray, rate: int = 16_000) -> Corpus:
    splits = {"train": split(train), "dev": split(dev, 500), "test": split(train[:4], 900)}
    return Corpus("made", "CC0 1.0", "open", "0" * 64, kind, TAGS, 6, rate, splits)


def sound(n: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, (n, samples), dtype=np.int16)


def network(kind: Kind, shape: tuple[int, ...]) -> Embedder:
    torch.manual_seed(0)
    model = Embedder(kind, shape, 6, MODEL, learned_scale=False)
    model.train()
    model(torch.randn(9, *shape))
    return model.eval()


def loaded(monkeypatch: pytest.MonkeyPatch, made: Corpus, config: Config) -> Corpus:
    monkeypatch.setattr(corpora, "load", lambda name, data: made)
    return load(config, None)


SMALL = Config(model=MODEL, data=Data(validation_tags=2), episodic=Episodic(ways=3))


def test_windows_are_cut_from_the_spectrogram_of_the_whole_clip() -> None:
    model, clips = network("waveform", (1_024,)), sound(70, 3_000)
    found = rows(model, split(clips))
    whole = model.front(torch.from_numpy(clips / 32768).float())
    assert whole.shape == (70, 12, 12)
    assert (found.width, found.starts) == (5, 8)
    np.testing.assert_allclose(found.pictures.float(), whole, atol=0.03)  # float16 at 100 dB
    cut = found.cut(torch.tensor([69, 0]), torch.tensor([7, 2]))
    assert cut.dtype == torch.float32
    assert torch.equal(cut, torch.stack([found.pictures[69, :, 7:12], found.pictures[0, :, 2:7]]).float())
    assert torch.equal(found.middle(torch.tensor([4])), found.pictures[4:5, :, 3:8].float())


def test_a_window_is_what_the_network_hears_of_it() -> None:
    """Apart from the frames at its ends, which the front-end mirrors."""
    model, clips = network("waveform", (1_024,)), sound(1, 3_072)
    heard = model.front(torch.from_numpy(clips[:, 512:1536] / 32768).float())
    cut = rows(model, split(clips)).cut(torch.tensor([0]), torch.tensor([2]))
    np.testing.assert_allclose(cut[..., 1:-1], heard[..., 1:-1].numpy(), atol=0.03)


def test_a_clip_shorter_than_a_window_is_repeated() -> None:
    model, clips = network("waveform", (1_024,)), sound(3, 300)
    twice = np.concatenate([clips] * 4, axis=1)[:, :1_024]
    assert torch.equal(rows(model, split(clips)).pictures, rows(model, split(twice)).pictures)
    np.testing.assert_array_equal(embed_split(model, split(clips)), embed_split(model, split(twice)))


def test_pictures_and_tables_are_taken_whole() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 8, 9), dtype=np.uint8)
    found = rows(network("image", (8, 9)), split(grey))
    assert (found.width, found.starts) == (9, 1)
    np.testing.assert_allclose(found.middle(torch.arange(5)), grey / 255, atol=1e-6)
    table = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    found = rows(network("features", (7,)), split(table))
    np.testing.assert_array_equal(found.middle(torch.tensor([3, 1])), table[[3, 1]])


def test_a_clip_is_the_mean_of_its_windows() -> None:
    model, clips = network("waveform", (1_024,)), sound(40, 3 * 1_024 + 500)
    found = embed_split(model, split(clips))
    assert (found.dtype, found.shape) == (np.float32, (40, 5))
    with torch.inference_mode():
        for clip, row in zip(clips[::7], found[::7], strict=True):
            samples = torch.from_numpy(clip / 32768).float()
            windows = [model(samples[None, start : start + 1_024])[0] for start in (0, 1_024, 2_048)]
            np.testing.assert_allclose(row, torch.stack(windows).mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "shape"), [("image", (8, 9)), ("features", (7,))])
def test_other_inputs_are_one_row_each(kind: Kind, shape: tuple[int, ...]) -> None:
    model = network(kind, shape)
    inputs = np.random.default_rng(0).standard_normal((70, *shape)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(inputs))
    np.testing.assert_allclose(embed_split(model, split(inputs)), expected, rtol=1e-5, atol=1e-6)


def test_a_split_is_embedded_in_eval_mode_only() -> None:
    model = network("features", (7,)).train()
    with pytest.raises(ValueError, match="eval mode"):
        embed_split(model, split(np.zeros((2, 7), np.float32)))


def test_a_set_without_a_development_part_gives_some_of_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.arange(60, dtype=np.float32).reshape(20, 3)
    made = corpus("features", inputs, inputs[:0])
    found = loaded(monkeypatch, made, SMALL)
    train, dev = found.splits["train"], found.splits["dev"]
    assert (len(train.ids), len(dev.ids)) == (17, 3)
    assert sorted((*train.ids, *dev.ids), key=int) == list(made.splits["train"].ids)
    for part in (train, dev):
        places = [int(i) for i in part.ids]
        np.testing.assert_array_equal(part.inputs, inputs[places])
        np.testing.assert_array_equal(part.truth, made.splits["train"].truth[places])
    assert loaded(monkeypatch, made, SMALL).splits["dev"].ids == dev.ids
    assert source(found) == source(made)
    whole = corpus("features", inputs, inputs[:2])
    assert loaded(monkeypatch, whole, SMALL) is whole


def test_what_does_not_fit_the_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus("waveform", sound(9, 2_000), sound(3, 2_000), rate=8_000)
    with pytest.raises(OperatorError, match=r"model\.sample_rate: made has 8000 Hz"):
        loaded(monkeypatch, made, SMALL)
    five_ways = Config(model=MODEL, data=Data(validation_tags=2), episodic=Episodic(ways=5))
    fitting = made._replace(sample_rate=16_000)
    with pytest.raises(OperatorError, match=r"6 base tags.*too few for 5-way"):
        loaded(monkeypatch, fitting, five_ways)
    no_episodes = Config(model=MODEL, pretrain=Pretrain(epochs=1), episodic=Episodic(epochs=0))
    assert loaded(monkeypatch, fitting, no_episodes) is fitting


def test_the_network_is_made_for_the_corpus() -> None:
    assert embedder(SMALL, corpus("waveform", sound(2, 5_000), sound(1, 5_000))).shape.tolist() == [1_024]
    picture = np.zeros((2, 8, 9), np.uint8)
    made = embedder(SMALL, corpus("image", picture, picture))
    assert (made.kind, made.shape.tolist(), made.tagger[3].out_features) == ("image", [8, 9], 6)
