"""What is claimed, as statements about pairs of conditions under one seed. F1 and recall are in points.

A statement about conditions that a data set does not have is not in the report.
"""

from collections.abc import Iterator

from common.claims.harness import Claim, value
from speech.medusa.experiments.arms import FULL, LATE, NO_ATTRIBUTES, NO_MIXUP, ONE_HOT, ONE_STAGE
from speech.medusa.experiments.conditions import (
    APART,
    BASELINE,
    BEST,
    HARD_VOTE,
    MACRO,
    META,
    OWN_ROWS,
    RARE,
    SINGLE,
    SOFT_VOTE,
)

POINTS = "points of macro-F1"
NOISE = 1.5
"""Points that a soup may differ from a single run (specification, section 10.9)."""
CLOSE = 1.0
"""Points within which a vote counts as no gain on the best member."""


def statements() -> Iterator[Claim]:
    """The paper's, those that the specification adds, and the comparison with the baseline."""
    yield from members()
    yield from ensembles()
    yield _apart("the ensemble beats statistics and a logistic regression", "not in the paper", META, BASELINE)
    yield _apart("one member beats statistics and a logistic regression", "not in the paper", FULL, BASELINE)


def members() -> Iterator[Claim]:
    """Table 2; the figures are means of four members' macro-F1."""
    yield _apart("deep fusion beats late fusion", "table 2: .421 against .396", FULL, LATE)
    yield _apart("soft targets beat one-hot targets", "table 2: .421 against .389", FULL, ONE_HOT)
    yield _apart("Manifold MixUp helps", "table 2: .421 against .409", FULL, NO_MIXUP)
    yield _apart("learning the attributes as well helps", "table 2: .421 against .412", FULL, NO_ATTRIBUTES)
    yield _apart("stage 2 helps at equal updates", "table 2: .421 against .416, updates not equal", FULL, ONE_STAGE)
    yield Claim(
        claim="stage 2 raises the recall of the rarer classes at equal updates",
        paper="specification, section 10.9",
        unit="points of mean recall of the rarer half of the classes",
        method=(FULL, value(RARE, 100)),
        control=(ONE_STAGE, value(RARE, 100)),
        control_name=ONE_STAGE,
    )


def ensembles() -> Iterator[Claim]:
    """Tables 1 and 3: 14 members."""
    yield _apart("the meta-classifier beats the soft vote", "table 3: .472 against .439", META, SOFT_VOTE)
    yield _apart("the meta-classifier beats the hard vote", "table 3: .472 against .439", META, HARD_VOTE)
    yield _apart("the meta-classifier beats the best member", "tables 1 and 3: .472 against .440", META, BEST)
    yield _apart(
        f"the soft vote gains less than {CLOSE:g} point on the best member",
        "tables 1 and 3: .439 against .440",
        BEST,
        SOFT_VOTE,
        -CLOSE,
    )
    yield _apart("a meta-classifier learnt from the members' own clips beats the soft vote",
                 "table 3: .472 against .439, learnt so", OWN_ROWS, SOFT_VOTE)  # fmt: skip
    yield _apart("answers out of fold teach the meta-classifier more than those to the members' own clips",
                 "specification, section 9: .850 against .818", META, OWN_ROWS)  # fmt: skip
    yield Claim(
        claim=f"the soup of six runs differs by less than {NOISE:g} points from a single run",
        paper="table 3: .472 against .471 (14 members), .445 against .468 (5)",
        unit=f"{POINTS}, less the distance",
        method=(META, lambda values: -100 * values[APART]),
        control=(SINGLE, lambda values: 0.0),
        control_name=SINGLE,
        threshold=-NOISE,
    )


def _apart(claim: str, paper: str, method: str, control: str, threshold: float = 0.0) -> Claim:
    figure = value(MACRO, 100)
    return Claim(claim, paper, POINTS, (method, figure), (control, figure), control, threshold)
