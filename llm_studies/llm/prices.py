"""What tokens cost, by the user's own price file: prices change, so none are built in."""

import tomllib
from pathlib import Path

import msgspec

from common.errors import OperatorError
from contracts.llm import Price, Prices, Usage


def read(path: Path, model: str) -> Prices:
    """A price file that has a price for ``model``. Raises OperatorError that names the file and what is wrong."""
    try:
        prices = msgspec.convert(tomllib.loads(path.read_text()), Prices)
    except OSError as error:
        raise OperatorError(f"price file {path} cannot be read ({error.strerror}); give the path of one") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise OperatorError(f"price file {path}: {error}; correct it") from error
    if model not in prices.models:
        raise OperatorError(
            f'price file {path}: no price of {model!r}; add [models."{model}"] with prompt and completion'
        )
    return prices


def price_of(prices: Prices | None, model: str) -> Price | None:
    """Raises OperatorError when there are prices, but none of ``model``."""
    if prices is None:
        return None
    if model not in prices.models:
        raise OperatorError(f"the price file has no price of {model!r}; add it")
    return prices.models[model]


def cost(usage: Usage, price: Price) -> float:
    """In the price file's currency."""
    return (usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion) / 1e6
