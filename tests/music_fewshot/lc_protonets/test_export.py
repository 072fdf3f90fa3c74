"""The published embedding: graph, card, and answers through the code that the server runs."""

import io
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from common.errors import OperatorError
from common.http.forms import File
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.training import checkpoint
from common.training.run import open_run
from contracts.music_fewshot import clip_signature
from music_fewshot.features import pooled
from music_fewshot.lc_protonets.config import Config, Model
from music_fewshot.lc_protonets.data import floats
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.evaluate import Trained
from music_fewshot.lc_protonets.export import export, sampler
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.service import Embedder as Server


@pytest.fixture(scope="module")
def session(version: Version) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(version.graph, options, providers=["CPUExecutionProvider"])


def answers(session: onnxruntime.InferenceSession, rows: np.ndarray) -> np.ndarray:
    return np.asarray(session.run(["embedding"], {"waveform": rows})[0])


@pytest.mark.parametrize("batch", range(1, 9))
def test_the_graph_answers_as_the_network_does(
    opened: Trained, session: onnxruntime.InferenceSession, batch: int
) -> None:
    window = int(opened.model.shape)
    clips = floats(opened.corpus.splits["test"].inputs[batch : 2 * batch, :window])
    for rows in (clips, sampler(opened.model)({"batch": batch})["waveform"]):
        with torch.inference_mode():
            expected = opened.model(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(answers(session, rows), expected, atol=1e-4)


def test_a_clip_is_the_same_however_its_windows_are_batched(session: onnxruntime.InferenceSession) -> None:
    rows = (np.random.default_rng(0).integers(-9000, 9000, (24, 7_936)) / 32768).astype(np.float32)
    means = [
        pooled(np.concatenate([answers(session, rows[at : at + batch]) for at in range(0, 24, batch)]))
        for batch in range(1, 9)
    ]
    scale = np.abs(means[0]).max()
    for mean in means[1:]:
        np.testing.assert_allclose(mean, means[0], rtol=0, atol=1e-6 * scale)


def test_the_graph_is_plain(version: Version) -> None:
    kinds = {node.op_type for node in onnx.load(version.graph).graph.node}
    assert not kinds & {"STFT", "DFT", "HannWindow", "MelWeightMatrix"}
    assert "Conv" in kinds


def test_the_shipped_size_stays_small() -> None:
    """The starter's network, with random weights: 8 MB at most."""
    config = Model(mels=96, channels=(12, 24, 48, 96, 128, 192, 256), dimensions=256)
    model = Embedder("waveform", (config.window,), 26, config, learned_scale=False)
    served = [*model.front.buffers(), *model.backbone.state_dict().values()]
    assert sum(tensor.numel() * 4 for tensor in served) < 8e6


def test_the_card_says_what_a_user_must_know(version: Version, config: Config) -> None:
    card = version.card
    assert (card.name, card.version, card.system, card.task) == (
        "music-embedding",
        1,
        "lc_protonets",
        "music-embedding",
    )
    assert (card.labels, card.use, card.limits.max_rows) == ((), "open", 4)
    assert card.signature == clip_signature(7_936, 12)
    assert card.audio is not None
    assert (card.audio.sample_rate, card.audio.window) == (16_000, 7_936)
    assert card.golden_tolerance == 1e-4
    assert card.properties["parity_embedding"] < 1e-4  # pyright: ignore[reportOperatorIssue]
    assert msgspec.convert(card.lineage.config, Config) == config
    assert [source.licence for source in card.lineage.data] == ["CC0 1.0"]
    blend = next(m.value for m in card.metrics if (m.name, m.split) == ("blend_macro_f1", "both-16"))
    assert any(f"macro-F1 {blend:.3f} by the default rule" in caveat for caveat in card.caveats)
    assert {m.name for m in card.metrics} >= {"lcp_macro_f1", "ml_pn_macro_f1", "all_ones_macro_f1", "true"}
    assert not any(m.name.startswith("topk") for m in card.metrics)


async def test_the_server_embeds_as_the_evaluation_did(version: Version, opened: Trained) -> None:
    """A file of 16-bit samples through decoder, windows, engine and mean."""
    test = opened.corpus.splits["test"]
    expected = embed_split(opened.model, test._replace(inputs=test.inputs[:3]))
    files = []
    for number, clip in enumerate(test.inputs[:3]):
        out = io.BytesIO()
        soundfile.write(out, clip, 16_000, format="FLAC", subtype="PCM_16")
        files.append(File(f"clip{number}", out.getvalue()))
    models = Models(Repository(version.folder.parents[1]), LocalBackend(threads=1, device="cpu"))
    await models.start()
    try:
        server = Server(models)
        found = await server.embed(server.card("music-embedding", "model"), files, Call())
    finally:
        await models.stop(drain=0.0)
    for embedded, row in zip(found, expected, strict=True):
        assert len(embedded.windows) == 2
        np.testing.assert_allclose(embedded.embedding, row, atol=1e-4)


def test_nothing_is_published_without_figures_or_for_anything_but_sound(trained: Path, tmp_path: Path) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    shutil.copytree(trained, run)
    manifest = open_run(run, "lc_protonets").manifest
    (run / "run.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, metrics=())))
    with pytest.raises(OperatorError, match="kithara evaluate lc_protonets"):
        export(run=run, models=models)
    small = Model(channels=(3,), dimensions=2)
    made = Embedder("features", (4,), 3, small, learned_scale=False)
    checkpoint.write(run / "checkpoints/table.safetensors", {"model": made.state_dict()}, {})
    table = msgspec.structs.replace(
        manifest,
        checkpoint="checkpoints/table.safetensors",
        config={**manifest.config, "model": msgspec.to_builtins(small)},
    )
    (run / "run.json").write_bytes(msgspec.json.encode(table))
    with pytest.raises(OperatorError, match="embeds features, not sound"):
        export(run=run, models=models)
    assert not models.exists()
