"""From what is heard and read to the streams that the configuration names, by the modules of the exported graph.

A corpus gives ``frames`` and transcripts of every clip; each in-project stream is a module over them. Training runs
these modules once, clip by clip, so there is no second implementation that could drift from the served one.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from common.audio.frames import NAMES
from common.errors import Invalid, OperatorError
from common.registry.cards import write_whole
from common.text.features import PAD, TOKENIZER, tokens
from common.training import checkpoint
from common.training.distributed import World
from common.training.run import MANIFEST, open_run
from contracts.models import Use
from contracts.speech import FRAMES, FUNCTIONALS, IDS
from speech.medusa.config import Config, Stream
from speech.medusa.encoders.statistics import Statistics
from speech.medusa.rows import Clips, Rows, Sets, padded
from speech.medusa.sources import Described, Read, Sliced, pooled, reads
from speech.medusa_encoder.read import read_compact
from speech.medusa_encoder.system import SYSTEM as ENCODER

SOURCES, ENCODERS = "sources.safetensors", "encoders"
LONGEST_TEXT = 64
"""Tokens of a transcript that are read."""


class Made(NamedTuple):
    """The in-project streams of a run."""

    sources: nn.ModuleDict
    """In eval mode on the CPU; ``source(padded)``, ``source(ids, mask)`` for one that reads IDS, ``source(vectors)``
    for one that reads FUNCTIONALS"""
    keys: dict[str, str]
    """What makes each of them, from the corpus' own streams on."""
    tokenizer: Tokenizer | None
    """Of the streams that read IDS."""
    use: Use
    """What the data of the compact encoders allow."""


def prepare(config: Config, learnt: Rows, folder: Path, here: World) -> Made:
    """The sources of this run: fitted to the training clips without their labels, or copied from the run of a compact
    encoder, once. From then on the folder needs no other one.

    Raises OperatorError for a folder that is no finished run of an encoder, and for an encoder of the other kind.
    """
    if here.leads and not (folder / SOURCES).exists():
        for name, stream in in_project(config).items():
            if stream.encoder is not None:
                _copy(Path(stream.encoder), folder / ENCODERS / name)
        made = _made(config, folder)
        for source in made.sources.values():
            if isinstance(source, Statistics):
                source.fit([clip.numpy() for clip in learnt.streams[FRAMES]])
        if made.tokenizer is not None:
            write_whole(folder / TOKENIZER, made.tokenizer.to_str().encode())  # what the export publishes
        checkpoint.write(folder / SOURCES, {"sources": made.sources.state_dict()}, {})
    here.share_number(0.0)  # nobody reads before the file is there
    return read_sources(config, folder)


def read_sources(config: Config, folder: Path) -> Made:
    """Of a run that has them. Raises OperatorError when a file is missing or damaged."""
    made = _made(config, folder)
    made.sources.load_state_dict(checkpoint.read(folder / SOURCES).part("sources"))
    made.sources.eval().requires_grad_(False)
    return made


def with_streams(sets: Sets, config: Config, made: Made) -> Sets:
    """The sets with every stream that some member reads, and what made it."""
    train, dev, test = (derived(rows, config, made) for rows in (sets.train, sets.dev, sets.test))
    keys = dict(sets.keys)
    for name, stream in config.used_streams().items():
        if name not in made.sources:
            keys[name] = f"{sets.keys[name]}, {stream.longest} frames x{stream.pool}"
        elif reads(made.sources[name]) == IDS:
            keys[name] = made.keys[name]
        elif reads(made.sources[name]) == FUNCTIONALS:
            keys[name] = sets.keys[FUNCTIONALS]
        else:
            keys[name] = f"{sets.keys[FRAMES]}, {made.keys[name]}"
    use: Use = "research" if "research" in (sets.use, made.use) else "open"
    return sets._replace(train=train, dev=dev, test=test, keys=keys, use=use)


def derived(rows: Rows, config: Config, made: Made) -> Rows:
    """The rows with the streams that the configuration names; those of published encoders stay where they are."""
    found = dict(rows.streams)
    with torch.no_grad():  # not inference mode: these rows are learnt from
        for name, stream in config.used_streams().items():
            if name not in made.sources:
                found[name] = Clips(rows.streams[name], make=partial(_shortened, stream))
            elif reads(made.sources[name]) == IDS:
                found[name] = [made.sources[name](*tokens_of(text, made.tokenizer)).x[0] for text in rows.texts]
            elif reads(made.sources[name]) == FUNCTIONALS:
                found[name] = rows.streams[FUNCTIONALS]
            else:
                found[name] = [made.sources[name](padded([clip])).x[0] for clip in rows.streams[FRAMES]]
    return replace(rows, streams=found)


def tokens_of(text: str, tokenizer: Tokenizer | None) -> tuple[Tensor, Tensor]:
    """Ids int64 (1, tokens) and their mask; without a word, one token that the mask hides."""
    if tokenizer is None:
        raise ValueError("a stream reads tokens, but no tokenizer is there")
    try:
        ids = tokens(tokenizer, text, LONGEST_TEXT) if text else []
    except Invalid:  # white space alone
        ids = []
    given = torch.tensor([ids or [PAD]])
    return given, torch.full(given.shape, bool(ids))


def in_project(config: Config) -> dict[str, Stream]:
    """The streams that are part of the graph."""
    return {name: stream for name, stream in config.used_streams().items() if stream.source != "pretrained"}


def _made(config: Config, folder: Path) -> Made:
    """Everything but what was fitted to the training clips."""
    sources, keys = nn.ModuleDict(), dict[str, str]()
    tokenizer, use = None, cast(Use, "open")
    for name, stream in in_project(config).items():
        if stream.source == "frames":
            sources[name], keys[name] = Sliced(stream), f"{stream.part} x{stream.pool}"
        elif stream.source == "functionals":
            sources[name], keys[name] = Described(), "functionals"
        elif stream.source == "statistics":
            sources[name] = Statistics(NAMES, stream.window or None, stream.hop)
            keys[name] = f"statistics of {stream.window or 'all'} frames each {stream.hop}"
        else:
            found = read_compact(folder / ENCODERS / name)
            if (found.tokenizer is not None) != (stream.source == "text"):
                raise OperatorError(f"streams.{name}: {stream.encoder} is an encoder of the other kind; name one of it")
            sources[name] = found.network if found.tokenizer is None else Read(found.network)
            keys[name] = found.key
            tokenizer, use = found.tokenizer or tokenizer, "research" if found.use == "research" else use
    return Made(sources, keys, tokenizer, use)


def _copy(encoder: Path, into: Path) -> None:
    """What ``read_compact`` needs of a finished run. Raises OperatorError when it is none."""
    read_compact(encoder)
    chosen = open_run(encoder, ENCODER.name).manifest.checkpoint or ""
    for name in (MANIFEST, chosen, TOKENIZER):
        if (encoder / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(into / name, (encoder / name).read_bytes())


def _shortened(stream: Stream, clip: Tensor) -> Tensor:
    return pooled(padded([clip]), stream.pool).x[0, : stream.longest]
