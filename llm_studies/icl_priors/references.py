"""Predictions of a supervised model on the same texts, for the gap line."""

from pathlib import Path

import numpy as np

from common.data.files import File
from common.errors import OperatorError
from contracts.reference import ReferencePrediction
from llm_studies.icl_priors.design import Design
from llm_studies.icl_priors.items import vector


def load_reference(file: str | None, design: Design) -> np.ndarray | None:
    """bool (queries, labels). Raises OperatorError when a query has no prediction, or a label is not of the set."""
    if file is None:
        return None
    path = Path(file)
    rows = File(path.parent, path.name).rows(ReferencePrediction)
    known = {row.id: vector(row.labels, design.form.labels, f"{path}, {row.id}") for row in rows}
    if missing := next((item.id for item in design.queries if item.id not in known), None):
        raise OperatorError(f"reference: {path} has no prediction for {missing}; predict all texts of the study")
    return np.array([known[item.id] for item in design.queries], dtype=np.bool_)
