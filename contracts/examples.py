"""Examples of what is published: shown in the OpenAPI document, and proof that old documents still decode."""

import msgspec

from contracts._base import Record
from contracts.claims import ClaimResult, ClaimRow, ClaimsReport
from contracts.llm import Usage
from contracts.llm_studies import LevelAnswer, SolveRequest, SolveResponse
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
from contracts.music_fewshot import (
    ClipEmbedding,
    Decision,
    Edit,
    EditList,
    Explanation,
    ExportedTagSet,
    ListOptions,
    NearClip,
    NearCombination,
    NewItem,
    NewItems,
    NewTagSet,
    RuleCheck,
    Segment,
    SelfCheck,
    SupportItem,
    TagCheck,
    TaggedClip,
    TagInfo,
    TagOptions,
    TagPatch,
    TagResponse,
    TagScore,
    TagSet,
    TagSetList,
    TagSetPatch,
    TagSetSummary,
)
from contracts.priors import (
    Demonstration,
    FitCheck,
    PriorsClassifyRequest,
    PriorsClassifyResponse,
    PullEstimate,
    PullRequest,
    PullResponse,
    Similarity,
    TrivialLevel,
)
from contracts.problem import PROBLEM_TYPE_PREFIX, FieldError, Problem
from contracts.runs import RunManifest
from contracts.speech import (
    Attributes,
    ClipEmotion,
    EmotionBatchResponse,
    EmotionItem,
    EmotionOptions,
    EmotionResponse,
    EmotionSegment,
)
from contracts.text import EmotionsRequest, EmotionsResponse, TextEmotions
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

_REPLY = "Seven boxes of twelve pencils are 7 x 12 = 84 pencils.\nANSWER: 84"
_LEVEL = LevelAnswer(
    name="remembering",
    reply=_REPLY,
    answer="84",
    strict="84",
    finish="stop",
    usage=Usage(prompt_tokens=210, completion_tokens=24),
)
_PULL = PullEstimate(
    label="",
    kappa=0.52,
    kappa_interval=Interval(low=0.44, high=0.6),
    eps1=0.11,
    eps1_interval=Interval(low=0.08, high=0.14),
    eps0=0.03,
    eps0_interval=Interval(low=0.02, high=0.05),
    kappa_naive=0.44,
    kappa_slope=0.42,
    reliability=0.93,
    cells=12,
)

_SUPPORT = (
    SupportItem(
        id="7e8f90120194c2f1b7d84e0f9a6b3c5d",
        clip="reel.flac",
        tags=("fast", "violin"),
        seconds=31.4,
        windows=8,
        audio_sha256="3" * 64,
    ),
    SupportItem(
        id="8e8f90120194c2f1b7d84e0f9a6b3c5e",
        clip="air.flac",
        tags=("slow", "violin"),
        seconds=48.0,
        windows=13,
        audio_sha256="4" * 64,
    ),
)
_TAG_SETS = TagSetSummary(
    id=REQUEST_ID,
    name="session tunes",
    description="",
    version=2,
    model="music-embedding@1",
    graph_sha256="1" * 64,
    decision=Decision(),
    overflow="refuse",
    items=2,
    created="2026-11-25T09:00:00.000+00:00",
    changed="2026-11-25T09:05:00.000+00:00",
)
_VOICE = ClipEmotion(
    label="anger",
    labels=("anger", "boredom", "neutral"),
    scores={"anger": 0.82, "boredom": 0.05, "neutral": 0.13},
    top=(LabelScore(label="anger", score=0.82), LabelScore(label="neutral", score=0.13)),
    attributes=Attributes(arousal=5.8, valence=2.4, dominance=5.1),
    attributes_reason=None,
    entropy=0.578,
    seconds=2.4,
    text_used=True,
    segments=(
        EmotionSegment(
            start=0.0,
            end=2.4,
            label="anger",
            scores={"anger": 0.79, "boredom": 0.06, "neutral": 0.15},
            attributes=Attributes(arousal=5.6, valence=2.5, dominance=5.0),
            entropy=0.64,
        ),
    ),
    embedding=(0.0, 1.25),
    calibrated=True,
    warnings=(),
)
_NEAR = NearClip(item=_SUPPORT[0].id, clip="reel.flac", similarity=0.91)

EXAMPLES: tuple[Record, ...] = (
    NewTagSet(
        name="session tunes",
        items=(
            NewItem(clip="reel.flac", tags=("violin", "fast")),
            NewItem(clip="air.flac", tags=("violin", "slow")),
        ),
    ),
    NewItems(items=(NewItem(clip="jig.flac", tags=("flute", "fast")),)),
    TagSet(
        summary=_TAG_SETS,
        tags=(
            TagInfo(name="fast", supports=1),
            TagInfo(name="slow", supports=1),
            TagInfo(name="violin", supports=2),
        ),
        items=_SUPPORT,
        combinations="5",
        closed_sets=3,
        exact=True,
        warnings=("one clip alone speaks for 'fast', 'slow': add more clips of these tags",),
    ),
    TagSetList(tag_sets=(_TAG_SETS,)),
    ListOptions(limit=10),
    TagSetPatch(decision=Decision(rule="topk", k=2)),
    TagPatch(name="fiddle"),
    EditList(
        edits=(
            Edit(version=2, action="add-items", detail="air.flac", at="2026-11-25T09:05:00.000+00:00"),
            Edit(version=1, action="create", detail="1 clips", at="2026-11-25T09:00:00.000+00:00"),
        )
    ),
    TagOptions(rule="lcp", explain=1),
    TagResponse(
        clips=(
            TaggedClip(
                clip="file",
                tags=("violin", "fast"),
                scores=(
                    TagScore(tag="violin", score=0.88, chosen=True),
                    TagScore(tag="fast", score=0.84, chosen=True),
                    TagScore(tag="slow", score=0.41, chosen=False),
                ),
                seconds=7.5,
                windows=2,
                explanation=Explanation(
                    combinations=(
                        NearCombination(tags=("fast", "violin"), similarity=0.91, clips=(_NEAR,), support=1),
                    ),
                    margin=0.05,
                    nearest=_NEAR,
                ),
                segments=(
                    Segment(start=0.0, end=3.69, tags=("violin", "fast")),
                    Segment(start=3.69, end=7.38, tags=("violin",)),
                ),
            ),
        ),
        decision=Decision(rule="lcp"),
        exact=True,
        tag_set=REQUEST_ID,
        version=2,
        model="music-embedding@1",
        request_id=REQUEST_ID,
    ),
    SelfCheck(
        items=24,
        true=1.8,
        rules=(
            RuleCheck(rule="lcp", macro_f1=0.61, micro_f1=0.66, predicted=1.7),
            RuleCheck(rule="blend", macro_f1=0.68, micro_f1=0.71, predicted=2.0),
        ),
        tags=(TagCheck(tag="violin", supports=9, precision=0.8, recall=0.89, f1=0.84, confused_with=("flute",)),),
        best_rule="blend",
        tag_set=REQUEST_ID,
        version=2,
        request_id=REQUEST_ID,
    ),
    ExportedTagSet(
        name="session tunes",
        description="",
        model="music-embedding@1",
        graph_sha256="1" * 64,
        decision=Decision(),
        overflow="refuse",
        items=_SUPPORT,
    ),
    ClipEmbedding(
        model="music-embedding@1",
        graph_sha256="1" * 64,
        audio_sha256="3" * 64,
        seconds=31.4,
        windows=8,
        steadiness=0.93,
        norm=2.5,
        embedding=(1.5, -2.0),
    ),
    SolveRequest(problem="A box holds 12 pencils. How many pencils do 7 boxes hold?"),
    _LEVEL,
    SolveResponse(
        answer="84",
        explanation=_REPLY,
        levels=(_LEVEL, msgspec.structs.replace(_LEVEL, name="understanding")),
        converged=True,
        stopped_at="understanding",
        stopped_by="rule",
        usage=Usage(prompt_tokens=420, completion_tokens=48),
        cost=0.000092,
        currency="USD",
        model="small-model",
        request_id=REQUEST_ID,
    ),
    PriorsClassifyRequest(
        text="The parcel came a week late, and nobody said sorry.",
        labels=("anger", "joy", "sadness"),
        demonstrations=(
            Demonstration(text="They lost my bag and laughed about it.", labels=("anger",)),
            Demonstration(text="The shop opens at nine.", labels=()),
        ),
    ),
    PriorsClassifyResponse(
        labels=("anger",),
        status="exact",
        condition="icl",
        reply="anger",
        usage=Usage(prompt_tokens=96, completion_tokens=2),
        cost=0.000016,
        currency="USD",
        model="small-model",
        request_id=REQUEST_ID,
    ),
    PullRequest(
        truth=((1, 0), (0, 1), (0, 0), (1, 1), (0, 1), (1, 0)),
        priors=(
            ((1, 0), (0, 0), (0, 1), (1, 1), (1, 1), (0, 0)),
            ((1, 0), (0, 0), (0, 1), (1, 0), (1, 1), (0, 0)),
            ((1, 1), (0, 0), (0, 1), (1, 1), (1, 1), (0, 0)),
        ),
        posteriors=(((1, 0), (0, 1), (0, 1), (1, 1), (1, 1), (1, 0)),),
        labels=("anger", "joy"),
        rounds=20,
    ),
    PullResponse(
        overall=_PULL,
        labels=(
            msgspec.structs.replace(_PULL, label="anger", cells=6),
            msgspec.structs.replace(_PULL, label="joy", cells=6),
        ),
        fit=(
            FitCheck(
                pair="prior, posterior",
                observed=0.74,
                expected=0.71,
                range=Interval(low=0.55, high=0.86),
                p_value=0.8,
            ),
        ),
        similarities=(Similarity(pair="prior, posterior", js=0.66, micro_f1=0.74, macro_f1=0.73),),
        trivial=(TrivialLevel(name="always none", js=0.17, micro_f1=0.0, macro_f1=0.0),),
        assumption="Given the latent prior, whether a cell copies it does not depend on the truth.",
        items=6,
        rounds=20,
        request_id=REQUEST_ID,
    ),
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
    EmotionsRequest(texts=("Thank you so much, this made my day!",)),
    EmotionsResponse(
        answers=(
            TextEmotions(
                labels=("gratitude", "joy"),
                scores=(
                    LabelScore(label="anger", score=0.002),
                    LabelScore(label="gratitude", score=0.98),
                    LabelScore(label="joy", score=0.41),
                ),
                tokens=9,
            ),
        ),
        model="emotions-acn",
        version=1,
        request_id=REQUEST_ID,
    ),
    EmotionOptions(top_k=2),
    EmotionResponse(
        **msgspec.structs.asdict(_VOICE), model="speech-emotion", version=1, use="open", request_id=REQUEST_ID
    ),
    EmotionBatchResponse(
        items=(
            EmotionItem(
                name="call-1",
                answer=msgspec.structs.replace(
                    _VOICE,
                    attributes=None,
                    attributes_reason="the model was not trained with attributes: emodb has none",
                    text_used=False,
                    segments=None,
                    embedding=None,
                    warnings=("the recording lasts 0.6 s: below 1 s the answer is unreliable",),
                ),
            ),
            EmotionItem(
                name="call-2",
                problem=Problem(
                    type=f"{PROBLEM_TYPE_PREFIX}invalid",
                    title="A field is wrong",
                    status=422,
                    detail="call-2: is silent; send a clip in which something sounds",
                    instance="/v1/speech/emotion/batch",
                    request_id=REQUEST_ID,
                    errors=(FieldError(field="call-2", message="is silent; send a clip in which something sounds"),),
                ),
            ),
        ),
        model="speech-emotion",
        version=1,
        use="open",
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
