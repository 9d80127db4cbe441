"""Checkpoints: tensors as safetensors, all else as JSON; nothing is unpickled, nothing half-written is ever seen.

    RUN/checkpoints/step-00000200/   model.safetensors  optimiser.safetensors  average.safetensors  state.json

A folder is written under another name, flushed, and renamed. All but the last and the best go.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from data_catalog import InputError

log = logging.getLogger(__name__)

VERSION = 5
MODEL, OPTIMISER, AVERAGE = "model", "optimiser", "average"
"""What a checkpoint holds tensors of; the last one only where a running average is kept."""

STATE_FILE, SUFFIX = "state.json", ".safetensors"

Tensors = Mapping[str, dict[str, Tensor]]
"""For each of them, by name."""


@dataclass(frozen=True)
class RunState:
    """Where a run stands; the order of windows follows from it.

    Attributes:
        step: Steps done.
        order_digest: Of the training windows and their order.
        origin: What the run learns from and how, by its place in the configuration; the same all along.
        grouping: `GroupShape` of the training windows, which their order follows from.
        normalisations: Mean and standard deviation of the input, by dataset.
        label: What the entry said of the label variable; None where there was none.
        learner: Numbers that the learner goes on with.
        best_score: Of the validation split so far; None before the first one.
        best_step: When it was reached.
        since_best: Validations since then.
        scored_step: After which the validation split was scored last; None before the first time.
    """

    step: int
    order_digest: str
    origin: dict[str, Any]
    grouping: dict[str, Any]
    normalisations: dict[str, dict[str, float]]
    label: dict[str, Any] | None
    learner: dict[str, Any]
    best_score: float | None
    best_step: int | None
    since_best: int
    scored_step: int | None

    def scored(self, score: float) -> "RunState":
        """The state after one more validation; a score that is not a number is none."""
        if math.isnan(score) or (self.best_score is not None and score <= self.best_score):
            return replace(self, since_best=self.since_best + 1, scored_step=self.step)
        return replace(self, best_score=score, best_step=self.step, since_best=0, scored_step=self.step)


def write_checkpoint(folder: Path, *, state: RunState, tensors: Tensors) -> Path:
    """Writes a checkpoint, atomically; one of the same step goes.

    Args:
        folder: ``RUN/checkpoints``.
        state: Where the run stands.
        tensors: On the CPU.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {_file(part): save(_in_order(of_part)) for part, of_part in tensors.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {"version": VERSION, "state": asdict(state), "sha256": digests}
    files[STATE_FILE] = json.dumps(document, indent=2).encode()
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    for name, content in files.items():
        _write_flushed(temporary / name, content=content)
    final = folder / _name(state.step)
    temporary.chmod(0o755)
    if final.exists():  # damaged, or the run would have gone on from it
        shutil.rmtree(final)
    temporary.rename(final)
    return final


def prune(folder: Path, *, state: RunState, keep: int) -> None:
    """Removes all checkpoints but the last ones and the best, and whatever an interrupted run left half-written.

    Args:
        folder: ``RUN/checkpoints``.
        state: That was written last. A checkpoint of a later step is damaged, or the run would have gone on there.
        keep: How many of the last ones stay.
    """
    upto = [path for path in checkpoints(folder) if path.name <= _name(state.step)]
    kept = {*upto[:keep], *([] if state.best_step is None else [folder / _name(state.best_step)])}
    for path in folder.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path)


def checkpoints(folder: Path) -> list[Path]:
    """All of them, the last one first."""
    return sorted(folder.glob("step-*"), reverse=True)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is as it was written; None where there is none at all.

    Raises:
        InputError: If all of them are damaged.
    """
    damaged = None
    for checkpoint in checkpoints(folder):
        try:
            read_state(checkpoint)
            for name in _read_document(checkpoint)["sha256"]:
                _read_content(checkpoint, name.removesuffix(SUFFIX))
        except DamagedCheckpointError as error:
            log.warning("%s", error)
            damaged = error
        else:
            return checkpoint
    if damaged:
        raise damaged
    return None


def best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the best score; the last one where none was scored, or the best is not there any more.

    Raises:
        InputError: If all of them are damaged.
    """
    last = last_whole_checkpoint(folder)
    if last is None or (best_step := read_state(last).best_step) is None:
        return last
    best = folder / _name(best_step)
    if not best.is_dir():
        log.warning("the best checkpoint, %s, is not there: %s is taken in its place.", best, last.name)
        return last
    return best


def read_state(checkpoint: Path) -> RunState:
    """Where the run stood.

    Raises:
        InputError: If the checkpoint is damaged, or of a version that is not known.
    """
    document = _read_document(checkpoint)
    if document.get("version") != VERSION:
        raise InputError(
            f"checkpoint {checkpoint} has version {document.get('version')!r}, this trainer reads {VERSION}."
        )
    return RunState(**document["state"])


def load_model(checkpoint: Path, *, model: nn.Module, part: str = MODEL) -> None:
    """Puts a checkpoint's weights into a network.

    Args:
        checkpoint: Its folder.
        model: The network.
        part: `MODEL`, or `AVERAGE`.

    Raises:
        InputError: If the checkpoint is damaged, or of another network.
    """
    tensors = read_tensors(checkpoint, part)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        first = different[0]
        raise InputError(
            f"checkpoint {checkpoint} is of another network: {len(different)} tensors differ, first {first!r}, "
            f"{found.get(first, 'absent')} there and {expected.get(first, 'absent')} in this configuration. "
            "Use the model settings that it was trained with, or another --out."
        )
    model.load_state_dict(tensors)


def load_scored_model(checkpoint: Path, *, model: nn.Module) -> None:
    """The weights that were scored: the running average where one was kept; raises as `load_model` does."""
    load_model(checkpoint, model=model, part=_scored_part(checkpoint))


def read_scored_tensors(checkpoint: Path) -> dict[str, Tensor]:
    """The same, for whatever network; raises as `read_tensors` does."""
    return read_tensors(checkpoint, _scored_part(checkpoint))


def load_optimiser(checkpoint: Path, *, optimiser: torch.optim.Optimizer) -> None:
    """Puts a checkpoint's moments into an optimiser of the same parameters, laid out in memory as they are.

    Raises:
        InputError: If the checkpoint is damaged.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(checkpoint, OPTIMISER).items():
        number, _, quantity = name.partition(".")
        state.setdefault(int(number), {})[quantity] = tensor
    lay_out_moments(optimiser, state)


def lay_out_moments(optimiser: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Gives an optimiser the moments of another one, laid out in memory, or shared out over ranks, as its parameters.

    Args:
        optimiser: Of the same parameters.
        state: Whole tensors by the number of the parameter and the name of the quantity.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    there = {
        number: {quantity: _laid_out(tensor, like=parameters[number]) for quantity, tensor in of_one.items()}
        for number, of_one in state.items()
    }
    optimiser.load_state_dict({"state": there, "param_groups": optimiser.state_dict()["param_groups"]})


def _laid_out(tensor: Tensor, *, like: Tensor) -> Tensor:
    if tensor.shape != like.shape:
        return tensor  # a number of steps
    if isinstance(like, DTensor):  # all ranks have read the same: each keeps its part of its own
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return torch.empty_like(like).copy_(tensor)


def moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser, by the number of the parameter and the name of the quantity."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, each in state.items() for name, tensor in each.items()}


def read_tensors(checkpoint: Path, part: str) -> dict[str, Tensor]:
    """The tensors of one part of a checkpoint.

    Raises:
        InputError: If they are not those that were written.
    """
    return load(_read_content(checkpoint, part))


class DamagedCheckpointError(InputError):
    """A checkpoint is not as it was written."""


def _scored_part(checkpoint: Path) -> str:
    return AVERAGE if (checkpoint / _file(AVERAGE)).exists() else MODEL


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _file(part: str) -> str:
    return part + SUFFIX


def _in_order(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors knows one order of dimensions in memory."""
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _write_flushed(path: Path, *, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_document(checkpoint: Path) -> dict[str, Any]:
    try:
        document = json.loads((checkpoint / STATE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(checkpoint, f"{STATE_FILE} cannot be read ({error})") from None
    return document if isinstance(document, dict) else {}


def _read_content(checkpoint: Path, part: str) -> bytes:
    name = _file(part)
    try:
        content = (checkpoint / name).read_bytes()
    except OSError as error:
        raise _damaged(checkpoint, f"{name} cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != _read_document(checkpoint)["sha256"][name]:
        raise _damaged(checkpoint, f"{name} holds {len(content)} bytes that are not those written")
    return content


def _damaged(checkpoint: Path, what: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"checkpoint {checkpoint} is damaged: {what}. Remove its folder to do without it.")
