"""What the two papers and the specification claim, as differences between figures of ``trials`` and ``facts``."""

from collections.abc import Iterator, Mapping

from common.claims.harness import Claim, Figure, value

PULL, AGGREGATION = "2403.17125, abstract", "2410.13776, abstract"
SPEC_A, SPEC_H, SPEC_K = (f"specification, check {check}" for check in "AHK")
ARTEFACT, NOISE, OURS = "specification 8.1", "specification 8.3", "ours, in no paper"
F1, KAPPA = "points of micro-F1", "points of kappa"
SMALL, MEDIUM, LARGE = "respondent small", "respondent medium", "respondent large"
NOISES, KAPPA0, KAPPA1 = "equal pull, two noises", "aggregation, kappa 0", "aggregation, kappa 1"
TOLD0, TOLD1, GROUP = "reinforcement, kappa 0", "reinforcement, kappa 1", "prior of the control group"
NEUTRAL = "neutral prior"
GRID, SEEN = "grid", "artefact"


def above(text: str, source: str, unit: str, where: str, left: str, right: str, name: str) -> Claim:
    """Two figures of one condition: left - right > 0."""
    return Claim(text, source, unit, (where, value(left, 100)), (where, value(right, 100)), name)


def near(text: str, source: str, unit: str, where: str, points: float, left: str, right: str) -> Claim:
    """An equality: points - |left - right| > 0."""

    def distance(values: Mapping[str, float]) -> float:
        return 100 * abs(values[left] - values[right])

    return Claim(
        text, source, unit, (where, constant(points)), (where, distance), f"{points:g} points minus the distance"
    )


def below(text: str, source: str, unit: str, where: str, points: float, figure: str, threshold: float = 0.0) -> Claim:
    """points - figure > threshold."""
    name = f"{points:g} minus the figure"
    return Claim(text, source, unit, (where, constant(points)), (where, value(figure, 100)), name, threshold)


def constant(points: float) -> Figure:
    return lambda values: points


def statements() -> Iterator[Claim]:
    """About conditions of ``trials``; those that a data set does not have are left out."""
    yield above(
        "prior strong (large): the posterior is nearer to the prior than to the truth",
        PULL, F1, LARGE, "to_prior", "to_truth", "similarity to the truth",
    )  # fmt: skip
    for where in (SMALL, MEDIUM, LARGE):
        text = f"priors inconsistent ({where.split()[1]}): self-similarity is more than 10 points below 1"
        yield below(text, PULL, F1, where, 100, "prior_self", 10)
    for figure, what in (
        ("to_prior", "similarity of the posterior to the prior"),
        ("kappa", "estimated pull"),
        ("prior_self", "consistency of the prior"),
    ):
        read = value(figure, 100)
        yield Claim(f"{what} grows with size", PULL, "points", (LARGE, read), (SMALL, read), SMALL)
    yield above(
        "at equal pull a steadier prior raises similarity to it",
        NOISE, F1, NOISES, "to_prior_steady", "to_prior_noisy", "a noisier prior",
    )  # fmt: skip
    yield near(
        "...and leaves the estimated pull where it was, within 10 points",
        NOISE, KAPPA, NOISES, 10, "kappa_steady", "kappa_noisy",
    )  # fmt: skip
    for where in (SMALL, MEDIUM, LARGE):
        text = f"estimated pull within 10 points of the truth, through prompts and parser ({where.split()[1]})"
        yield near(text, SPEC_A, KAPPA, where, 10, "kappa", "kappa_true")
    yield above(
        "aggregation hides annotators who disagree: own labels in the prompt beat the aggregate's (kappa 0)",
        AGGREGATION, F1, KAPPA0, "annotator_prompts", "aggregate_prompts", "aggregate in the prompt",
    )  # fmt: skip
    yield near(
        "...and cannot where the prior alone answers: equal within 1 point (kappa 1)",
        AGGREGATION, F1, KAPPA1, 1, "annotator_prompts", "aggregate_prompts",
    )  # fmt: skip
    yield near(
        "reinforcement at kappa 1 is 1 - noise: as near to the own prior as the latent prior is, within 1 point",
        SPEC_K, F1, TOLD1, 1, "to_own_prior", "latent_to_own_prior",
    )  # fmt: skip
    yield near(
        "reinforcement at kappa 0 equals ICL accuracy, within 5 points",
        SPEC_K, F1, TOLD0, 5, "to_own_prior", "icl_to_truth",
    )  # fmt: skip
    yield above(
        "a prior that copies the second group is found nearer to it",
        AGGREGATION, F1, GROUP, "to_second_group", "to_first_group", "first group",
    )  # fmt: skip
    yield below("...and the permutation test says so: p below 0.05", SPEC_H, "points of p", GROUP, 5, "p")
    text = "...and errs in at most 5 % of studies whose groups' labels are exchanged text by text"
    yield below(text, OURS, "points", GROUP, 5, "false_positives")
    text = "...and in at most 5 % of studies whose prior is independent of the groups"
    yield below(text, SPEC_H, "points", NEUTRAL, 5, "false_positives")


def estimator_statements() -> Iterator[Claim]:
    """About the recovery grid as a whole and about the artefact, per seed."""
    yield below("kappa by EM: mean of each cell within 5 points of the truth", SPEC_A, KAPPA, GRID, 5, "worst_kappa")
    yield below(
        "miss rate: mean of each cell within 3 points of the truth", SPEC_A, "points of eps1", GRID, 3, "worst_eps1"
    )
    text = "the naive figure is more than 20 points low at kappa 1, eps1 0.25"
    yield below(text, NOISE, KAPPA, GRID, 100, "naive_at_one", 20)
    text = "with no relation, the papers' correlation flags more than 45 % of studies of 7 annotators"
    read = (SEEN, value("flagged", 100))
    yield Claim(text, ARTEFACT, "points", read, (SEEN, constant(45)), "45 %")
