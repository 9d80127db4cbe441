"""A network and what moves it: one step at a time, the same on all ranks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from data_catalog import InputError, WorkError
from trainer.checkpoint import AVERAGE, MODEL, OPTIMISER, lay_out_moments, load_model, load_optimiser, moments
from trainer.config import Config
from trainer.feed.batches import Batches
from trainer.feed.faulty_windows import FaultPolicy
from trainer.models.arithmetic import arithmetic
from trainer.plan.order import largest_share
from trainer.randomness import Purpose, stream
from trainer.ranks import Ranks
from trainer.tasks.task import Batch, Task
from trainer.training.average import running_average
from trainer.training.gradient import backward
from trainer.training.placing import over_ranks, placed, share_out
from trainer.training.scoring import Scores, score_split

MOST_SKIPPED = 30
"""Steps in a row without a finite gradient: float16 needs some of them to find its scale, a run that diverged all."""


@dataclass(frozen=True)
class StepOutcome:
    """What one step came to.

    Attributes:
        loss: Over the samples of all ranks.
        gradient_norm: L2, before clipping.
        skipped: Whether the weights stayed as they were, since the gradient was not finite.
    """

    loss: float
    gradient_norm: float
    skipped: bool


class Learner:
    """Moves the weights of a network.

    Attributes:
        model: The network itself.
        optimiser: Moves its weights.
        average: Follows them; None where none is wanted.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        config: Config,
        ranks: Ranks,
    ) -> None:
        """Puts the network where it learns.

        Args:
            model: With the weights that it starts from.
            task: What it learns.
            config: How.
            ranks: The processes of the run.
        """
        self._task, self._config, self._ranks = task, config, ranks
        self._arithmetic = arithmetic(config.compute.precision, device=ranks.device)
        self._network: nn.Module | None = None
        self.model = placed(model, compute=config.compute, ranks=ranks, dtype=self._arithmetic.dtype)
        self.optimiser: torch.optim.Optimizer = make_optimiser(self.model, config=config)
        decay = config.optimiser.average_decay
        self.average = None if decay is None else running_average(self.model, decay=decay)
        self._skipped_in_row = 0

    @property
    def parts(self) -> int:
        """Micro-batches of a rank's share of a batch."""
        share = largest_share(self._config.batch_size, world_size=self._ranks.world_size)
        return math.ceil(share / (self._config.compute.micro_batch or share))

    def step(self, batch: Batch, *, number: int, rate: float) -> StepOutcome:
        """Forward, backward, and one move of the weights, all ranks together.

        Args:
            batch: This rank's share.
            number: Of the step, counted from 0.
            rate: Learning rate.

        Raises:
            WorkError: If the gradient has not been finite for many steps.
        """
        if self._network is None:  # not before the ranks have joined
            self._network = self._shared_network()
        # Layers draw from the global generator: what they draw shall follow from the step, whatever came before it.
        draws = stream(self._config.seed, number, self._ranks.rank, purpose=Purpose.LAYERS)
        torch.manual_seed(int(draws.integers(2**63)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = backward(
            self._network,
            batch=batch,
            task=self._task,
            ranks=self._ranks,
            arithmetic=self._arithmetic,
            parts=self.parts,
        )
        scaler, clip_norm = self._arithmetic.scaler, self._config.optimiser.clip_norm
        scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if clip_norm is None else clip_norm)
        outcome = self._outcome(*torch.stack([loss, whole(norm).to(loss)]).tolist(), number=number)
        if not outcome.skipped:
            scaler.step(self.optimiser)
            if self.average is not None:
                self.average.update_parameters(self.model)
        scaler.update()
        return outcome

    def score(self, batches: Batches[Batch], *, faults: FaultPolicy, meet: Callable[[], None]) -> Scores:
        """Scores the network, or the average where there is one; arguments as of `score_split`."""
        scored = self.model if self.average is None else self.average.module
        return score_split(
            scored, task=self._task, batches=batches, faults=faults, arithmetic=self._arithmetic, meet=meet
        )

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint has to keep, copied to the CPU of the first rank: the next step changes nothing of it.

        All ranks call this together; others than the first keep nothing.
        """
        found = {MODEL: self.model.state_dict(), OPTIMISER: moments(self.optimiser)}
        if self.average is not None:
            found[AVERAGE] = self.average.module.state_dict()
        in_order = {part: sorted(of_part.items()) for part, of_part in found.items()}  # the same on all ranks
        return {
            part: {name: kept for name, tensor in of_part if (kept := self._kept(tensor)) is not None}
            for part, of_part in in_order.items()
        }

    def _kept(self, tensor: Tensor) -> Tensor | None:
        tensor = whole(tensor.detach())
        return tensor.to("cpu", copy=True) if self._ranks.is_first else None

    def _shared_network(self) -> nn.Module:
        """The network as all ranks run it; weights, moments and average shared out where that is wanted."""
        compute, ranks = self._config.compute, self._ranks
        if compute.shard_weights and ranks.world_size > 1:
            before = self.optimiser.state_dict()["state"]
            for model in [self.model] if self.average is None else [self.model, self.average.module]:
                share_out(model, ranks=ranks)
            self.optimiser = make_optimiser(self.model, config=self._config)
            lay_out_moments(self.optimiser, before)
        return over_ranks(self.model, compute=compute, ranks=ranks, accumulates=self.parts > 1)

    def numbers(self) -> dict[str, Any]:
        """The same of what are no tensors."""
        averaged = None if self.average is None else int(self.average.n_averaged)
        return {"averaged": averaged, "scaler": self._arithmetic.scaler.state_dict()}

    def load(self, checkpoint: Path, *, numbers: Mapping[str, Any]) -> None:
        """Goes on from where `tensors` and `numbers` were taken.

        Raises:
            InputError: If the checkpoint is damaged, of another network, or without the average that is wanted.
        """
        load_model(checkpoint, model=self.model)
        load_optimiser(checkpoint, optimiser=self.optimiser)
        if self.average is not None:
            if numbers["averaged"] is None:
                raise InputError(
                    f"checkpoint {checkpoint} holds no running average: set config.optimiser.average_decay back to "
                    "null, or choose another --out."
                )
            load_model(checkpoint, model=self.average.module, part=AVERAGE)
            self.average.n_averaged.fill_(numbers["averaged"])
        if self._arithmetic.scaler.is_enabled() and numbers["scaler"]:
            self._arithmetic.scaler.load_state_dict(numbers["scaler"])

    def _outcome(self, loss: float, norm: float, *, number: int) -> StepOutcome:
        """All ranks find the same: gradients have been added up over them."""
        skipped = not (math.isfinite(loss) and math.isfinite(norm))
        self._skipped_in_row = self._skipped_in_row + 1 if skipped else 0
        if self._skipped_in_row > MOST_SKIPPED:
            raise WorkError(
                f"the loss is {loss} at step {number + 1}, and {MOST_SKIPPED} steps before it had no finite gradient "
                "either: lower config.optimiser.learning_rate, and go on with --resume auto, or "
                "begin again."
            )
        return StepOutcome(loss, norm, skipped)


def make_optimiser(model: nn.Module, *, config: Config) -> torch.optim.AdamW:
    """AdamW over all parameters that may move."""
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(moving, lr=config.optimiser.learning_rate, weight_decay=config.optimiser.weight_decay)


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each rank may hold a part; all of them call this together then."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
