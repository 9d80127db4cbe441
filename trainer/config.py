"""What a run is told: frozen, and a misspelt key is an error."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.plan.windows import Edges

Count = Annotated[int, Field(gt=0)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Precision = Literal["float32", "bfloat16", "float16", "float64"]


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(Section):
    """What to read.

    Attributes:
        name: Name in the catalog.
        variable: Variable with role ``input``; by default the dataset's main one.
        label: Variable that the task learns from: ``VARIABLE``, or ``ID/VARIABLE`` in the derived group ID.
        weight: How often an epoch takes each training window, where several datasets are read.
    """

    name: str
    variable: str | None = None
    label: str | None = None
    weight: Count = 1


class SplitsConfig(Section):
    """Which of the dataset's splits serve what; None leaves a purpose out. ``north+south`` are both together.

    Attributes:
        train: Read for training and for normalisation.
        validation: Scored while training; its score chooses the best checkpoint.
        test: Default of ``evaluate`` and ``predict``.
        folds: For cross-validation: ``fit --fold 2`` validates and tests on the second of these splits, trains on all
            others, and writes into a folder of its own.
    """

    train: str = "train"
    validation: str | None = "validation"
    test: str | None = "test"
    folds: tuple[str, ...] = ()

    def of_fold(self, number: int) -> "SplitsConfig":
        """Splits that leave out one of the folds.

        Args:
            number: Of the fold, counted from 1.

        Raises:
            ValueError: If there is no such fold, or no other one.
        """
        if not 1 <= number <= len(self.folds) or len(self.folds) == 1:
            raise ValueError(
                f"splits.folds names {', '.join(self.folds) or 'none'}: fold {number} needs to be one of them, from 1 "
                "on, and others to learn from"
            )
        left_out = self.folds[number - 1]
        others = "+".join(fold for fold in self.folds if fold != left_out)
        return self.model_copy(update={"train": others, "validation": left_out, "test": left_out})


class Component(Section):
    """A model, a task or a tracker: a name of this package's, or ``package.module:Class``; other keys are settings."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def settings(self) -> dict[str, object]:
        """The keys beside ``name``; `components.resolve` judges them against what the class takes."""
        return dict(self.__pydantic_extra__ or {})


class OptimiserConfig(Section):
    """AdamW, with a rate that rises linearly and then falls. The rate follows from windows seen, not from steps.

    Attributes:
        learning_rate: Highest rate.
        weight_decay: Decoupled decay of every parameter.
        schedule: How the rate falls: as half a ``cosine``, ``linear``, or not at all, ``constant``.
        warmup_samples: Windows seen while it rises.
        final_fraction: The last step's rate as a fraction of the highest one.
        clip_norm: Gradients are scaled down to this L2 norm; None leaves them.
        average_decay: What a running average of the weights keeps of itself at each step, 0.999 say; it is scored and
            predicts in place of the weights themselves. None keeps none.
    """

    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.01
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_samples: Whole = 1000
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.01
    clip_norm: Positive | None = 1.0
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = None


class ComputeConfig(Section):
    """How a device computes.

    Attributes:
        precision: ``bfloat16`` and ``float16`` run convolutions in 16 bits, and keep weights, normalisation and losses
            in float32; ``float64`` is for comparisons.
        micro_batch: Windows of a rank that its device works on at once: where its share of ``batch_size`` does not fit
            into memory. None takes the whole share. The gradient is that of the whole batch either way.
        recompute_levels: Levels of a network, from the full resolution down, that are computed again in the backward
            pass instead of being kept: less memory for more time.
        channels_last: Whether weights and samples lie channels last, as most kernels like them.
        compile: Whether the network is compiled by `torch.compile`: minutes at first, faster steps later.
        shard_weights: Whether each rank holds a part of weights, gradients and moments (PyTorch's FSDP2) rather than
            all of them: less memory for more exchange, where a network is large. Weights do not lie channels last then.
        tf32: Whether GPUs may multiply float32 with ten bits of mantissa, several times faster.
    """

    precision: Precision = "float32"
    micro_batch: Count | None = None
    recompute_levels: Whole = 0
    channels_last: bool = True
    compile: bool = False
    shard_weights: bool = False
    tf32: bool = True


class OversampleRule(Section):
    """Windows that come more often.

    Attributes:
        class_name: Of the label.
        min_share: Share of a window's samples that have the class, as the manifest tells, for the rule to apply.
        times: How often an epoch takes such a window; rules that apply together multiply.
    """

    class_name: str
    min_share: Share
    times: Annotated[int, Field(ge=2, le=15)]


class SelectionConfig(Section):
    """Which training windows are taken, and how often; `trainer.data.content` says how well the manifest knows.

    Attributes:
        min_live: Least share of live samples.
        min_share: Least share of the samples that have a class, by its name.
        oversample: Rules for windows that come more often.
    """

    min_live: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_share: dict[str, Share] = {}
    oversample: tuple[OversampleRule, ...] = ()


class AugmentConfig(Section):
    """How training windows are varied; each is drawn from a generator of its own, whatever the rank or thread.

    Attributes:
        flip: Dimensions that every other window, at random, is turned around along.
        polarity: Probability that amplitudes change their sign.
        gain_db: Amplitudes are multiplied by up to this many decibels, up or down, evenly.
        noise: White noise is added, its standard deviation up to this many of the training split's, evenly.
        time_shift: A window is shifted by up to this many samples along its last dimension, either way, evenly; what
            comes in counts as not recorded.
        drop_traces: Up to this share of the traces is taken away, evenly; they count as not recorded.
    """

    flip: tuple[str, ...] = ()
    polarity: Annotated[float, Field(ge=0, le=1)] = 0.0
    gain_db: NotNegative = 0.0
    noise: NotNegative = 0.0
    time_shift: Whole = 0
    drop_traces: Annotated[float, Field(ge=0, lt=1)] = 0.0


class FaultConfig(Section):
    """What to do about windows whose chunks are missing, short, damaged or cannot be read.

    Attributes:
        policy: ``stop`` ends the run; ``skip`` leaves a window's place empty, so that it weighs nothing; ``substitute``
            puts another window there. What was left out is written to ``faults-RANK.jsonl`` in the run's folder.
        limit: Windows that each rank may leave out before the run ends after all.
    """

    policy: Literal["stop", "skip", "substitute"] = "stop"
    limit: Count = 100


class CacheConfig(Section):
    """Where encoded chunks of remote datasets are kept; local datasets need no such place.

    Attributes:
        folder: On a local disk; processes and runs may share it.
        limit_nbytes: Most bytes kept there.
    """

    folder: Path
    limit_nbytes: Count = 20 * 2**30


class FeedConfig(Section):
    """How windows are read.

    Attributes:
        threads: Reader threads of each rank.
        look_ahead_batches: Batches of each rank under way or ready, where `in_flight_nbytes` has room for them.
        in_flight_nbytes: Most bytes of batches under way or ready that each rank holds at any time.
        resident_nbytes: Most bytes of decoded chunks that each rank holds at any time.
        cache: Where encoded chunks of remote datasets are kept; None keeps none.
        page_cache: Whether the system may keep local files in memory once they were read: ``keep``, ``drop``, or
            ``auto``, which drops those of arrays of more than twice the machine's memory.
        verify: When a chunk's checksum is compared: ``once``, where a process reads it first, or ``always``.
        faults: What to do about chunks that cannot be used.
        audit: Whether each rank writes down which windows it is fed, to ``audit-RANK.jsonl`` in the run's folder;
            ``python -m trainer audit`` judges that.
    """

    threads: Count = 2
    look_ahead_batches: Count = 4
    in_flight_nbytes: Count = 512 * 2**20
    resident_nbytes: Count = 2**30
    cache: CacheConfig | None = None
    page_cache: Literal["auto", "keep", "drop"] = "auto"
    verify: Literal["once", "always"] = "once"
    faults: FaultConfig = FaultConfig()
    audit: bool = False


class OrderConfig(Section):
    """How windows are mixed; see `trainer.plan.order`.

    Attributes:
        lanes: Places that each window of a batch is taken from in turn: more of them mix better and hold more chunks.
            By default as many as fit.
        ranks: The fewest ranks that the run shall fit on: the more, the less does each of them hold.
    """

    lanes: Count | None = None
    ranks: Count = 1


class Config(Section):
    """One run.

    Attributes:
        dataset: What to read.
        more_datasets: Further datasets, mixed with the first one: of the same dimensions and classes; each is
            normalised by its own training split. One without a split of some name takes no part in it: where whole
            surveys are held out, those are normalised by all that they hold.
        window: Samples of a window by dimension. A dimension not named is one sample wide and does not reach the
            network: ``{crossline: 128, time: 128}`` trains a 2-D network on the inline sections of a 3-D stack.
        stride: Samples between neighbouring training windows, by dimension of the variable; half a window by default.
            Validation windows lie side by side.
        edges: What becomes of samples at the end of a split where windows and strides do not come out even: ``shift``
            takes a last window that ends with the split, ``drop`` none, ``pad`` one that reaches beyond it, filled up
            with zeros that weigh nothing.
        select: Which training windows are taken, and how often.
        augment: How training windows are varied.
        splits: Which splits serve what.
        model: The network and its settings.
        init_from: A run whose network this one begins with, as far as names and shapes of weights agree.
        freeze: Beginnings of the names of weights that stay as they are, e.g. ``down``.
        task: The task and its settings.
        optimiser: How weights move.
        compute: How a device computes.
        batch_size: Windows of a step over all ranks together.
        steps: Length of the run; or give ``epochs``.
        epochs: Length of the run in passes over the training windows.
        validate_every_steps: How often the validation split is scored.
        patience: Validations in a row without a better score after which the run ends; None goes to the end.
        checkpoint_every_steps: How often a checkpoint is written; scoring writes one too.
        keep_checkpoints: How many of the last ones are kept, beside the best.
        watch_s: Seconds that a rank waits for the others before it says for which one, and the run ends.
        seed: Fixes the weights at the start, the order of windows and what tasks draw.
        order: How windows are mixed.
        feed: How windows are read.
        trackers: What the run's numbers and pictures are told to, beside ``metrics.jsonl``.
        out: Folder of the run.
    """

    dataset: DatasetConfig
    more_datasets: tuple[DatasetConfig, ...] = ()
    window: dict[str, Count]
    stride: dict[str, Count] = {}
    edges: Edges = Edges.SHIFT
    select: SelectionConfig = SelectionConfig()
    augment: AugmentConfig = AugmentConfig()
    splits: SplitsConfig = SplitsConfig()
    model: Component
    init_from: Path | None = None
    freeze: tuple[str, ...] = ()
    task: Component
    optimiser: OptimiserConfig = OptimiserConfig()
    compute: ComputeConfig = ComputeConfig()
    batch_size: Count
    steps: Count | None = None
    epochs: Count | None = None
    validate_every_steps: Count = 500
    patience: Count | None = None
    checkpoint_every_steps: Count = 500
    keep_checkpoints: Count = 1
    watch_s: Positive = 1200.0
    seed: Whole = 0
    order: OrderConfig = OrderConfig()
    feed: FeedConfig = FeedConfig()
    trackers: tuple[Component, ...] = (Component(name="tensorboard"),)
    out: Path

    @model_validator(mode="after")
    def _each_dataset_once(self) -> Self:
        names = [each.name for each in (self.dataset, *self.more_datasets)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"dataset and more_datasets name {', '.join(twice)} twice; weight makes one come more often"
            )
        return self

    @model_validator(mode="after")
    def _flips_inside_windows(self) -> Self:
        if unknown := sorted(set(self.augment.flip) - set(self.window)):
            raise ValueError(f"augment.flip names {', '.join(unknown)}, window only {', '.join(self.window)}")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self
