"""HTTP routes of the vision and language domain."""

from litestar import Router, post
from litestar.status_codes import HTTP_200_OK

from common.http.app import Domain
from common.http.bodies import AnyRequest, Upload, takes
from common.http.exchange import exchange
from common.runtime.models import Models
from common.settings import Settings
from contracts.media import IMAGE_LIMITS, IMAGE_TYPES
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse
from vision_nlp.service import Classifier

PICTURE = Upload("image", IMAGE_TYPES, ClassifyOptions, IMAGE_LIMITS.bytes)


def routes(models: Models, _: Settings) -> Domain:
    """``/v1/vision/...`` over these models."""
    classifier = Classifier(models)

    @post("/classify", opt=takes(PICTURE), status_code=HTTP_200_OK, summary="Classify a picture")
    async def classify(request: AnyRequest) -> ClassifyResponse:
        """A PNG or JPEG of any size, converted as the model's card says: grey or RGB, scaled to fit, padded."""
        picture, options = await PICTURE.read(request)
        return await classifier.classify(picture, options, exchange(request).call)

    return Domain(Router("/v1/vision", route_handlers=[classify], tags=["vision"]))
