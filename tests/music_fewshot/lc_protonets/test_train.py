"""The whole training on tones: both phases, every set-up and method, killed and resumed."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from common.errors import OperatorError
from common.registry.cards import render
from common.training import checkpoint, loop
from common.training.run import open_run
from music_fewshot.lc_protonets import train as lcp_train
from music_fewshot.lc_protonets.config import Config, Data, Episodic, Method, Model, Pretrain
from music_fewshot.lc_protonets.data import rows
from music_fewshot.lc_protonets.episodes import Draws, Pool, test_episode
from music_fewshot.lc_protonets.evaluate import Trained, evaluate, load_model, trained_in
from music_fewshot.lc_protonets.exhaustive import label_combinations, prototypes, similarity_table
from music_fewshot.lc_protonets.train import train
from music_fewshot.lc_protonets.validation import episode_selection, tagging_selection

NOTHING = Pretrain(epochs=0)


def run(out: Path, config: Config, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train lc_protonets")


def but(config: Config, **changes: object) -> Config:
    return msgspec.structs.replace(config, **changes)


def short(config: Config, start: Path | None = None, **episodic: object) -> Config:
    """Episodes alone, a few, with a learning rate that moves weights."""
    options = msgspec.structs.replace(config.episodic, epochs=1, episodes=2, **episodic)
    return but(config, pretrain=NOTHING, episodic=options, start=str(start) if start else None)


def weights(folder: Path, phase: str = "episodic") -> dict[str, Tensor]:
    return checkpoint.read(folder / f"checkpoints/best-{phase}.safetensors").part("model")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_the_same_seed_gives_the_same_weights(trained: Path, config: Config, tmp_path: Path) -> None:
    again = run(tmp_path, config)
    assert same(weights(again), weights(trained))
    assert same(weights(again, "pretrain"), weights(trained, "pretrain"))
    assert not same(weights(run(tmp_path, but(config, seed=4))), weights(trained))


@pytest.mark.parametrize("killed_at", [1, 8, 18, 19, 24, 30])
def test_a_killed_run_resumes_to_the_same_bits(
    trained: Path, config: Config, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """18 supervised steps, 6 an epoch, then 12 episodes; a checkpoint every 4 steps. Windows are drawn all the way."""
    with killed(killed_at):
        run(tmp_path, config)
    (folder,) = (tmp_path / "lc_protonets").iterdir()
    torch.rand(5)
    assert run(tmp_path, config, resume=folder) == folder
    assert same(weights(folder), weights(trained))
    assert events(folder)[-1]["step"] == 30


def test_the_frozen_part_stays_to_the_bit(trained: Path) -> None:
    """Set-up ``last``: all but the last layer, batch statistics too."""
    before, after = weights(trained, "pretrain"), weights(trained)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"backbone.dense.weight", "backbone.dense.bias"}


@pytest.mark.parametrize("method", ["lcp", "ml_pn", "ovr"])
def test_set_ups_move_what_they_should(trained: Path, config: Config, tmp_path: Path, method: Method) -> None:
    begun = weights(trained)
    last, full = (
        weights(run(tmp_path, short(config, trained, method=method, trained=part))) for part in ("last", "full")
    )
    assert {name for name in begun if not torch.equal(begun[name], last[name])} == {
        "backbone.dense.weight",
        "backbone.dense.bias",
    } | {name for name in begun if name.startswith("tagger")}  # the start leaves the classifier behind
    assert not any(torch.equal(begun[name], full[name]) for name in begun if name.startswith("backbone"))


def test_from_scratch_nothing_is_trained_before_the_episodes(config: Config, tmp_path: Path) -> None:
    folder = run(tmp_path, short(config, trained="full"))
    assert [e["phase"] for e in events(folder) if e["event"] == "phase-started"] == ["episodic"]
    manifest = open_run(folder, "lc_protonets").manifest
    assert manifest.selection is not None
    assert manifest.selection.name == "macro_f1"


def test_without_episodes_the_least_loss_is_selected(config: Config, tmp_path: Path) -> None:
    folder = run(tmp_path, but(config, episodic=Episodic(epochs=0)))
    losses = [e["values"]["loss"] for e in events(folder) if e["event"] == "epoch"]  # pyright: ignore[reportIndexIssue]
    manifest = open_run(folder, "lc_protonets").manifest
    assert manifest.selection is not None
    assert (manifest.selection.name, manifest.selection.value) == ("minus_loss", -min(losses))
    assert manifest.checkpoint == "checkpoints/best-pretrain.safetensors"


def test_phases_keep_their_own_schedule(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, int]] = []
    factor = loop.factor

    def seen(done: int, total: int, schedule: loop.Schedule, warmup: int) -> float:
        used.append((schedule, total))
        return factor(done, total, schedule, warmup)

    monkeypatch.setattr(loop, "factor", seen)
    run(tmp_path, config)
    assert used == [("cosine", 18)] * 18 + [("constant", 12)] * 12


def test_scale_and_bias_are_trained_where_asked_for(config: Config, tmp_path: Path) -> None:
    found = weights(run(tmp_path, short(config, trained="last", learned_scale=True)))
    assert found["scale.scale"] != 1
    assert found["scale.bias"] != 0
    assert not any(name.startswith("scale") for name in weights(run(tmp_path, short(config))))


def test_it_learns(trained: Path) -> None:
    losses = [e["values"] for e in events(trained) if e["event"] == "epoch" and e["phase"] == "pretrain"]
    assert losses[-1]["loss"] < losses[0]["loss"]  # pyright: ignore[reportIndexIssue]


def test_the_test_split_chooses_nothing(
    trained: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lcp_train.load

    def upside_down(*args: object):
        corpus = whole(*args)  # pyright: ignore[reportArgumentType]
        test = corpus.splits["test"]
        other = test._replace(truth=~test.truth, inputs=test.inputs[::-1])
        return corpus._replace(splits={**corpus.splits, "test": other})

    monkeypatch.setattr(lcp_train, "load", upside_down)
    assert same(weights(run(tmp_path, config)), weights(trained))


def test_validation_is_macro_f1_over_episodes_of_tags_that_were_held_back(opened: Trained, config: Config) -> None:
    """Against the exhaustive rule and scikit-learn."""
    corpus, model = opened.corpus, opened.model
    dev = corpus.splits["dev"]
    held = rows(model, dev)
    selection = episode_selection(model, held, config, corpus.base)
    pool, tags = Pool(dev.truth, range(6, 10)), np.arange(6, 10)
    with torch.inference_mode():
        z = model.backbone(held.middle(torch.arange(len(dev.ids)))).numpy()
    truth, said = [], []
    for number in range(3):
        episode = test_episode(pool, shots=3, draws=Draws(number))
        combos = label_combinations(episode.support_sets)
        table = similarity_table(z[episode.query], prototypes(z[episode.support], episode.support_sets, combos))
        sizes = np.array([c.bit_count() for c in combos])
        best = [np.lexsort((-sizes, -row.round(9)))[0] for row in table]
        truth.append(dev.truth[np.ix_(episode.query, tags)])
        said.append(np.array([[combos[i] >> label & 1 for label in range(4)] for i in best]))
    expected = f1_score(np.concatenate(truth), np.concatenate(said), average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
    assert selection.measure()["macro_f1"] == pytest.approx(expected, abs=1e-6)
    assert selection.rows == sum(map(len, truth))


def test_validation_leaves_out_a_tag_that_no_held_item_carries(opened: Trained, config: Config) -> None:
    corpus, model = opened.corpus, opened.model
    dev = corpus.splits["dev"]
    blind, without = dev.truth.copy(), dev.truth.copy()
    blind[:, 6] = False
    without[:, 6:10] = False
    narrower = msgspec.structs.replace(config, data=Data(validation_tags=3))
    asked = [
        episode_selection(model, rows(model, dev._replace(truth=truth)), chosen, corpus.base).measure()["macro_f1"]
        for truth, chosen in ((blind, config), (dev.truth, narrower))
    ]
    assert asked[0] == asked[1]
    with pytest.raises(OperatorError, match="no held item carries any"):
        episode_selection(model, rows(model, dev._replace(truth=without)), config, corpus.base)


def test_the_validation_loss_is_the_mean_over_all_rows(opened: Trained) -> None:
    dev, model = opened.corpus.splits["dev"], opened.model
    held = rows(model, dev)
    with torch.inference_mode():
        p = model.tagger(model.backbone(held.middle(torch.arange(len(dev.ids))))).double().sigmoid().numpy()
    on = dev.truth[:, : opened.corpus.base]
    expected = -np.where(on, np.log(p), np.log(1 - p)).mean()
    values = tagging_selection(model, held).measure()
    assert values["loss"] == pytest.approx(expected, abs=1e-6)
    assert values["minus_loss"] == -values["loss"]


def test_several_episodes_make_one_step(config: Config, tmp_path: Path) -> None:
    folder = run(tmp_path, short(config, episodes_per_step=2))
    assert events(folder)[-1]["step"] == 2
    assert not same(weights(folder), weights(run(tmp_path, short(config))))


def test_a_last_window_by_itself_is_left_out(config: Config, tmp_path: Path) -> None:
    """240 clips in batches of 239: batch statistics need two."""
    alone = Pretrain(epochs=1, lr=1e-3, batch=239)
    folder = run(tmp_path, but(config, pretrain=alone, episodic=Episodic(epochs=0)))
    assert events(folder)[-1]["step"] == 1
    with pytest.raises(OperatorError, match=r"2 rows each; raise pretrain\.batch"):
        run(tmp_path, but(config, pretrain=Pretrain(batch=1)))


def test_set_ups_have_the_names_of_the_paper(config: Config) -> None:
    assert trained_in(config) == "last"
    assert trained_in(but(config, episodic=Episodic())) == "full"
    assert trained_in(but(config, episodic=Episodic(epochs=0))) == "pre"
    assert trained_in(but(config, pretrain=NOTHING)) == "scratch"
    assert trained_in(but(config, pretrain=NOTHING, start="run")) == "last"


def test_what_the_operator_must_mend(trained: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="both phases have 0 epochs"):
        run(tmp_path, but(config, pretrain=NOTHING, episodic=Episodic(epochs=0)))
    with pytest.raises(OperatorError, match="--data"):
        run(tmp_path, but(config, data=Data(name="rendered")))
    with pytest.raises(OperatorError, match=r"start: .* holds a network of another shape"):
        run(tmp_path, but(short(config, trained), model=Model(window=7_936, mels=32, channels=(8, 12, 15))))
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    manifest = open_run(trained, "lc_protonets").manifest
    (unfinished / "run.json").write_bytes(render(msgspec.structs.replace(manifest, status="running", checkpoint=None)))
    with pytest.raises(OperatorError, match=r"start: .* is not finished"):
        run(tmp_path, short(config, unfinished))
    with pytest.raises(OperatorError, match="not finished; `kithara train"):
        load_model(open_run(unfinished, "lc_protonets"))
    other = msgspec.structs.replace(manifest, data=(msgspec.structs.replace(manifest.data[0], sha256="1" * 64),))
    (unfinished / "run.json").write_bytes(render(other))
    for asked in (lambda: run(tmp_path, short(config, unfinished)), lambda: evaluate(run=unfinished, data=None)):
        with pytest.raises(OperatorError, match="not the file that run"):
            asked()
