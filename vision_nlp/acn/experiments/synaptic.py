"""Synaptic Intelligence (arXiv 1703.04200): weights that mattered for earlier tasks are held near their old values."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vision_nlp.acn.experiments.learning import Hooks

DAMPING = 1e-3
"""xi of eq. 5; arXiv 2506.09714 gives none. In trainings as short as ours, 0.1 holds nothing and 1e-7 everything."""


class SynapticIntelligence:
    """Adds the penalty's gradient between backward and step, and keeps account of what each weight contributed."""

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float) -> None:
        """``strength`` is c of eq. 4 (lambda in arXiv 2506.09714)."""
        self._parameters, self._strength = list(parameters), strength
        self.importance = [torch.zeros_like(p) for p in self._parameters]
        """Omega, of all tasks consolidated."""
        self._path = [torch.zeros_like(p) for p in self._parameters]
        self._anchor = self._now()
        self._before, self._gradient = self._now(), self._path

    @property
    def hooks(self) -> Hooks:
        return Hooks(gradients=self._gradients, stepped=self._stepped)

    def penalty(self) -> float:
        """c sum_k Omega_k (theta_k - theta*_k)^2 (eq. 4), now."""
        return self._strength * sum(
            float((o * (p.detach() - a) ** 2).sum())
            for o, p, a in zip(self.importance, self._parameters, self._anchor, strict=True)
        )

    def consolidate(self) -> None:
        """A task is over: its path integral becomes importance, its weights the new anchor."""
        for o, w, p, a in zip(self.importance, self._path, self._parameters, self._anchor, strict=True):
            # Eq. 5; a negative path integral, of a weight that moved uphill, holds nothing.
            o += w.clamp(min=0) / ((p.detach() - a) ** 2 + DAMPING)
            w.zero_()
        self._anchor = self._now()

    def _gradients(self) -> None:
        """The task's own gradient is remembered, before the penalty's is added."""
        self._before = self._now()
        self._gradient = [_gradient(p).clone() for p in self._parameters]
        for p, o, a in zip(self._parameters, self.importance, self._anchor, strict=True):
            p.grad = _gradient(p) + 2 * self._strength * o * (p.detach() - a)

    def _stepped(self) -> None:
        for w, g, p, b in zip(self._path, self._gradient, self._parameters, self._before, strict=True):
            # Eq. 3: omega += -gradient * movement
            w -= g * (p.detach() - b)

    def _now(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._parameters]


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
