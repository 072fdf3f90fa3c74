"""The meta-classifier and its soup (sections 2.6, 2.7, 4.2, 4.3, 9.1, 10.7)."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from speech.medusa import meta
from speech.medusa.config import MetaStage, Weights
from speech.medusa.meta import LinearMeta, Vote
from speech.medusa.sampling import BalancedSampler

CLASSES, MEMBERS, ROWS = 8, 3, 200


class Case:
    """Members that are right with different, class-dependent rates."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(CLASSES, (ROWS,), generator=generator)
        noise = torch.randn(MEMBERS, ROWS, CLASSES, generator=generator)
        skew = torch.randn(MEMBERS, 1, CLASSES, generator=generator)
        self.said = [
            (2 * F.one_hot(self.labels, CLASSES) + n + s, 1 + 6 * torch.rand(ROWS, 3, generator=generator))
            for n, s in zip(noise, skew, strict=True)
        ]
        self.targets = 0.8 * F.one_hot(self.labels, CLASSES) + 0.2 / CLASSES
        self.attributes = torch.stack([a for _, a in self.said]).mean(0)
        self.consensus = torch.ones(ROWS, dtype=torch.bool)

    def runs(self, config: MetaStage, *, judged: bool = True, seed: int = 0) -> list[dict[str, torch.Tensor]]:
        return meta.fit_runs(
            meta.answers(self.said, judged), self.targets, self.attributes, self.consensus,
            config=config, weights=Weights(), judged=judged, seed=seed,
        )  # fmt: skip


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_eleven_inputs_a_member_and_one_linear_map() -> None:
    """Sections 2.7 and 4.2: 14 members of eight classes have 154 inputs; no ReLU, logits may be negative."""
    wide = LinearMeta(14, 8, True)
    assert (wide.linear.in_features, wide.linear.out_features) == (154, 11)
    assert [type(part) for part in wide.children()] == [torch.nn.Linear]
    a, b = torch.randn(2, 5, 14, 11)
    wide.train()
    mixed = wide(0.3 * a + 0.7 * b)[0]
    torch.testing.assert_close(mixed, 0.3 * wide(a)[0] + 0.7 * wide(b)[0], atol=1e-5, rtol=1e-5)
    assert float(mixed.detach().min()) < 0


def test_inputs_are_probabilities_and_attributes(case: Case) -> None:
    found = meta.answers(case.said, True)
    assert found.shape == (ROWS, MEMBERS, 11)
    torch.testing.assert_close(found[..., :8].sum(2), torch.ones(ROWS, MEMBERS))
    logits, attributes = case.said[1]
    torch.testing.assert_close(found[:, 1, :8], logits.exp() / logits.exp().sum(1, keepdim=True))
    torch.testing.assert_close(found[:, 1, 8:], (attributes - 1) / 6)
    assert meta.answers(case.said, False).shape == (ROWS, MEMBERS, 8)
    large = meta.answers([(torch.tensor([[1e4, 0.0]]), torch.ones(1, 3))], False)
    assert large[0, 0].tolist() == [1.0, 0.0]  # section 4.9: softmax without a maximum taken off overflows


def test_no_training_is_the_soft_vote(case: Case) -> None:
    given = meta.answers(case.said, True)
    logits, attributes = Vote(MEMBERS, CLASSES, True)(given)
    mean = np.mean([torch.softmax(one, 1).numpy() for one, _ in case.said], axis=0)
    np.testing.assert_allclose(logits.softmax(1), mean, atol=1e-6)
    torch.testing.assert_close(attributes, case.attributes)
    start = LinearMeta(MEMBERS, CLASSES, True).eval()
    meta.begin(start, given, case.targets, MetaStage(start="vote"), 0)
    begun, judged = start(given)
    assert begun.argmax(1).tolist() == mean.argmax(1).tolist()
    torch.testing.assert_close(judged, case.attributes)


def test_the_soup_is_the_mean_of_the_weights_of_runs_from_one_start(case: Case) -> None:
    runs = case.runs(MetaStage(epochs=2, runs=3))
    mean = meta.soup(runs)
    for name in mean:
        assert torch.equal(mean[name], torch.stack([run[name] for run in runs]).mean(0))
    assert not torch.equal(runs[0]["linear.weight"], runs[1]["linear.weight"])
    for start in ("vote", "random"):
        none = case.runs(MetaStage(epochs=1, lr=1e-12, runs=3, start=start))
        torch.testing.assert_close(none[0], none[2], atol=1e-6, rtol=0)


def test_it_learns_which_member_to_believe(case: Case) -> None:
    learnt = LinearMeta(MEMBERS, CLASSES, True).eval()
    learnt.load_state_dict(meta.soup(case.runs(MetaStage(epochs=60, lr=1e-2, decay=1e-3))))
    given = meta.answers(case.said, True)
    vote = Vote(MEMBERS, CLASSES, True)(given)[0]
    ours, theirs = (F.cross_entropy(logits, case.targets) for logits in (learnt(given)[0], vote))
    assert ours < theirs - 0.1
    accuracy = [(logits.argmax(1) == case.labels).float().mean() for logits in (learnt(given)[0], vote)]
    assert accuracy[0] > accuracy[1]


def test_soft_labels_are_learnt_as_they_are(case: Case) -> None:
    """Section 4.3: the gradient at the start is that of the soft targets, not of their largest entries."""
    given, config = meta.answers(case.said, False), MetaStage(epochs=1, batch=400, lr=1e-3, decay=0.0)
    learnt = LinearMeta(MEMBERS, CLASSES, False)
    meta.begin(learnt, given, case.targets, config, 0)
    before = learnt.linear.bias.detach().clone()
    sampler = BalancedSampler(case.targets, case.consensus, 400, 0)
    rows = sampler.subset(0)
    p = learnt(given[rows])[0].detach().softmax(1)
    gradient = (p - case.targets[rows]).mean(0)
    assert meta.fit(learnt, given, case.targets, case.attributes, sampler, config, Weights()) == 1
    # The first step of Adam moves every weight by lr against the sign of its gradient.
    torch.testing.assert_close(before - learnt.linear.bias.detach(), 1e-3 * gradient.sign(), atol=1e-6, rtol=0)


def test_every_batch_is_a_step(case: Case) -> None:
    """Section 4.1."""
    given = meta.answers(case.said, True)
    sampler = BalancedSampler(case.targets, case.consensus, 16, 0)
    learnt = LinearMeta(MEMBERS, CLASSES, True)
    steps = meta.fit(learnt, given, case.targets, case.attributes, sampler, MetaStage(epochs=3), Weights())
    assert steps == 3 * -(-sampler.size // 16)


@pytest.mark.parametrize("start", ["vote", "random"])
def test_a_strong_decay_keeps_it_where_it_is_pulled_to(case: Case, start: str) -> None:
    found = case.runs(MetaStage(start=start, decay=1e4, lr=1e-2, epochs=100, runs=1))[0]["linear.weight"]  # pyright: ignore[reportArgumentType]
    vote = LinearMeta(MEMBERS, CLASSES, True)
    meta.begin(vote, meta.answers(case.said, True), case.targets, MetaStage(start="vote"), 0)
    wanted = vote.linear.weight.detach() if start == "vote" else torch.zeros_like(found)
    assert float((found - wanted).abs().max()) < 0.05


def test_answers_keep_to_the_scale_outside_training() -> None:
    wild = LinearMeta(1, 2, True)
    with torch.no_grad():
        wild.linear.weight.fill_(50.0)
    given = torch.tensor([[[0.5, 0.5, 1.0, 1.0, 1.0]]])
    assert wild.eval()(given)[1].tolist() == [[7.0, 7.0, 7.0]]
    assert float(wild.train()(given)[1].detach().max()) > 7


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(case: Case) -> None:
    config = MetaStage(epochs=2, runs=2, start="random")
    first = case.runs(config)
    torch.rand(9)
    again, other = case.runs(config), case.runs(config, seed=5)
    assert all(torch.equal(a[n], b[n]) for a, b in zip(first, again, strict=True) for n in a)
    assert not torch.equal(first[0]["linear.weight"], other[0]["linear.weight"])
