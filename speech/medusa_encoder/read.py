"""A finished pre-training as the encoder that it made."""

from pathlib import Path
from typing import NamedTuple

import msgspec
from tokenizers import Tokenizer
from torch import nn

from common.errors import OperatorError
from common.registry.cards import sha256
from common.text.features import TOKENIZER, read_tokenizer
from common.training import checkpoint
from common.training.run import Run, open_run
from contracts.models import Use
from speech.medusa.encoders.compact import CompactAcoustic, CompactText
from speech.medusa_encoder.config import Config
from speech.medusa_encoder.system import SYSTEM


class Compact(NamedTuple):
    network: nn.Module
    """CompactAcoustic or CompactText, in eval mode on the CPU"""
    tokenizer: Tokenizer | None
    """Of a text encoder"""
    key: str
    """Which weights these are"""
    speakers: frozenset[str]
    """Whom it has heard of its corpus: figures on them are those of voices it knows"""
    use: Use
    """What its training data allow; a model that reads the encoder may be used no more freely."""


def read_compact(folder: Path) -> Compact:
    """Raises OperatorError for a folder that is no finished run of ``medusa_encoder``."""
    run = open_run(folder, SYSTEM.name)
    path, config = _checkpoint(run), msgspec.convert(run.manifest.config, Config)
    tokenizer = read_tokenizer(folder / TOKENIZER) if config.kind == "text" else None
    network = CompactAcoustic(config.acoustic) if tokenizer is None else _text(config, tokenizer)
    network.load_state_dict(checkpoint.Checkpoint(checkpoint.read(path).part("model"), b"").part("network"))
    digest = sha256(path, "train the encoder again")
    use: Use = "research" if run.manifest.properties["use"] == "research" else "open"
    speakers = frozenset(str(run.manifest.properties["speakers"]).split())
    return Compact(network.eval(), tokenizer, f"compact-{config.kind}@sha256:{digest}", speakers, use)


def _text(config: Config, tokenizer: Tokenizer) -> CompactText:
    return CompactText(config.text, tokenizer.get_vocab_size())


def _checkpoint(run: Run) -> Path:
    if run.manifest.status != "finished" or run.manifest.checkpoint is None:
        raise OperatorError(
            f"{run.folder}: is not finished; `kithara train {SYSTEM.name} --resume {run.folder}` goes on with it"
        )
    return run.folder / run.manifest.checkpoint
