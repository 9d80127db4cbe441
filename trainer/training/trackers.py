"""What a run's numbers and pictures are told to: TensorBoard, and classes of the user's own."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch.utils.tensorboard.writer import SummaryWriter

from trainer.components import check_takes, resolve, settings_of
from trainer.config import Config

log = logging.getLogger(__name__)

TRACKERS = {"tensorboard": "trainer.training.trackers:TensorBoard"}
GIVEN = frozenset({"folder", "config", "first_step"})

Picture = npt.NDArray[np.float32]
"""(row, column), 0 black to 1 white."""


class Tracker(Protocol):
    """Is told of a run. Made with ``folder``, of the run; ``config``, all settings as plain values; and ``first_step``,
    where this part of the run begins; its other arguments are settings. All are passed by name."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step, by names such as ``step/loss`` and ``validation/mean_iou``."""

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """A grey picture."""

    def close(self) -> None:
        """Nothing more will come."""


class TensorBoard:
    """Writes for ``tensorboard --logdir``."""

    def __init__(self, *, folder: Path, config: Mapping[str, Any], first_step: int) -> None:
        """Begins or goes on.

        Args:
            folder: Of the run.
            config: All settings.
            first_step: After which this part of the run begins: later ones that an earlier part told of go.
        """
        self._board = SummaryWriter(folder / "tensorboard", purge_step=first_step + 1)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """As scalars."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """As an image."""
        self._board.add_image(name, picture, step, dataformats="HW")

    def close(self) -> None:
        """Writes what is left."""
        self._board.close()


@dataclass(frozen=True)
class TrackerKind:
    """A tracker, chosen and judged, and not yet made.

    Attributes:
        name: In the configuration.
        kind: Its class.
        settings: Its own arguments.
    """

    name: str
    kind: type[Any]
    settings: Mapping[str, Any]


def choose_trackers(config: Config) -> tuple[TrackerKind, ...]:
    """The trackers that a configuration names.

    Raises:
        InputError: If one of them does not exist, or takes other settings.
    """
    found = []
    for number, component in enumerate(config.trackers):
        place = f"trackers[{number}]"
        kind = resolve(component, own=TRACKERS, place=place)
        check_takes(kind, GIVEN, place=place, of="a tracker", name=component.name)
        found.append(TrackerKind(component.name, kind, settings_of(component, of=kind, given=GIVEN, place=place)))
    return tuple(found)


class Trackers:
    """Tells all of them; one that fails is told no more, and the run goes on."""

    def __init__(self, kinds: Sequence[TrackerKind], *, config: Config, first_step: int) -> None:
        """Makes them.

        Args:
            kinds: Which.
            config: Of the run.
            first_step: Where this part of the run begins.
        """
        self._each: dict[str, Tracker] = {}
        given = {"folder": config.out, "config": config.model_dump(mode="json"), "first_step": first_step}
        for chosen in kinds:
            self._guarded(chosen.name, partial(self._make, chosen, given))

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step."""
        for name, tracker in list(self._each.items()):
            self._guarded(name, partial(tracker.numbers, step, values))

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """A grey picture."""
        for tracker_name, tracker in list(self._each.items()):
            self._guarded(tracker_name, partial(tracker.picture, step, name, picture))

    def close(self) -> None:
        """Nothing more will come."""
        for name, tracker in list(self._each.items()):
            self._guarded(name, tracker.close)

    def _make(self, chosen: TrackerKind, given: Mapping[str, Any]) -> None:
        self._each[chosen.name] = chosen.kind(**given, **chosen.settings)

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a library of its own, or the network, comes up with
            self._each.pop(name, None)
            log.warning("tracker %s fails, and is told no more: %s: %s", name, type(error).__name__, error)
