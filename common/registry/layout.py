"""Where things lie in a model repository.

    models/<name>/config.pbtxt            generated from the signature; Triton reads it
    models/<name>/aliases.json            {"stable": 3}; Triton ignores it
    models/<name>/<version>/model.onnx
    models/<name>/<version>/card.json     Triton ignores what is not the graph
    models/<name>/<version>/golden.npz    inputs and the outputs that the exporter saw
    models/<name>/<version>/<file>        what else the card's ``files`` names, such as a tokenizer

The card and the golden tensors lie beside the graph they describe, not above it: so a version is published by one
rename, two versions can differ in their figures, and rolling back brings the right card back with the graph.
"""

from pathlib import Path
from typing import NamedTuple

from contracts.models import ModelCard

CONFIG, ALIASES = "config.pbtxt", "aliases.json"
GRAPH, CARD, GOLDEN = "model.onnx", "card.json", "golden.npz"


class Version(NamedTuple):
    """One published version whose card was read and whose digests were checked."""

    folder: Path
    card: ModelCard

    @property
    def graph(self) -> Path:
        return self.folder / GRAPH

    @property
    def golden(self) -> Path:
        return self.folder / GOLDEN

    @property
    def label(self) -> str:
        """``name@version``, as logs and messages write it."""
        return f"{self.card.name}@{self.card.version}"
