"""One step of each objective: supervised tagging, and episodes by LCP, ML-PN and One-vs-Rest (specification, 1.5-1.7,
1.10)."""

from itertools import takewhile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import OperatorError
from common.training.loop import LOSS
from contracts.music_fewshot import MAX_CLOSED_SETS
from music_fewshot.lc_protonets.closed import closed_sets, masks, membership
from music_fewshot.lc_protonets.config import Episodic
from music_fewshot.lc_protonets.data import Rows
from music_fewshot.lc_protonets.episodes import Draws, Episode, Pool, ovr_clusters, training_episode
from music_fewshot.lc_protonets.losses import closed_set_loss, cosine, label_loss, prototypes, weights
from music_fewshot.lc_protonets.model import Embedder


def tagging_loss(model: Embedder, pictures: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of the base tags, the first of ``truth``."""
    logits = model.tagger(model.backbone(pictures))
    return F.binary_cross_entropy_with_logits(logits, truth[:, : logits.shape[1]].to(logits.dtype))


def tagging_step(model: Embedder, learnt: Rows, batch: Tensor) -> dict[str, Tensor]:
    """Random windows of the rows in ``batch``; the generator is torch's own, which a checkpoint holds."""
    starts = torch.randint(learnt.starts, (len(batch),))
    return {LOSS: tagging_loss(model, learnt.cut(batch, starts), learnt.truth[batch])}


class EpisodeStep:
    """Callable with episode numbers: draws, windows and loss are functions of (seed, number) and the weights."""

    def __init__(self, model: Embedder, learnt: Rows, pool: Pool, options: Episodic, seed: int) -> None:
        self.model, self.learnt, self.pool, self.options, self.seed = model, learnt, pool, options, seed

    def __call__(self, numbers: Tensor) -> dict[str, Tensor]:
        return {LOSS: torch.stack([self.loss(number) for number in numbers.tolist()]).mean()}

    def loss(self, number: int) -> Tensor:
        """Of one episode. Raises OperatorError when the pool holds none."""
        draws = Draws(self.seed << 31 | number)
        windows = np.random.default_rng((self.seed, number))
        o = self.options
        if o.method == "ovr":
            return self._one_vs_rest(draws, windows)
        episode = training_episode(self.pool, ways=o.ways, shots=o.shots, queries=o.queries, draws=draws)
        support, query = self._embed(np.concatenate([episode.support, episode.query]), windows).split(
            [len(episode.support), len(episode.query)]
        )
        loss = self._combinations if o.method == "lcp" else self._labels
        return loss(episode, support, query)

    def _combinations(self, episode: Episode, support: Tensor, query: Tensor) -> Tensor:
        sets = closed_sets(episode.support_sets, MAX_CLOSED_SETS)
        member = torch.from_numpy(membership(sets, episode.support_sets)).to(support.device)
        logits = self.model.scale(cosine(query, prototypes(support, member)))
        return closed_set_loss(logits, weights(sets, masks(episode.query_labels)))

    def _labels(self, episode: Episode, support: Tensor, query: Tensor) -> Tensor:
        member, truth = (
            torch.from_numpy(x).to(support.device) for x in (episode.support_labels.T, episode.query_labels)
        )
        return label_loss(self.model.scale(cosine(query, prototypes(support, member))), truth)

    def _one_vs_rest(self, draws: Draws, windows: np.random.Generator) -> Tensor:
        """The mean over the clusters of one query. (The released code makes a step of each.)"""
        found = ovr_clusters(self.pool, ways=self.options.ways, shots=self.options.shots, draws=draws)
        first = next(found, None)
        if first is None:
            raise OperatorError("no item leaves enough other tags for One-vs-Rest; lower episodic.ways or shots")
        clusters = [first, *takewhile(lambda cluster: cluster.query == first.query, found)]
        rows = np.concatenate([[first.query], *(cluster.support.ravel() for cluster in clusters)])
        query, support = self._embed(rows, windows).split([1, len(rows) - 1])
        ways, shots = first.support.shape
        means = support.view(len(clusters), ways, shots, -1).mean(2)
        logits = self.model.scale(cosine(query, means.flatten(0, 1)))
        targets = torch.tensor([cluster.target for cluster in clusters], device=logits.device)
        return label_loss(logits.view(len(clusters), ways), F.one_hot(targets, ways).bool())

    def _embed(self, rows: np.ndarray, windows: np.random.Generator) -> Tensor:
        """A random window of each row. Where the last layer alone is trained, nothing else may move: batch norm, which
        the released code leaves in train mode, is in eval mode here."""
        starts = torch.from_numpy(windows.integers(self.learnt.starts, size=len(rows)))
        pictures = self.learnt.cut(torch.from_numpy(rows), starts)
        if self.options.trained == "full":
            return self.model.backbone(pictures)
        self.model.backbone.eval()
        with torch.no_grad():
            features = self.model.backbone.features(pictures)
        return self.model.backbone.dense(features)
