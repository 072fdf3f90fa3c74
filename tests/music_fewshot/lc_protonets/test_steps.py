"""Losses of whole steps against loops that follow the paper."""

from itertools import groupby

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import OperatorError
from music_fewshot.lc_protonets.config import Episodic, Method, Model
from music_fewshot.lc_protonets.data import Rows
from music_fewshot.lc_protonets.episodes import Draws, Pool, ovr_clusters, training_episode
from music_fewshot.lc_protonets.exhaustive import label_combinations
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.lc_protonets.steps import EpisodeStep, tagging_step

SEED = 5


@pytest.fixture
def model() -> Embedder:
    torch.manual_seed(1)
    return Embedder("features", (6,), 5, Model(channels=(8,), dimensions=4, dropout=0.0), learned_scale=False).eval()


@pytest.fixture
def learnt() -> Rows:
    rng = np.random.default_rng(0)
    truth = rng.random((60, 9)) < 0.35
    return Rows(torch.from_numpy(rng.standard_normal((60, 6)).astype(np.float32)), torch.from_numpy(truth), 6)


def step(model: Embedder, learnt: Rows, method: Method, **options: object) -> EpisodeStep:
    chosen = Episodic(method=method, ways=4, shots=2, queries=2, **options)  # pyright: ignore[reportArgumentType]
    return EpisodeStep(model, learnt, Pool(learnt.truth.numpy(), range(7)), chosen, SEED)


def cos(q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(q, p, dim=0)


def bce(pairs: list[tuple[torch.Tensor, bool]]) -> float:
    logits, truth = torch.stack([z for z, _ in pairs]), torch.tensor([float(t) for _, t in pairs])
    return F.binary_cross_entropy_with_logits(logits, truth).item()


@pytest.mark.parametrize("number", [0, 7, 300])
def test_lcp_is_the_cross_entropy_over_label_combinations(model: Embedder, learnt: Rows, number: int) -> None:
    pool = Pool(learnt.truth.numpy(), range(7))
    episode = training_episode(pool, ways=4, shots=2, queries=2, draws=Draws(SEED * 2**31 + number))
    z = model(learnt.pictures)
    pairs = []
    for c in label_combinations(episode.support_sets):
        labels = [i for i in range(4) if c >> i & 1]
        mean = z[episode.support[episode.support_labels[:, labels].all(1)]].mean(0)
        pairs += [
            (cos(z[row], mean), bool(on[labels].all()))
            for row, on in zip(episode.query, episode.query_labels, strict=True)
        ]
    assert step(model, learnt, "lcp").loss(number).item() == pytest.approx(bce(pairs), abs=1e-6)


def test_ml_pn_is_the_cross_entropy_over_labels(model: Embedder, learnt: Rows) -> None:
    pool = Pool(learnt.truth.numpy(), range(7))
    episode = training_episode(pool, ways=4, shots=2, queries=2, draws=Draws(SEED * 2**31 + 2))
    z, truth = model(learnt.pictures), learnt.truth.numpy()
    pairs = [
        (cos(z[row], z[episode.support[truth[episode.support, tag]]].mean(0)), bool(truth[row, tag]))
        for tag in episode.labels
        for row in episode.query
    ]
    assert step(model, learnt, "ml_pn").loss(2).item() == pytest.approx(bce(pairs), abs=1e-6)


def test_one_vs_rest_takes_every_cluster_of_one_query(model: Embedder, learnt: Rows) -> None:
    pool = Pool(learnt.truth.numpy(), range(7))
    clusters = ovr_clusters(pool, ways=4, shots=2, draws=Draws(SEED * 2**31 + 4))
    _, group = next(groupby(clusters, key=lambda cluster: cluster.query))
    z, truth, losses, seen = model(learnt.pictures), learnt.truth.numpy(), [], []
    for cluster in group:
        on = truth[cluster.query, cluster.labels]
        assert on.sum() == 1  # one label of the query against three that it lacks
        means = [z[support].mean(0) for support in cluster.support]
        losses.append(bce([(cos(z[cluster.query], mean), bool(t)) for mean, t in zip(means, on, strict=True)]))
        seen.append(int(cluster.labels[on][0]))
    assert len(set(seen)) == len(seen)
    assert step(model, learnt, "ovr").loss(4).item() == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.parametrize("method", ["lcp", "ml_pn", "ovr"])
def test_a_step_is_the_mean_of_its_episodes_and_a_function_of_their_numbers(
    model: Embedder, learnt: Rows, method: Method
) -> None:
    whole = step(model, learnt, method)
    each = [whole.loss(number).item() for number in (3, 4, 5)]
    assert len(set(each)) == 3
    torch.rand(3)
    np.random.default_rng().random()
    assert step(model, learnt, method)(torch.tensor([3, 4, 5]))["loss"].item() == pytest.approx(np.mean(each), abs=1e-6)


def test_windows_hang_on_the_number_too(model: Embedder, learnt: Rows) -> None:
    """Two inputs side by side: a window of one of them begins at one of seven places."""
    wide = Rows(torch.cat([learnt.pictures, learnt.pictures.flip(0)], 1), learnt.truth, 6)
    first = [step(model, wide, "lcp").loss(n).item() for n in range(4)]
    assert first == [step(model, wide, "lcp").loss(n).item() for n in range(4)]
    assert first != [step(model, learnt, "lcp").loss(n).item() for n in range(4)]


@pytest.mark.parametrize("method", ["lcp", "ml_pn", "ovr"])
def test_the_last_layer_alone_gets_gradients(model: Embedder, learnt: Rows, method: Method) -> None:
    model.train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    step(model, learnt, method, trained="last")(torch.tensor([1]))["loss"].backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        "backbone.dense.weight",
        "backbone.dense.bias",
    }
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    step(model.train(), learnt, method)(torch.tensor([1]))["loss"].backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert any(not torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_too_few_other_tags_for_one_vs_rest_is_told(model: Embedder, learnt: Rows) -> None:
    everything = Rows(learnt.pictures, torch.ones_like(learnt.truth), 6)
    with pytest.raises(OperatorError, match=r"lower episodic\.ways"):
        step(model, everything, "ovr").loss(0)


def test_tagging_asks_for_the_base_tags_only(model: Embedder, learnt: Rows) -> None:
    batch = torch.tensor([4, 9, 30])
    logits = model.tagger(model(learnt.pictures[batch]))
    assert logits.shape == (3, 5)
    expected = F.binary_cross_entropy_with_logits(logits, learnt.truth[batch, :5].float())
    torch.testing.assert_close(tagging_step(model, learnt, batch)["loss"], expected)
