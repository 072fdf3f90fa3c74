"""Stages 3 and 4: one linear map from all members' answers to one, averaged over runs (sections 2.6 and 2.7)."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speech.medusa.calibrate import temperature
from speech.medusa.config import ATTRIBUTES, HIGH, LOW, MetaStage, Weights
from speech.medusa.losses import attribute_error, soft_cross_entropy, total
from speech.medusa.sampling import BalancedSampler

LEAST = 1e-7
"""Probability below which the logarithm of a vote is cut."""


def answers(said: Sequence[tuple[Tensor, Tensor]], attributes: bool) -> Float[Tensor, "batch members answers"]:
    """From each member's logits (batch, classes) and attributes (batch, 3): softmax(logits) and, where they are
    learnt, the attributes moved to 0..1.

    (The published input has the attributes as they are; a linear map makes no difference between the two, but a
    learning rate and a decay do.)
    """
    parts = [
        torch.cat([logits.softmax(1), *([(judged - LOW) / (HIGH - LOW)] if attributes else [])], 1)
        for logits, judged in said
    ]
    return torch.stack(parts, 1)


class Vote(nn.Module):
    """Soft vote: the mean of the members' answers. Its logits are the logarithms of the mean probabilities."""

    def __init__(self, members: int, classes: int, judged: bool) -> None:
        super().__init__()
        self.members, self.classes, self.judged = members, classes, judged

    def forward(self, said: Float[Tensor, "batch members answers"]) -> tuple[Tensor, Tensor | None]:
        """Logits (batch, classes), and attributes (batch, 3) where they were learnt."""
        mean = said.mean(1)
        logits = mean[:, : self.classes].clamp(min=LEAST).log()
        return logits, (LOW + (HIGH - LOW) * mean[:, self.classes :] if self.judged else None)


class LinearMeta(nn.Module):
    """One linear map, no activation: logits may be negative. 11 inputs for each member of eight classes (2.7)."""

    def __init__(self, members: int, classes: int, judged: bool) -> None:
        super().__init__()
        self.members, self.classes, self.judged = members, classes, judged
        each = classes + len(ATTRIBUTES) * judged
        self.linear = nn.Linear(members * each, each)

    def forward(self, said: Float[Tensor, "batch members answers"]) -> tuple[Tensor, Tensor | None]:
        """Logits (batch, classes), and attributes (batch, 3) in 1..7 where they were learnt."""
        raw = self.linear(said.flatten(1))
        attributes = LOW + (HIGH - LOW) * raw[:, self.classes :] if self.judged else None
        # The map knows no scale; outside training an answer keeps to it.
        return raw[:, : self.classes], attributes if self.training or attributes is None else attributes.clamp(
            LOW, HIGH
        )

    @torch.no_grad()
    def start_at_vote(self, scale: float) -> None:
        """logits = scale * mean probability, attributes = mean attribute: the soft vote's answers."""
        each = self.linear.out_features
        eye = torch.eye(each) / self.members
        eye[: self.classes] *= scale
        self.linear.weight.copy_(eye.repeat(1, self.members))
        self.linear.bias.zero_()


META = {"linear": LinearMeta, "none": Vote}


def fit_runs(
    said: Float[Tensor, "rows members answers"],
    targets: Float[Tensor, "rows classes"],
    attributes: Float[Tensor, "rows 3"],
    consensus: Tensor,
    *,
    config: MetaStage,
    weights: Weights,
    judged: bool,
    seed: int,
) -> list[dict[str, Tensor]]:
    """The weights of ``config.runs`` runs from one start: soft targets, balanced subsets, no MixUp."""
    rows, members, _ = said.shape
    start = LinearMeta(members, targets.shape[1], judged)
    begin(start, said, targets, config, seed)
    found = []
    for number in range(config.runs):
        meta = LinearMeta(members, targets.shape[1], judged)
        meta.load_state_dict(start.state_dict())
        sampler = BalancedSampler(targets, consensus, min(config.batch, rows), (seed + number) % 2**31)
        fit(meta, said, targets, attributes, sampler, config, weights)
        found.append({name: value.detach().clone() for name, value in meta.state_dict().items()})
    return found


def begin(
    meta: LinearMeta, said: Float[Tensor, "rows members answers"], targets: Tensor, config: MetaStage, seed: int
) -> None:
    """The start that all runs share: the soft vote at its best scale, or small random weights."""
    if config.start == "vote":
        mean = said[..., : meta.classes].mean(1)
        meta.start_at_vote(1 / temperature(mean.numpy(), targets.numpy()))
        return
    generator = torch.Generator().manual_seed(seed)
    for parameter in meta.parameters():
        with torch.no_grad():
            parameter.uniform_(-1, 1, generator=generator).mul_(meta.linear.in_features**-0.5)


def fit(
    meta: LinearMeta,
    said: Float[Tensor, "rows members answers"],
    targets: Float[Tensor, "rows classes"],
    attributes: Float[Tensor, "rows 3"],
    sampler: BalancedSampler,
    config: MetaStage,
    weights: Weights,
) -> int:
    """One run; returns its steps, one for each batch."""
    pull = [p.detach().clone() if config.start == "vote" else torch.zeros_like(p) for p in meta.parameters()]
    optimizer = torch.optim.Adam(meta.parameters(), lr=config.lr)
    meta.train()
    steps = 0
    for epoch in range(config.epochs):
        for rows in sampler.batches(epoch):
            logits, judged = meta(said[rows])
            wrong = attribute_error(judged, attributes[rows]) if judged is not None else None
            loss = total(soft_cross_entropy(logits, targets[rows]), wrong, weights)
            apart = sum(F.mse_loss(p, start, reduction="sum") for p, start in zip(meta.parameters(), pull, strict=True))
            optimizer.zero_grad(set_to_none=True)
            (loss + config.decay * apart).backward()
            optimizer.step()
            steps += 1
    meta.eval()
    return steps


def soup(runs: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The arithmetic mean of the weights. It means something because the runs share their start and the loss is
    convex in them."""
    kept = list(runs)
    return {name: torch.stack([weights[name] for weights in kept]).mean(0) for name in kept[0]}
