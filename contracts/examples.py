"""Examples of what is published: shown in the OpenAPI document, and proof that old documents still decode."""

from contracts._base import Record
from contracts.claims import ClaimResult, ClaimRow, ClaimsReport
from contracts.models import (
    DataSource,
    ImageInput,
    Interval,
    Lineage,
    Liveness,
    Metric,
    ModelCard,
    ModelDetail,
    ModelList,
    ModelStatus,
    ModelSummary,
    Readiness,
)
from contracts.problem import PROBLEM_TYPE_PREFIX, FieldError, Problem
from contracts.runs import RunManifest
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse, LabelScore, fff_signature

REQUEST_ID = "0194c2f1b7d84e0f9a6b3c5d7e8f9012"
NAME = "fff-fashion-mnist"

_STATUS = ModelStatus(ready=True, version=1)
_ACCURACY = Metric(
    name="accuracy", split="test", value=0.88, n=8169, interval=Interval(low=0.873, high=0.887, level=0.95)
)
_DATA = DataSource(name="fashion_mnist/train", licence="MIT", sha256="0" * 64, items=60_000)
_SOFTWARE = {"python": "3.11.7", "torch": "2.13.0"}
_CARD = ModelCard(
    name=NAME,
    version=1,
    system="fff",
    task="image-classification",
    paper="arXiv 2405.16836",
    description="Fast feedforward network, hard routing",
    use="open",
    signature=fff_signature(784, 10),
    labels=("T-shirt/top", "trouser"),
    image=ImageInput(height=28, width=28, channels=1, mean=0.5, std=0.5),
    metrics=(_ACCURACY,),
    properties={"leaves_used": 16, "soft_hard_gap": 0.001},
    caveats=("grey pictures of single garments on a dark ground",),
    lineage=Lineage(
        command="kithara train fff --config starter",
        run="20261123-000000-starter",
        config={"seed": 0},
        data=(_DATA,),
        created="2026-11-23T00:00:00Z",
        software=_SOFTWARE,
    ),
    graph_sha256="1" * 64,
    golden_sha256="2" * 64,
)
_SUMMARY = ModelSummary(
    name=NAME,
    system="fff",
    task="image-classification",
    description=_CARD.description,
    use="open",
    version=1,
    versions=(1,),
    aliases={"stable": 1},
    status=_STATUS,
)

EXAMPLES: tuple[Record, ...] = (
    ClassifyOptions(top_k=2),
    ClassifyResponse(
        label="ankle boot",
        scores=(LabelScore(label="ankle boot", score=0.97), LabelScore(label="sneaker", score=0.02)),
        leaf=11,
        path_margin=2.4,
        model=NAME,
        version=1,
        request_id=REQUEST_ID,
    ),
    Problem(
        type=f"{PROBLEM_TYPE_PREFIX}invalid",
        title="A field is wrong",
        status=422,
        detail="1 field is wrong",
        instance="/v1/vision/classify",
        request_id=REQUEST_ID,
        errors=(FieldError(field="query.top_k", message="Expected `int` >= 1"),),
    ),
    Liveness(),
    Readiness(
        ready=False,
        reason="1 of 1 models is not ready",
        models={NAME: ModelStatus(ready=False, version=None, reason="golden output 'logits' differs by 3.0e-02")},
    ),
    ModelList(models=(_SUMMARY,)),
    ModelDetail(summary=_SUMMARY, card=_CARD),
    _CARD,
    RunManifest(
        id="20261123-000000-starter",
        system="fff",
        command="kithara train fff --config starter",
        created="2026-11-23T00:00:00Z",
        status="finished",
        config={"seed": 0},
        data=(_DATA,),
        seed=0,
        software=_SOFTWARE,
        checkpoint="checkpoints/best.safetensors",
        selection=_ACCURACY,
        metrics=(_ACCURACY,),
        properties={"leaves_used": 16},
    ),
    ClaimsReport(
        system="fff",
        command="kithara claims fff --quick",
        created="2026-11-23T00:00:00Z",
        scale="digits, 5 seeds",
        claims=(
            ClaimResult(
                claim="load balancing raises hard test accuracy",
                paper="arXiv 2405.16836, section 3",
                data="digits",
                seeds=5,
                control="the same network without load balancing",
                unit="points of test accuracy",
                effect=3.1,
                interval=Interval(low=1.2, high=5.0),
                threshold=0.0,
                p_value=0.03,
                p_holm=0.09,
                verdict="holds",
            ),
        ),
        rows=(ClaimRow(condition="balanced", data="digits", seed=0, values={"test_hard": 0.93}),),
        seconds=12.5,
        rounds=10_000,
    ),
)
"""One instance, with every field that a caller meets, of each type that stands alone."""
