"""A trained network for other programs: as a PyTorch program (``.pt2``) or as ONNX, compared with the network itself.

The file takes what the network takes, normalised, and says in its metadata, under `METADATA`, how that is done. There
may be any number of windows, of any size that is twice or more times what the network halves down to.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from data_catalog import InputError, WorkError
from trainer.experiment import Experiment
from trainer.models.network import size_multiple, trial_extents

log = logging.getLogger(__name__)

METADATA = "tracemill.json"
"""Name of an extra file of a ``.pt2``, and of a property of an ONNX model."""

PYTORCH, ONNX = ".pt2", ".onnx"

TOLERANCE = 1e-4
"""Largest difference to the network's own output, as a part of its largest value: runtimes add up in other orders."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        path: The file.
        is_dynamic: Whether windows may be of any size; else of the configured one alone.
        difference: The largest to the network's own output, as a part of its largest value.
    """

    path: Path
    is_dynamic: bool
    difference: float


def export_network(experiment: Experiment, *, path: Path) -> Export:
    """Writes the network of a run; nothing is left of what does not compute the same.

    Args:
        experiment: A run, opened.
        path: The file; its ending says what it will be.

    Raises:
        InputError: If the ending is neither, or what ONNX needs is not installed, or the file cannot be written.
        WorkError: If the network cannot be exported, or what was exported computes something else.
    """
    writers = {PYTORCH: _write_pytorch, ONNX: _write_onnx}
    if path.suffix not in writers:
        raise InputError(f"--out {path}: expected a name that ends with {PYTORCH} (PyTorch) or {ONNX} (ONNX).")
    if path.suffix == ONNX:
        _check_onnx()
    model = experiment.model.cpu().float().eval()
    for weight in model.parameters():
        weight.data = weight.data.contiguous()  # files know one order of dimensions
    with torch.no_grad(), _quiet():
        program, tried = _traced(experiment, model)
        is_dynamic = len({samples.shape[2:] for samples in tried}) > 1
        metadata = json.dumps(_about(experiment, is_dynamic=is_dynamic))
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
                written = Path(folder) / path.name
                run = writers[path.suffix](program, written, metadata)
                difference = max(_difference(run(samples.numpy()), model(samples).numpy()) for samples in tried)
                if not difference <= TOLERANCE:
                    raise WorkError(
                        f"{path} was not written: it computes something else than the network, by {difference:.2g} of "
                        f"the largest value, where {TOLERANCE:.0e} is rounding."
                    )
                if len(list(written.parent.iterdir())) > 1:
                    raise WorkError(f"the weights take more than one {ONNX} file can hold: write a {PYTORCH} file.")
                written.replace(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror or error}): choose another --out.") from None
    return Export(path, is_dynamic, difference)


def _traced(experiment: Experiment, model: nn.Module) -> tuple[ExportedProgram, list[Tensor]]:
    """The network as a program, and inputs to try that on: of one size where it takes no other."""
    multiple, window = size_multiple(model), list(_window(experiment).values())
    small = [max(2 * multiple, extent) for extent in trial_extents(window, model=model)]
    larger = [*small[:-1], 2 * small[-1]]
    tried = [_noise(experiment, 2, small), _noise(experiment, 3, larger), _noise(experiment, 1, larger)]
    sizes = {axis + 2: multiple * Dim(f"x{axis + 1}", min=2) for axis in range(len(window))}
    try:
        return torch.export.export(model, (tried[0],), dynamic_shapes=({0: Dim("window", min=1), **sizes},)), tried
    except Exception as error:  # of many kinds: whatever in a network depends on sizes
        log.info("the network takes no windows of other sizes: %s", error)
    tried = [_noise(experiment, 2, window), _noise(experiment, 1, window)]
    try:
        return torch.export.export(model, (tried[0],), dynamic_shapes=({0: Dim("window", min=1)},)), tried
    except Exception as error:
        raise WorkError(f"the network cannot be exported: {str(error).partition(chr(10))[0]}") from error


def _write_pytorch(program: ExportedProgram, path: Path, metadata: str) -> Callable[[Samples], Samples]:
    torch.export.save(program, path, extra_files={METADATA: metadata})
    read = torch.export.load(path).module()
    return lambda samples: np.asarray(read(torch.from_numpy(samples)))


def _write_onnx(program: ExportedProgram, path: Path, metadata: str) -> Callable[[Samples], Samples]:
    import onnxruntime

    made = torch.onnx.export(program, dynamo=True, input_names=["input"], output_names=["output"], verbose=False)
    assert made is not None, "dynamo makes a program"
    made.model.metadata_props[METADATA] = metadata
    made.save(path)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda samples: np.asarray(session.run(None, {"input": samples})[0])


def _check_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"{ONNX} needs {error.name}: pip install 'tracemill[onnx]', or write {PYTORCH}.") from None


def _noise(experiment: Experiment, windows: int, extents: list[int]) -> Tensor:
    """(window, channel, X)."""
    generator = torch.Generator().manual_seed(windows)
    return torch.randn(windows, experiment.task.in_channels, *extents, generator=generator)


def _difference(found: Samples, expected: Samples) -> float:
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def _about(experiment: Experiment, *, is_dynamic: bool) -> dict[str, Any]:
    """What another program has to know."""
    state, task = experiment.state, experiment.task
    assert state is not None, "a run is opened at a checkpoint"
    label = state.label or {}
    return {
        "input": ["window", "channel", *_window(experiment)],
        "channels": [task.in_channels, task.out_channels],
        "window": _window(experiment),
        "size_multiple": size_multiple(experiment.model) if is_dynamic else None,
        "receptive_field": getattr(experiment.model, "receptive_field", None),
        "normalisation": state.normalisations,
        "task": experiment.config.task.model_dump(mode="json"),
        "label": {name: label.get(name) for name in ("flag_values", "flag_meanings", "ignore_value")},
        "checkpoint_step": state.step,
        "torch": torch.__version__,
    }


def _window(experiment: Experiment) -> dict[str, int]:
    """Its extents by dimension, in the order in which the network sees them."""
    dims = (experiment.main.stored.variable.dims[axis] for axis in experiment.network_axes)
    return {dim: experiment.config.window[dim] for dim in dims}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch's exporters say of themselves."""
    exporters = logging.getLogger("torch.onnx")
    before = exporters.level
    exporters.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        exporters.setLevel(before)
