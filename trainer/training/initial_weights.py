"""Weights that a run begins with: those of another run, and which of them stay as they are."""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from data_catalog import InputError
from trainer.checkpoint import best_checkpoint, read_scored_tensors, read_state

log = logging.getLogger(__name__)


def take_weights(model: nn.Module, *, run: Path) -> None:
    """Puts the weights of another run's best checkpoint into a network, where names and shapes agree.

    Args:
        model: The network.
        run: Folder of the other run.

    Raises:
        InputError: If there is no checkpoint, it is damaged, or nothing agrees.
    """
    checkpoint = best_checkpoint(run / "checkpoints")
    if checkpoint is None:
        raise InputError(f"config.init_from: {run} holds no checkpoint; give the folder of a run.")
    read_state(checkpoint)  # of a version that is known
    found, own = read_scored_tensors(checkpoint), model.state_dict()
    taken = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    if not taken:
        raise InputError(f"config.init_from: no weight of {checkpoint} has name and shape of one of this network.")
    if left := sorted(own.keys() - taken.keys()):
        log.warning("weights that %s does not have begin anew: %s.", run, ", ".join(left))
    model.load_state_dict(taken, strict=False)


def freeze(model: nn.Module, *, beginnings: Sequence[str]) -> None:
    """Keeps weights as they are.

    Args:
        model: The network.
        beginnings: Of their names.

    Raises:
        InputError: If no weight has such a name, none would be left to learn, or statistics would still move.
    """
    weights = dict(model.named_parameters())
    for beginning in beginnings:
        chosen = [weight for name, weight in weights.items() if name.startswith(beginning)]
        _check_batch_norm(model, beginning=beginning)
        if not chosen:
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in weights))
            raise InputError(f"config.freeze: no weight's name begins with {beginning!r}; they begin with {parts}.")
        for weight in chosen:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in weights.values()):
        raise InputError("config.freeze leaves no weight to learn.")


def _check_batch_norm(model: nn.Module, *, beginning: str) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats and f"{name}.".startswith(beginning):
            raise InputError(
                f"config.freeze: {beginning!r} holds batch normalisation ({name}), whose running mean and variance "
                "would go on moving; freeze a part without, or choose a network with norm: layer."
            )
