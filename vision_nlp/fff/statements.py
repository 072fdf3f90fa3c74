"""What is claimed of one tree shape, as statements about pairs of arms. Accuracies are in points."""

from collections.abc import Iterator

from common.claims.harness import Claim, value
from vision_nlp.fff.config import Model

PLAIN, BALANCED, MASTER, TUNED = "FFF", "LB", "LB+master", "LB+master+hard tune"
EQUAL_MAC = "dense_equal_mac"
"""A tuned tree's figure: test accuracy, under the same seed, of the dense network of equal inference cost."""
POINTS = "points of test accuracy"
HARDENED = 0.10
"""Mean node entropy (nats) below which arXiv 2308.14711 calls a network hardened enough."""
LIFT = {(8, 4): 5.0, (1, 5): 15.0}
"""By leaf width and depth: points that hard fine-tuning must bring, not only more than none."""
SHALLOW = 2
"""Up to this depth load balancing is said to give every leaf ``LEAST`` of the traffic."""
LEAST = 1.0
"""Percent."""

test_hard, test_soft = value("test_hard", 100), value("test_soft", 100)
train_hard, train_soft = value("train_hard", 100), value("train_soft", 100)


def label(shape: Model) -> str:
    """As the papers write a shape: (leaf width, depth)."""
    return f"({shape.leaf_width},{shape.depth})"


def arm(shape: Model, variant: str) -> str:
    """The name of a tree's condition."""
    return f"{label(shape)} {variant}"


def dense(width: int) -> str:
    """The name of the condition of a dense network."""
    return f"dense {width}"


def shape_claims(shape: Model) -> Iterator[Claim]:
    """All of them, the papers' first."""
    yield from _paper(shape)
    yield from _leaves(shape)
    yield from _hardening(shape)
    width = shape.leaf_width << shape.depth
    yield Claim(
        claim=f"{label(shape)}: beats a dense network of equal inference cost",
        paper="the decisive control",
        unit=POINTS,
        method=(arm(shape, TUNED), test_hard),
        control=(arm(shape, TUNED), value(EQUAL_MAC, 100)),
        control_name="dense, equal inference MAC",
    )
    yield Claim(
        claim=f"{label(shape)}: loses less than 1 point to a dense network of equal training width",
        paper="2308.14711, table 1",
        unit=POINTS,
        method=(arm(shape, TUNED), test_hard),
        control=(dense(width), test_hard),
        control_name=f"dense, equal training width ({width})",
        threshold=-1.0,
    )


def _paper(shape: Model) -> Iterator[Claim]:
    yield _accuracy(shape, "load balancing raises accuracy", "2405.16836, up to +3.0", BALANCED, PLAIN)
    yield _accuracy(shape, "a master leaf raises it further", "2405.16836, released models", MASTER, BALANCED)
    for how, figure in (("soft, as the released code measures it", train_soft), ("hard, as served", train_hard)):
        yield Claim(
            claim=f"{label(shape)}: training accuracy ({how}) rises over FFF (hard)",
            paper="2405.16836, up to +16.3",
            unit="points of training accuracy",
            method=(arm(shape, MASTER), figure),
            control=(arm(shape, PLAIN), train_hard),
            control_name=PLAIN,
        )


def _leaves(shape: Model) -> Iterator[Claim]:
    logs = "2405.16836, ablation logs: 2-4 of 8 leaves without"
    yield Claim(
        claim=f"{label(shape)}: load balancing brings more leaves into use",
        paper=logs,
        unit="points of leaves used",
        method=(arm(shape, BALANCED), value("leaves_used", 100)),
        control=(arm(shape, PLAIN), value("leaves_used", 100)),
        control_name=PLAIN,
    )
    yield Claim(
        claim=f"{label(shape)}: without load balancing some leaf is never reached",
        paper=logs,
        unit="points of leaves unused",
        method=(arm(shape, PLAIN), lambda values: 100 * (1 - values["leaves_used"])),
        control=(arm(shape, PLAIN), lambda values: 0.0),
        control_name="no leaf unused",
    )
    if shape.depth <= SHALLOW:
        yield Claim(
            claim=f"{label(shape)}: with load balancing every leaf gets over {LEAST:g} % of the traffic",
            paper="2405.16836, section 3",
            unit="points of traffic",
            method=(arm(shape, BALANCED), value("leaf_least", 100)),
            control=(arm(shape, BALANCED), lambda values: 0.0),
            control_name="no traffic",
            threshold=LEAST,
        )


def _hardening(shape: Model) -> Iterator[Claim]:
    yield Claim(
        claim=f"{label(shape)}: node entropy below {HARDENED} means hardening costs less than 1 point",
        paper="2308.14711, section on hardening",
        unit=POINTS,
        method=(arm(shape, PLAIN), test_hard),
        control=(arm(shape, PLAIN), test_soft),
        control_name="the same network, soft",
        threshold=-1.0,
        where=lambda values: values["node_entropy"] < HARDENED,
    )
    least = LIFT.get((shape.leaf_width, shape.depth), 0.0)
    by = f" by {least:g} points" if least else ""
    ours = "ours, in no paper"
    yield _accuracy(shape, f"hard fine-tuning at equal epochs raises accuracy{by}", ours, TUNED, MASTER, least)
    yield Claim(
        claim=f"{label(shape)}: hard fine-tuning at equal epochs closes more than half of the soft-hard gap",
        paper=ours,
        unit=POINTS,
        method=(arm(shape, TUNED), test_hard),
        control=(arm(shape, MASTER), lambda values: (test_hard(values) + test_soft(values)) / 2),
        control_name="midway between hard and soft of the two-phase recipe",
    )


def _accuracy(shape: Model, claim: str, paper: str, method: str, control: str, threshold: float = 0.0) -> Claim:
    pair = ((arm(shape, method), test_hard), (arm(shape, control), test_hard))
    return Claim(f"{label(shape)}: {claim}", paper, POINTS, *pair, control, threshold)
