"""The network of a run: made by name, and tried on a small input before any rank waits for another."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from data_catalog import InputError
from trainer.components import check_takes, resolve, settings_of
from trainer.config import Config
from trainer.randomness import Purpose, stream
from trainer.tasks.task import Task

MODELS = {"unet": "trainer.models.unet:UNet"}
SMALL = 64
"""Samples along each axis of the input that a model is tried on."""
MODEL_GIVEN = frozenset({"dims", "in_channels", "out_channels"})


def make_network(config: Config, *, task: Task) -> nn.Module:
    """The network that a configuration names, with the weights that it starts from.

    Args:
        config: Names the model, and the window that it sees.
        task: Says how many channels go in and come out.

    Raises:
        InputError: If there is no such model, or it does not fit window and task.
    """
    kind = resolve(config.model, own=MODELS, place="model")
    check_takes(kind, MODEL_GIVEN, place="model", of="a model", name=config.model.name)
    settings = settings_of(config.model, of=kind, given=MODEL_GIVEN, place="model")
    seed = int(stream(config.seed, purpose=Purpose.WEIGHTS).integers(2**63))
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator: lend them one
        torch.manual_seed(seed)
        model = kind(dims=len(config.window), in_channels=task.in_channels, out_channels=task.out_channels, **settings)
    if not isinstance(model, nn.Module):
        raise InputError(f"config.model.name: {config.model.name!r} is no torch.nn.Module.")
    _check_window_sizes(config.window, model=model)
    _check_output(model, config=config, task=task)
    return model


def _check_output(model: nn.Module, *, config: Config, task: Task) -> None:
    """One small input tells a model of the wrong shape from a right one before any rank waits for another."""
    near = trial_extents(config.window.values(), model=model)
    was_training = model.training
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(torch.zeros(1, task.in_channels, *near)).shape)
    except RuntimeError as error:
        raise InputError(f"config.model.name: {config.model.name!r} fails on an input of {near}: {error}") from None
    finally:
        model.train(was_training)
    if shape != (1, task.out_channels, *near):
        raise InputError(
            f"config.model.name: {config.model.name!r} makes {list(shape)} of [1, {task.in_channels}, "
            f"{', '.join(map(str, near))}]; expected {task.out_channels} channels of the same size."
        )


def _check_window_sizes(window: Mapping[str, int], *, model: nn.Module) -> None:
    multiple = size_multiple(model)
    for dim, extent in window.items():
        if extent % multiple:
            near = max(multiple, round(extent / multiple) * multiple)
            raise InputError(
                f"config.window.{dim} is {extent}; this network halves its input until a sample stands for "
                f"{multiple}, so it must be a multiple of {multiple}, e.g. {near}. Or choose fewer config.model.levels."
            )


def trial_extents(window: Iterable[int], *, model: nn.Module) -> list[int]:
    """Extents of a small input that a model must take: about `SMALL`, no more than a window."""
    multiple = size_multiple(model)
    return [-(-min(extent, SMALL) // multiple) * multiple for extent in window]


def size_multiple(model: nn.Module) -> int:
    """What input sizes must be multiples of; 1 where the model does not say."""
    return int(getattr(model, "size_multiple", 1))
