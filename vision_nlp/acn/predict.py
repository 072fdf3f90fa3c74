"""``kithara predict acn``: one picture through the whole published network."""

from pathlib import Path

from contracts.vision_nlp import ClassifyResponse
from vision_nlp import service

MODEL = "acn-fashion-mnist"


def predict(*, file: Path, models: Path, model: str | None = None) -> ClassifyResponse:
    """Classify one picture file without a server; all blocks run, so no stage is needed. Raises OperatorError."""
    return service.predict(file=file, models=models, model=model or MODEL)
