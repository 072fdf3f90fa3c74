"""The settings of an auto-compressing network and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Probability, Record

Mode = Literal["acn", "acn_dg", "residual", "ffn", "denseformer"]
"""How the blocks are wired: ``acn_dg`` cuts the gradient between blocks, ``ffn`` has neither sum nor skip."""
NonNegative = Annotated[float, Meta(ge=0.0)]
Points = Annotated[float, Meta(ge=0.0, le=100.0)]


class Augment(Record, frozen=True, kw_only=True):
    """Random changes of the training pictures, drawn anew for each batch; by default none."""

    shift: Annotated[int, Meta(ge=0)] = 0
    """Most pixels by which a picture is moved along either axis; what comes in has the ground colour."""
    flip: bool = False
    """Mirror every other picture, left to right."""
    cutmix: Probability = 0.0
    """Share of the batches in which each picture gets a rectangle of another one (CutMix, beta = 1)."""


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from."""

    name: Literal["digits", "mnist", "fashion_mnist", "usps", "cifar10"] = "digits"
    """``digits`` is bundled with scikit-learn; the others are read from ``--data``."""
    validation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    """Share of the training set that selects the checkpoint, the cut and the exit entropy; the test set never does."""
    mean: float = 0.5
    """Subtracted from pixels in [0, 1]..."""
    std: Annotated[float, Meta(gt=0.0)] = 0.5
    """...and divided by."""
    augment: Augment = Augment()


class Model(Record, frozen=True, kw_only=True):
    """``layers`` equal blocks between an embedding and a head that reads every sub-network."""

    backbone: Literal["mlp", "mixer", "vit"] = "mixer"
    mode: Mode = "acn"
    layers: Positive = 8
    """Blocks (L)."""
    width: Positive = 64
    """Of what travels from block to block."""
    patch: Positive = 4
    """Side of the squares that a picture is cut into, in pixels; no matter to mlp."""
    token_width: Positive = 64
    """Hidden units of the mixing over tokens; mixer only."""
    channel_width: Positive = 256
    """Hidden units of the feedforward part of every block."""
    heads: Positive = 4
    """Of attention; vit only."""
    tail_skip: bool = False
    """End each mixer block with LN(ReLU(Linear(g) + x)), as the released code does in all its modes."""
    attn_out_norm: bool = False
    """A LayerNorm after attention; vit only. The released code has it for deep ACN."""
    dirac_ffn: bool = False
    """A fixed partial identity in the feedforward part; vit only. The released code has it for deep ACN."""
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    residual_weight: float | None = None
    """w of x_i = f_i(x_{i-1}) + w * x_{i-1} in mode acn: none or 0 is ACN."""
    residual_learnt: bool = False
    """Learn one w per block, starting from ``residual_weight``."""

    def __post_init__(self) -> None:
        if self.backbone == "vit" and self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.tail_skip and self.backbone != "mixer":
            raise ValueError(f"tail_skip belongs to the mixer, not to {self.backbone}; leave it out")
        if (self.attn_out_norm or self.dirac_ffn) and self.backbone != "vit":
            raise ValueError(f"attn_out_norm and dirac_ffn belong to vit, not to {self.backbone}; leave them out")
        if self.dirac_ffn and self.channel_width < self.width:
            raise ValueError(f"dirac_ffn needs channel_width of at least width {self.width}, not {self.channel_width}")
        if self.residual_weight is not None and self.mode != "acn":
            raise ValueError(f"residual_weight belongs to mode acn, not to {self.mode}; leave it out")
        if self.residual_learnt and self.residual_weight is None:
            raise ValueError("residual_learnt needs a residual_weight to start from; 0 is ACN")


class Optim(Record, frozen=True, kw_only=True):
    """AdamW."""

    batch: Positive = 64
    """Pictures in one step, over all processes."""
    accumulate: Positive = 1
    """Pieces that a step's batch is cut into, to fit the memory."""
    epochs: Positive = 20
    lr: Annotated[float, Meta(gt=0.0)] = 1e-3
    """Peak learning rate."""
    warmup: Annotated[int, Meta(ge=0)] = 0
    """Steps in which the learning rate rises from 0."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Of the learning rate after the warm-up."""
    weight_decay: NonNegative = 0.01
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    clip: Annotated[float, Meta(gt=0.0)] | None = 1.0
    """Largest norm of the gradient; none: not clipped."""
    exit_loss: Probability = 0.0
    """e of (1 - e) * loss of the whole network + e * weighted loss of all sub-networks (arXiv 2506.09714, appendix H).
    The plain method is 0."""
    checkpoint_every: Positive = 500
    """Steps between two checkpoints from which a killed run resumes."""


class Cut(Record, frozen=True, kw_only=True):
    """How many blocks may go, chosen on the validation rows."""

    tolerance: Points = 0.5
    """Points of accuracy that the cut network may lose."""
    exit_tolerance: Points = 0.5
    """Points of accuracy that early exits may lose."""


class Config(Record, frozen=True, kw_only=True):
    """A whole training of an auto-compressing network on pictures."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Of the split, the order and the initial weights."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    model: Model = Model()
    optim: Optim = Optim()
    cut: Cut = Cut()
    exits: tuple[Positive, ...] = ()
    """Depths at which a picture may leave early, rising, the last one ``model.layers``; none: after every block."""

    def __post_init__(self) -> None:
        if self.exits and (list(self.exits) != sorted(set(self.exits)) or self.exits[-1] != self.model.layers):
            depths = ", ".join(map(str, self.exits))
            raise ValueError(f"exits {depths} must rise and end at layers {self.model.layers}")

    @property
    def leaves(self) -> tuple[int, ...]:
        """The depths at which a picture may leave."""
        return self.exits or tuple(range(1, self.model.layers + 1))
