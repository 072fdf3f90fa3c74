"""What selects checkpoints: the loss on the base tags, then macro-F1 over episodes of base tags that were held back."""

import numpy as np
import torch

from common.errors import OperatorError
from common.training.loop import Selection
from contracts.music_fewshot import Decision
from music_fewshot.lc_protonets.config import Config, Method
from music_fewshot.lc_protonets.data import Rows
from music_fewshot.lc_protonets.episodes import Draws, Episode, Pool, test_episode
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.metrics import f1
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.lc_protonets.rules import decide
from music_fewshot.lc_protonets.steps import tagging_loss

CHUNK = 64
"""Windows per forward pass when nothing is learnt."""


def tagging_selection(model: Embedder, held: Rows) -> Selection:
    """Least loss, as in the published recipe; the window is the middle one."""

    def measure() -> dict[str, float]:
        everyone = torch.arange(len(held.truth))
        with torch.inference_mode():
            losses = [
                float(tagging_loss(model, held.middle(part), held.truth[part])) * len(part)
                for part in everyone.split(CHUNK)
            ]
        loss = sum(losses) / len(everyone)
        return {"minus_loss": -loss, "loss": loss}

    return Selection(measure, "minus_loss", len(held.truth))


def episode_selection(model: Embedder, held: Rows, config: Config, base: int) -> Selection:
    """Macro-F1 of the method's own rule on the last base tags, all episodes scored as one table (section 1.7).

    A tag that no held item carries cannot be asked for and is left out. Raises OperatorError where that leaves none.
    """
    truth = held.truth.cpu().numpy()
    tags = [tag for tag in range(base - config.data.validation_tags, base) if truth[:, tag].any()]
    if not tags:
        raise OperatorError("no held item carries any of the validation tags; raise data.validation_tags")
    pool = Pool(truth, tags)
    options = config.episodic
    episodes = [
        test_episode(pool, shots=options.shots, draws=Draws(number)) for number in range(options.validation_episodes)
    ]
    decision = own_rule(options.method)

    def measure() -> dict[str, float]:
        with torch.inference_mode():
            parts = torch.from_numpy(pool.rows).split(CHUNK)
            known = torch.cat([model.backbone(held.middle(part)) for part in parts]).cpu().numpy()
        embeddings = np.zeros((len(held.truth), known.shape[1]), np.float32)
        embeddings[pool.rows] = known
        said = [_told(embeddings, episode, decision) for episode in episodes]
        score = f1(np.concatenate([episode.query_labels for episode in episodes]), np.concatenate(said))
        return {"macro_f1": score.macro, "micro_f1": score.micro, "predicted": score.predicted}

    return Selection(measure, "macro_f1", sum(len(episode.query) for episode in episodes))


def own_rule(method: Method) -> Decision:
    """How the paper predicts with a network of this training."""
    return Decision(rule="lcp" if method == "lcp" else "ml_pn")


def _told(embeddings: np.ndarray, episode: Episode, decision: Decision) -> np.ndarray:
    index = TagIndex.build(embeddings[episode.support], episode.support_sets, len(episode.labels))
    return decide(index, embeddings[episode.query], decision).chosen
