"""Published families with random weights: what is read of them, and that nobody else has a part in it."""

import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from common.errors import OperatorError
from speech.medusa.encoders.base import Encoder
from speech.medusa.encoders.loading import Place
from speech.medusa.encoders.pretrained import open_encoder

Save = Callable[..., Path]
AUDIO = ("wavlm", "wavlm-large", "hubert", "whisper")
TEXT = ("roberta", "modernbert")


@pytest.fixture(scope="module")
def opened(saved: Save) -> Callable[[str], Encoder]:
    return cache(lambda kind: open_encoder(Place(str(saved(kind)))))


def sound(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def layer_outputs(encoder: Any, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Of every layer, caught as it leaves, in order."""
    found: list[torch.Tensor] = []
    layers = getattr(encoder.model, "layers", None) or encoder.model.encoder.layer
    hooks = [
        layer.register_forward_hook(lambda _, __, out: found.append(out[0] if isinstance(out, tuple) else out))
        for layer in layers
    ]
    with torch.inference_mode():
        encoder.model(**inputs)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("kind", ["wavlm", "wavlm-large", "hubert"])
def test_a_speech_stream_is_the_sum_of_the_last_four_layers(opened: Callable[[str], Any], kind: str) -> None:
    """Section 2.1; the large models have a norm behind their last layer."""
    encoder, samples = opened(kind), sound(8_000)
    network = encoder.model.encoder
    scaled = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    found: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out[0])) for layer in network.layers]
    with torch.inference_mode():
        encoder.model(torch.from_numpy(scaled)[None])
    for hook in hooks:
        hook.remove()
    last = network.layer_norm(found[-1]) if kind == "wavlm-large" else found[-1]
    wanted = (found[-4] + found[-3] + found[-2] + last).reshape(-1, encoder.dim)
    (rows,) = encoder.encode([samples])
    assert rows.dtype == np.float32
    assert rows.shape == (1 + (8_000 - 400) // 320, encoder.dim)
    assert rows == pytest.approx(wanted.numpy(), abs=1e-4)


@pytest.mark.parametrize("kind", TEXT)
def test_a_text_stream_is_the_sum_of_the_last_four_layers_without_special_tokens(
    opened: Callable[[str], Any], kind: str
) -> None:
    """Section 2.1: special tokens are cut."""
    encoder = opened(kind)
    # <s> so glad you came </s>, by the numbers of the words
    ids = torch.tensor([[0, 4, 5, 6, 7, 2]])
    found = layer_outputs(encoder, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    last = encoder.model.final_norm(found[-1]) if kind == "modernbert" else found[-1]
    wanted = (found[-4] + found[-3] + found[-2] + last)[0, 1:-1]
    assert encoder.encode(["so glad you came"])[0] == pytest.approx(wanted.numpy(), abs=1e-4)


@pytest.mark.parametrize("samples", [4_800, 16_000, 31_999])
def test_whisper_gives_the_frames_of_the_recording_alone(opened: Callable[[str], Any], samples: int) -> None:
    """Section 4, defect 8: ceil(samples / 320) frames of the encoder, never the padding up to its window."""
    encoder, clip = opened("whisper"), sound(samples)
    features = encoder.extractor(clip, sampling_rate=16_000, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        whole = encoder.model(features).last_hidden_state[0]
    assert len(whole) == 100
    (rows,) = encoder.encode([clip])
    assert len(rows) == -(-samples // 320)
    assert rows == pytest.approx(whole[: len(rows)].numpy(), abs=1e-5)


@pytest.mark.parametrize("kind", AUDIO)
def test_a_recording_is_the_same_alone_and_among_others(opened: Callable[[str], Encoder], kind: str) -> None:
    """Section 4, defect 5, at the encoders: group norms, padding and attention see no other recording."""
    encoder = opened(kind)
    clips = [sound(n, seed) for seed, n in enumerate((4_800, 16_000, 16_000, 40_000, 190_000))]
    for clip, rows in zip(clips, encoder.encode(clips), strict=True):
        alone = encoder.encode([clip])[0]
        assert rows.shape == alone.shape
        assert np.abs(rows - alone).max() < 1e-5 * max(1.0, np.abs(alone).max())


@pytest.mark.parametrize("kind", TEXT)
def test_a_text_is_the_same_alone_and_among_others(opened: Callable[[str], Encoder], kind: str) -> None:
    encoder = opened(kind)
    texts = ["so glad you came", "", "again", "never again", "so so so so so so so so so so", "   "]
    for text, rows in zip(texts, encoder.encode(texts), strict=True):
        alone = encoder.encode([text])[0]
        assert np.abs(rows - alone).max() < 1e-5 * max(1.0, np.abs(alone).max())


@pytest.mark.parametrize("kind", TEXT)
def test_an_empty_text_is_one_zero_vector(opened: Callable[[str], Encoder], kind: str) -> None:
    """Section 2.1."""
    for rows in opened(kind).encode(["", " \n"]):
        assert np.array_equal(rows, np.zeros((1, 24), np.float32))


def test_a_long_text_is_cut_to_the_positions_of_the_model(opened: Callable[[str], Encoder]) -> None:
    """At most 512 tokens; this RoBERTa has 20 positions, the first two of which it never uses."""
    rows = opened("roberta").encode(["never " * 600])
    assert rows[0].shape == (18 - 2, 24)
    assert opened("modernbert").encode(["never " * 600])[0].shape == (64 - 2, 24)


@pytest.mark.parametrize("kind", AUDIO)
def test_a_long_recording_has_the_frames_of_one_sequence(opened: Callable[[str], Any], kind: str) -> None:
    """What attention sees ends at the window; number and place of the frames must not show it."""
    encoder, samples = opened(kind), sound(200_000)
    (rows,) = encoder.encode([samples])
    assert len(rows) == (-(-200_000 // 320) if kind == "whisper" else 1 + (200_000 - 400) // 320)
    first, second = encoder.windows.spans(200_000)[:2]
    edge, step = encoder.windows.overlap // 2, encoder.windows.step
    scaled = samples if kind == "whisper" else encoder._scaled(samples)
    one, two = encoder._frames([scaled[slice(*first)], scaled[slice(*second)]])
    assert np.array_equal(rows[: edge + step], one[: edge + step])
    assert np.array_equal(rows[edge + step : edge + step + 9], two[edge : edge + 9])


def test_the_level_is_that_of_the_whole_recording(saved: Save) -> None:
    """An extractor with ``do_normalize`` scales the recording, not each window; one without leaves it."""
    loud, plain = (open_encoder(Place(str(saved("wavlm-large", normalise=n)))) for n in (True, False))
    quiet = sound(8_000)
    assert loud.encode([quiet])[0] == pytest.approx(loud.encode([4 * quiet])[0], abs=1e-3)
    assert np.abs(plain.encode([quiet])[0] - plain.encode([4 * quiet])[0]).max() > 1e-2
    rising = np.concatenate([sound(100_000), 20 * sound(100_000)])
    scaled: Any = loud
    assert scaled._scaled(rising)[:100_000].std() < 0.2


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_nothing_is_masked_out_whatever_the_checkpoint_was_trained_with(saved: Save, share: float) -> None:
    """Section 8, tiny-config trap: ``masked_spec_embed`` is there only for a share above 0; frozen, it has no part."""
    encoder = open_encoder(Place(str(saved("wavlm", mask_time_prob=share))))
    assert np.array_equal(encoder.encode([sound(9_000)])[0], encoder.encode([sound(9_000)])[0])
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())  # pyright: ignore


def test_keys_tell_weights_and_rules_apart_but_not_folders(saved: Save, tmp_path: Path) -> None:
    folder = saved("roberta")
    key = open_encoder(Place(str(folder))).key
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert open_encoder(Place(str(moved))).key == key
    assert open_encoder(Place(str(saved("roberta", seed=1)))).key != key
    assert "sum-of-last-4" in key


def test_a_missing_weight_is_an_error_and_not_a_random_number(saved: Save) -> None:
    folder = saved("hubert")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "layers.2.feed" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(OperatorError, match=r"the checkpoint lacks encoder\.layers\.2"):
        open_encoder(Place(str(folder)))


def test_broken_weights_and_missing_parts_are_operator_errors(saved: Save, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="give a folder that holds the whole model"):
        open_encoder(Place(str(tmp_path)))
    folder = saved("roberta")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(OperatorError, match="cannot be read"):
        open_encoder(Place(str(folder)))
    folder = saved("wavlm")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(OperatorError, match="cannot be read"):
        open_encoder(Place(str(folder)))


def test_another_family_is_refused(tmp_path: Path) -> None:
    transformers.T5Config().save_pretrained(tmp_path)
    with pytest.raises(OperatorError, match="is a t5; the families that are read are wavlm, hubert"):
        open_encoder(Place(str(tmp_path)))


def test_too_few_layers_to_sum_are_refused(saved: Save) -> None:
    with pytest.raises(OperatorError, match="has 3 layers"):
        open_encoder(Place(str(saved("roberta", num_hidden_layers=3))))


def test_a_name_is_never_fetched_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(OperatorError, match="fetch it before"):
        open_encoder(Place("nobody/no-such-model", revision="0" * 40))
