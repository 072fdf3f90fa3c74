"""HTTP routes of the vision and language domain."""

from litestar import Router, post
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK

from common.http.app import Domain
from common.http.bodies import AnyRequest, JsonBody, Upload, takes
from common.http.exchange import exchange
from common.runtime.models import Models
from common.settings import Settings
from contracts.media import IMAGE_LIMITS, IMAGE_TYPES
from contracts.text import EmotionsRequest, EmotionsResponse
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse
from vision_nlp.emotions import Emotions
from vision_nlp.service import Classifier

PICTURE = Upload("image", IMAGE_TYPES, ClassifyOptions, IMAGE_LIMITS.bytes)


def routes(models: Models, settings: Settings) -> Domain:
    """``/v1/vision/...`` and ``/v1/text/...`` over these models."""
    vision = Router("/vision", route_handlers=[_classify(models)], tags=["vision"])
    text = Router("/text", route_handlers=[_emotions(models, settings)], tags=["text"])
    return Domain(Router("/v1", route_handlers=[vision, text]))


def _classify(models: Models) -> HTTPRouteHandler:
    classifier = Classifier(models)

    @post("/classify", opt=takes(PICTURE), status_code=HTTP_200_OK, summary="Classify a picture")
    async def classify(request: AnyRequest) -> ClassifyResponse:
        """A PNG or JPEG of any size, converted as the model's card says: grey or RGB, scaled to fit, padded.

        An auto-compressing model answers after `depth` blocks, or as soon as it is certain (`exit_entropy`).
        """
        picture, options = await PICTURE.read(request)
        return await classifier.classify(picture, options, exchange(request).call)

    return classify


def _emotions(models: Models, settings: Settings) -> HTTPRouteHandler:
    emotions, texts = Emotions(models), JsonBody(EmotionsRequest, settings.json_bytes)

    @post("/emotions", opt=takes(texts), status_code=HTTP_200_OK, summary="Name the emotions in texts")
    async def name_emotions(request: AnyRequest) -> EmotionsResponse:
        """Each text alone: no, one or several labels, and the probability of every label."""
        return await emotions.name(await texts.read(request), exchange(request).call)

    return name_emotions
