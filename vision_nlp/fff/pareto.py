"""Accuracy against measured latency: where the trees lie beside the front of dense networks.

Latency is measured, not counted: ONNX Runtime, one thread, all graphs of a data set in turns, the graph that is served.
It depends on the graph and hardly on the weights, so the networks of the first seed stand for all.

The dense network that a tree must beat is chosen on validation rows; the test rows then judge. Of all dense networks
(float32 and int8) that are no slower it is the most accurate; where each is slower, the fastest.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from msgspec.structs import replace

from common.claims.harness import Claim, value
from common.export.latency import BATCHES
from contracts.claims import ClaimRow
from vision_nlp.fff.config import Model
from vision_nlp.fff.statements import POINTS, TUNED, arm, label, test_hard
from vision_nlp.fff.study import VALIDATION

WIDTHS = (2, 4, 8, 16, 32, 64, 128)
"""Of the dense networks; the last one also with int8 weights."""
SLACK = 1.05
"""A dense network counts as no slower up to this factor: timings of a busy machine differ by more."""
CONTROL = "the best dense network (float32 or int8) that is no slower"

Latency = Mapping[str, Mapping[int, float]]
"""Microseconds of a condition's graph by rows per call."""


def is_dense(condition: str) -> bool:
    return condition.startswith("dense ")


def best(batch: int) -> str:
    """The name of the condition that repeats the tree furthest above the front."""
    return f"the tree furthest above the front, batch {batch}"


def latency_of(batch: int) -> str:
    return f"latency_{batch}_us"


def front_of(batch: int) -> str:
    return f"front_{batch}"


def placed(rows: Sequence[ClaimRow], latency: Latency) -> tuple[ClaimRow, ...]:
    """The rows of one data set, each with its latencies; those of trees with the test accuracy of the dense network
    that they must beat; and, once more, the tree that lies furthest above it by validation accuracy."""
    timed = [row for row in rows if row.condition in latency]
    validation = {name: fmean(r.values[VALIDATION] for r in timed if r.condition == name) for name in latency}
    trees = [name for name in latency if not is_dense(name)]
    rivals = {batch: {name: rival(name, latency, validation, batch) for name in trees} for batch in BATCHES}
    test = {(row.condition, row.seed): row.values["test_hard"] for row in timed}

    def more(row: ClaimRow) -> ClaimRow:
        found = {latency_of(batch): latency[row.condition][batch] for batch in BATCHES}
        if row.condition in trees:
            found |= {front_of(batch): test[rivals[batch][row.condition], row.seed] for batch in BATCHES}
        return replace(row, values={**row.values, **found})

    complete = [more(row) if row.condition in latency else row for row in rows]
    for batch in BATCHES:
        chosen = max(trees, key=lambda name: validation[name] - validation[rivals[batch][name]])
        complete += [replace(row, condition=best(batch)) for row in complete if row.condition == chosen]
    return tuple(complete)


def rival(tree: str, latency: Latency, validation: Mapping[str, float], batch: int) -> str:
    """The dense network that the tree must beat."""
    dense = [name for name in latency if is_dense(name)]
    no_slower = [name for name in dense if latency[name][batch] <= SLACK * latency[tree][batch]]
    if no_slower:
        return max(no_slower, key=validation.__getitem__)
    return min(dense, key=lambda name: latency[name][batch])


def front_claims(shapes: Sequence[Model]) -> Iterator[Claim]:
    """Of any tree, and of every shape with all three phases, at each batch size."""
    for batch in BATCHES:
        yield _above("some tree", best(batch), batch)
        for shape in shapes:
            yield _above(f"{label(shape)} {TUNED}", arm(shape, TUNED), batch)


def _above(what: str, condition: str, batch: int) -> Claim:
    return Claim(
        claim=f"{what} lies above the dense front at equal measured latency, batch {batch}",
        paper="2308.14711 and 2405.16836: fast at little loss",
        unit=POINTS,
        method=(condition, test_hard),
        control=(condition, value(front_of(batch), 100)),
        control_name=CONTROL,
    )
