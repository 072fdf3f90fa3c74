"""What is left out of the method, one thing at a time (specification, section 3: Table 2)."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from speech.medusa.config import Config

FULL = "DeepSER"
LATE, ONE_HOT, NO_MIXUP = "late fusion", "one-hot targets", "no MixUp"
NO_ATTRIBUTES, ONE_STAGE = "no multitask", "stage 1 alone, as many updates"


class Arm(NamedTuple):
    change: Callable[[Config], Config] = lambda config: config
    balanced: bool = True
    """Whether the second stage is the method's own."""


ARMS = {
    FULL: Arm(),
    LATE: Arm(lambda config: replace(config, model=replace(config.model, fusion="late"))),
    ONE_HOT: Arm(lambda config: replace(config, data=replace(config.data, targets="one_hot"))),
    NO_MIXUP: Arm(lambda config: replace(config, mixup=replace(config.mixup, p=0.0))),
    NO_ATTRIBUTES: Arm(lambda config: replace(config, weights=replace(config.weights, attributes=0.0))),
    ONE_STAGE: Arm(balanced=False),
}
