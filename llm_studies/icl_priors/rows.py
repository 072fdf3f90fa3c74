"""The rows of the data files, so that a row with another shape is refused with its line."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Record

Cell = Annotated[int, Meta(ge=0, le=1)]


class HsBrexit(Record, frozen=True, kw_only=True):
    id: str
    text: str
    split: Literal["train", "dev", "test"]
    annotator: Literal["Ann1", "Ann2", "Ann3", "Ann4", "Ann5", "Ann6"]
    hate: Cell
    aggressive: Cell
    offensive: Cell


class Dialogue(Record, frozen=True, kw_only=True):
    id: str
    split: Literal["train", "dev", "test"]
    bot: str
    prev_agent: str
    prev_user: str
    agent: str
    user: str
    hard_label: Cell
    soft_label_abusive: float


class Judgement(Record, frozen=True, kw_only=True):
    id: str
    annotator: str
    severity: Annotated[int, Meta(ge=-3, le=1)]
    types: tuple[str, ...]
    targets: tuple[str, ...]
    explicit: int | None
    implicit: int | None


class DemoRow(Record, frozen=True, kw_only=True):
    id: str
    item: str
    annotator: str
    text: str
    labels: tuple[str, ...]
    rationale: str
