"""Answers as a person reads them."""

from typing import Any

import msgspec
from rich.table import Table

from contracts._base import Record


def table(title: str, *columns: str) -> Table:
    """An empty table with these column heads."""
    shown = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold")
    return shown


def fields(record: Record) -> Table:
    """A record as one row per field; records inside become dotted names."""
    shown = table("", "field", "value")
    for name, value in _leaves("", msgspec.to_builtins(record)):
        shown.add_row(name, value)
    return shown


def _leaves(name: str, value: Any) -> list[tuple[str, str]]:
    """Every scalar inside ``value`` with its path."""
    if isinstance(value, dict):
        items = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(item, dict | list) for item in value):
        items = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return [(name, f"{value:.6g}" if isinstance(value, float) else text)]
    return [leaf for path, item in items for leaf in _leaves(path, item)]
