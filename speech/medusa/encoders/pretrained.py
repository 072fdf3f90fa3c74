"""The published encoders that MEDUSA reads, frozen: WavLM, HuBERT, the Whisper encoder, RoBERTa, ModernBERT."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from common.audio.frames import RATE
from common.errors import OperatorError
from speech.medusa.encoders import loading
from speech.medusa.encoders.base import Encoder, Kind
from speech.medusa.encoders.loading import Place
from speech.medusa.encoders.windows import HOP, Windowing

LAYERS = 4
"""Last layers that are summed (released code)."""
LONGEST = 512
"""Tokens of one transcript, special ones included (released code)."""
BATCH = 8
"""Windows, or transcripts, that pass the model together."""
SECOND = RATE // HOP
"""Frames."""
TEN_SECONDS = Windowing(10 * SECOND, SECOND)


def open_encoder(place: Place, device: str = "cpu") -> Encoder:
    """The encoder of a published model, by the family that its configuration names.

    Raises OperatorError when it cannot be read, lacks weights, or is of another family.
    """
    settings = loading.config(place)
    if settings.model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise OperatorError(f"{place.name} is a {settings.model_type}; the families that are read are {known}")
    return FAMILIES[settings.model_type](place, settings, torch.device(device))


class WaveEncoder:
    """WavLM and HuBERT: the sum of the last four layers, frame by frame."""

    kind: Kind = "audio"

    def __init__(self, place: Place, settings: Any, device: torch.device) -> None:
        if (hop := math.prod(settings.conv_stride)) != HOP:
            raise OperatorError(f"{place.name} has a frame each {hop} samples, not each {HOP}; it cannot be windowed")
        self.extractor = loading.processor("AutoFeatureExtractor", place)
        self.model, self.device = layered(place, settings).to(device), device
        self.dim: int = settings.hidden_size
        self.windows = TEN_SECONDS
        self.key = f"{loading.revision(place, settings)} {SUMMED} {rule(self.windows)}"

    def encode(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Float32 (n,) samples at 16 kHz -> float32 (frames, dim). Raises ValueError for clips below 400 samples."""
        return windowed(items, self.windows, self._scaled, self._frames)

    def _scaled(self, samples: np.ndarray) -> np.ndarray:
        """As the model was trained: to mean 0 and variance 1 where its extractor says so, over the whole recording."""
        return self.extractor(samples, sampling_rate=RATE, return_tensors="np")["input_values"][0]

    def _frames(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        # Only windows of one length pass together. Padding would enter the group norm over time of some checkpoints,
        # and no mask keeps it out.
        found: dict[int, np.ndarray] = {}
        for numbers in of_one_length(parts):
            x = torch.from_numpy(np.stack([parts[n] for n in numbers])).to(self.device)
            found |= zip(numbers, summed(self.model, input_values=x).cpu().numpy(), strict=True)
        return [found[n] for n in range(len(parts))]


class WhisperEncoder:
    """The encoder alone: its last hidden state, cut to the frames of the recording."""

    kind: Kind = "audio"

    def __init__(self, place: Place, settings: Any, device: torch.device) -> None:
        self.extractor = loading.processor("AutoFeatureExtractor", place)
        whole: Any = loading.model(place)
        self.model, self.device = whole.get_encoder().to(device), device
        self.dim: int = settings.d_model
        # It always reads as many frames, 30 s in the published models: shorter windows would cost the same.
        self.windows = Windowing(settings.max_source_positions, min(SECOND, settings.max_source_positions // 2))
        self.key = f"{loading.revision(place, settings)} encoder-last {rule(self.windows)}"

    def encode(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Float32 (n,) samples at 16 kHz -> float32 (ceil(n / 320), dim)."""
        return windowed(items, self.windows, np.asarray, self._frames)

    def _frames(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for some in chunks(parts, BATCH):
            x = self.extractor(list(some), sampling_rate=RATE, return_tensors="pt")["input_features"]
            with torch.inference_mode():
                hidden = self.model(x.to(self.device)).last_hidden_state.cpu().numpy()
            # Specification, section 4, defect 8: the rest of the 30 s is padding
            found += [rows[: -(-len(part) // HOP)] for rows, part in zip(hidden, some, strict=True)]
        return found


class TextEncoder:
    """RoBERTa and ModernBERT: the sum of the last four layers at the tokens of the text, without special ones."""

    kind: Kind = "text"

    def __init__(self, place: Place, settings: Any, device: torch.device) -> None:
        self.tokenizer = loading.processor("AutoTokenizer", place)
        self.model, self.device = layered(place, settings).to(device), device
        self.dim: int = settings.hidden_size
        # RoBERTa counts positions from behind the padding token's id.
        before = settings.pad_token_id + 1 if settings.model_type == "roberta" else 0
        self.longest = min(LONGEST, settings.max_position_embeddings - before)
        self.key = f"{loading.revision(place, settings)} {SUMMED} tokens={self.longest}"

    def encode(self, items: Sequence[str]) -> list[np.ndarray]:
        """Texts -> float32 (tokens, dim); one zero vector for a text without a token (released code)."""
        found: list[np.ndarray] = []
        for some in chunks(items, BATCH):
            told = self.tokenizer(
                list(some),
                truncation=True,
                max_length=self.longest,
                padding=True,
                return_special_tokens_mask=True,
                return_tensors="pt",
            ).to(self.device)
            kept = (told["attention_mask"] > 0) & (told["special_tokens_mask"] == 0)
            rows = summed(self.model, input_ids=told["input_ids"], attention_mask=told["attention_mask"])
            found += [r[k].cpu().numpy() for r, k in zip(rows, kept, strict=True)]
        return [rows if len(rows) else np.zeros((1, self.dim), np.float32) for rows in found]


FAMILIES: Mapping[str, Callable[[Place, Any, torch.device], Encoder]] = MappingProxyType(
    {
        "wavlm": WaveEncoder,
        "hubert": WaveEncoder,
        "whisper": WhisperEncoder,
        "roberta": TextEncoder,
        "modernbert": TextEncoder,
    }
)
"""By the name in the configuration."""
SUMMED = f"sum-of-last-{LAYERS}"


def layered(place: Place, settings: Any) -> nn.Module:
    """A model with enough layers to sum."""
    if settings.num_hidden_layers < LAYERS:
        raise OperatorError(f"{place.name} has {settings.num_hidden_layers} layers, and the last {LAYERS} are summed")
    return loading.model(place)


def summed(model: nn.Module, **inputs: Tensor) -> Float[Tensor, "batch frames dim"]:
    """The last four layers' outputs, the last one behind the final norm of models that have one, added in float32."""
    with torch.inference_mode():
        out = model(**inputs, output_hidden_states=True)
    return torch.stack([*out.hidden_states[-LAYERS:-1], out.last_hidden_state]).float().sum(0)


def windowed(
    items: Sequence[np.ndarray],
    windows: Windowing,
    scaled: Callable[[np.ndarray], np.ndarray],
    frames: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
) -> list[np.ndarray]:
    """Every recording scaled, cut into windows, encoded together with the others, and joined again."""
    spans = [windows.spans(len(samples)) for samples in items]
    whole = [scaled(samples) for samples in items]
    parts = iter(frames([w[start:stop] for w, cut in zip(whole, spans, strict=True) for start, stop in cut]))
    return [windows.joined([next(parts) for _ in cut]) for cut in spans]


def of_one_length(parts: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Numbers of at most BATCH parts that are equally long."""
    lengths: defaultdict[int, list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        lengths[len(part)].append(number)
    for numbers in lengths.values():
        yield from map(list, chunks(numbers, BATCH))


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """In order, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def rule(windows: Windowing) -> str:
    """Of a key."""
    return f"window={windows.window} overlap={windows.overlap}"
