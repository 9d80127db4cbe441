"""Checkpoints: tensors as safetensors, all else as JSON; nothing is unpickled, nothing half-written is ever seen.

    RUN/checkpoints/step-00000200/   model.safetensors  optimiser.safetensors  state.json
    RUN/checkpoints/best.json        {"step": 200, "score": 0.81}

A folder is written under another name, flushed, and renamed; so is ``best.json``. All but the last and the best go.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from data_catalog import InputError

VERSION = 3
MODEL_FILE, OPTIMISER_FILE, STATE_FILE = "model.safetensors", "optimiser.safetensors", "state.json"
BEST_FILE = "best.json"


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
    """

    step: int
    order_digest: str
    origin: dict[str, Any]
    grouping: dict[str, Any]
    normalisations: dict[str, dict[str, float]]
    label: dict[str, Any] | None


def write_checkpoint(folder: Path, *, state: RunState, model: nn.Module, optimiser: torch.optim.Optimizer) -> Path:
    """Writes a checkpoint, atomically.

    Args:
        folder: ``RUN/checkpoints``.
        state: Where the run stands.
        model: Its weights.
        optimiser: Its moments.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {MODEL_FILE: save(_on_cpu(model.state_dict())), OPTIMISER_FILE: save(_on_cpu(_flatten(optimiser)))}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {"version": VERSION, "state": asdict(state), "sha256": digests}
    files[STATE_FILE] = json.dumps(document, indent=2).encode()
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    for name, content in files.items():
        _write_flushed(temporary / name, content=content)
    final = folder / f"step-{state.step:08d}"
    temporary.chmod(0o755)
    temporary.rename(final)
    return final


def mark_best(folder: Path, *, step: int, score: float) -> None:
    """Says which checkpoint is the best so far, atomically."""
    temporary = folder / f".{BEST_FILE}"
    _write_flushed(temporary, content=json.dumps({"step": step, "score": score}).encode())
    temporary.replace(folder / BEST_FILE)


def best_score(folder: Path) -> float:
    """The best score so far; minus infinity where there is none."""
    path = folder / BEST_FILE
    return float(json.loads(path.read_text())["score"]) if path.exists() else float("-inf")


def prune(folder: Path) -> None:
    """Removes all checkpoints but the last and the best, and whatever an interrupted run left half-written."""
    kept = {last_checkpoint(folder), best_checkpoint(folder)}
    for path in folder.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step, if there is any."""
    return max(folder.glob("step-*"), default=None)


def best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the best score; the last one where none was scored."""
    path = folder / BEST_FILE
    if not path.exists():
        return last_checkpoint(folder)
    return folder / f"step-{json.loads(path.read_text())['step']:08d}"


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


def load_model(checkpoint: Path, *, model: nn.Module) -> None:
    """Puts a checkpoint's weights into a network.

    Raises:
        InputError: If the checkpoint is damaged, or of another network.
    """
    tensors = _read_tensors(checkpoint, MODEL_FILE)
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


def load_optimiser(checkpoint: Path, *, optimiser: torch.optim.Optimizer) -> None:
    """Puts a checkpoint's moments into an optimiser of the same parameters.

    Raises:
        InputError: If the checkpoint is damaged.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _read_tensors(checkpoint, OPTIMISER_FILE).items():
        number, _, quantity = name.partition(".")
        state.setdefault(int(number), {})[quantity] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, each in state.items() for name, tensor in each.items()}


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


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


def _read_tensors(checkpoint: Path, name: str) -> dict[str, Tensor]:
    try:
        content = (checkpoint / name).read_bytes()
    except OSError as error:
        raise _damaged(checkpoint, f"{name} cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != _read_document(checkpoint)["sha256"][name]:
        raise _damaged(checkpoint, f"{name} holds {len(content)} bytes that are not those written")
    return load(content)


def _damaged(checkpoint: Path, what: str) -> InputError:
    return InputError(f"checkpoint {checkpoint} is damaged: {what}. Remove its folder to go on from the one before it.")
