"""The embedding: mel front-end, VGG-ish convolutions and one linear layer (arXiv 2409.11264; section 1.9 of our notes).

``Embedder`` is what is trained and exported. Pictures take the place of mel spectrograms where a corpus holds them, and
an MLP that of the convolutions where it holds tables.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from music_fewshot.lc_protonets.config import Model

Kind = Literal["waveform", "image", "features"]
FFT, HOP = 512, 256
"""Samples of a frame, and between two frames."""
QUIET = 1e-10
"""Power below which a band counts as this: -100 dB."""


class MelFrontEnd(nn.Module):
    """Log power in mel bands, as two fixed matrices, so that the graph holds no complex number.

    Hann window, power spectrum, frames centred by reflection; HTK scale without area normalisation, 0 Hz to half the
    sample rate; 10 log10 max(p, 1e-10). At 16 kHz the lowest of 128 bands lies between two bins: always -100 dB.
    """

    dft: Float[Tensor, "parts one fft"]
    mel: Float[Tensor, "mels bins"]

    def __init__(self, sample_rate: int, mels: int) -> None:
        super().__init__()
        self.register_buffer("dft", torch.from_numpy(windowed_dft(FFT))[:, None].float())
        self.register_buffer("mel", torch.from_numpy(mel_filters(sample_rate, mels, FFT)).float())

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch mels frames"]:
        """dB; frames = 1 + samples // 256. At least 257 samples."""
        padded = F.pad(waveform[:, None], (FFT // 2, FFT // 2), mode="reflect")
        real, imaginary = F.conv1d(padded, self.dft, stride=HOP).chunk(2, 1)
        power = self.mel @ (real.square() + imaginary.square())
        return 10 * power.clamp_min(QUIET).log10()


class VGGish(nn.Module):
    """Blocks of a 3 x 3 convolution, batch norm, ReLU and a halving; the maximum over what remains; a linear layer.

    A side that has come down to 1 is not halved any more.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        blocks: list[nn.Module] = []
        sides = list(shape)
        for before, after in zip((1, *channels), channels, strict=False):
            halved = (min(2, sides[0]), min(2, sides[1]))
            blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(halved)]
            sides = [side // step for side, step in zip(sides, halved, strict=True)]
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(channels[-1], dimensions)

    def features(self, picture: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch width"]:
        """What the linear layer sees."""
        return self.blocks(self.norm(picture[:, None])).amax((2, 3))

    def forward(self, picture: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch dimensions"]:
        return self.dense(self.features(picture))


class MLP(nn.Module):
    """The same for rows of a table: batch norm, hidden layers, a linear layer."""

    def __init__(self, columns: int, widths: Sequence[int], dimensions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(columns)]
        for before, after in zip((columns, *widths), widths, strict=False):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Linear(widths[-1], dimensions)

    def features(self, row: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch width"]:
        return self.layers(row)

    def forward(self, row: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch dimensions"]:
        return self.dense(self.features(row))


class Scale(nn.Module):
    """Ours, off by default: logit = scale * similarity + bias. The paper's logit is the similarity itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(self, similarity: Float[Tensor, "queries prototypes"]) -> Float[Tensor, "queries prototypes"]:
        return self.scale * similarity + self.bias


class Embedder(nn.Module):
    """From a window of mono audio (or a picture, or a row of a table) to its embedding; no activation at the end."""

    shape: Tensor
    """int64: of one input, without the batch."""

    def __init__(self, kind: Kind, shape: Sequence[int], tags: int, config: Model, *, learned_scale: bool) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.register_buffer("shape", torch.tensor(shape))
        if kind == "features":
            self.front, self.backbone = nn.Identity(), MLP(shape[0], config.channels, config.dimensions)
        else:
            mel = kind == "waveform"
            picture = (config.mels, 1 + shape[0] // HOP) if mel else shape
            self.front = MelFrontEnd(config.sample_rate, config.mels) if mel else nn.Identity()
            self.backbone = VGGish(picture, config.channels, config.dimensions)
        # The supervised phase's classifier; neither episodes nor the exported graph meet it.
        d = config.dimensions
        self.tagger = nn.Sequential(nn.BatchNorm1d(d), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(d, tags))
        self.scale = Scale() if learned_scale else nn.Identity()
        # Convolutions on a CPU are up to twice as fast.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def frames(self) -> int:
        """Of the mel spectrogram of one window."""
        return 1 + int(self.shape[0]) // HOP

    def forward(self, row: Float[Tensor, "batch *input"]) -> Float[Tensor, "batch dimensions"]:
        return self.backbone(self.front(row))

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], config: Model) -> "Embedder":
        """The network of a checkpoint, in eval mode."""
        shape = tensors["shape"].tolist()
        kind: Kind = "image" if len(shape) == 2 else "waveform" if "front.dft" in tensors else "features"
        model = cls(kind, shape, len(tensors["tagger.3.bias"]), config, learned_scale="scale.scale" in tensors)
        model.load_state_dict(tensors)
        return model.eval()


def windowed_dft(size: int) -> np.ndarray:
    """float64 (2 * bins, size): real and imaginary parts of the periodic Hann window times each bin's wave."""
    n = np.arange(size)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / size)
    phase = 2 * np.pi * (np.outer(np.arange(size // 2 + 1), n) % size) / size
    return np.concatenate([hann * np.cos(phase), -hann * np.sin(phase)])


def mel_filters(sample_rate: int, mels: int, size: int) -> np.ndarray:
    """float64 (mels, bins): triangles of height 1 whose corners are evenly spaced on the HTK scale."""
    # HTK: mel = 2595 log10(1 + f / 700)
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    f = np.linspace(0, sample_rate / 2, size // 2 + 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0, np.minimum((f - low) / (centre - low), (high - f) / (high - centre)))
