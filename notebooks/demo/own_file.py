"""The demo on a file of the user's own: half of its traces are hidden, and a network learns to restore them.

No labels are needed. The figure is the signal-to-noise ratio over hidden traces of a part of the survey that was held
out from training, 10 log10(sum x^2 / sum (x - y)^2), beside that of linear interpolation between the visible traces.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from commands import Commands
from numpy.typing import NDArray
from report import training_rates

RECIPE = "trainer/recipes/reconstruction_unet.yaml"
NETWORK_MULTIPLE = 8
"""Window sizes are multiples of this: the recipe's network halves its input three times."""
LARGEST_WINDOW = (64, 128)
"""Traces and samples of a window, where the file is large enough."""
TRAIN_SHARE, VALIDATION_SHARE, GUARDS_SHARE = 0.6, 0.1, 0.15
FEWEST_INLINES = 20
"""From here on a 3-D survey is split by inlines; a narrower one along its crosslines."""


@dataclass(frozen=True)
class Split:
    """Where a survey is cut into training, validation and test.

    Attributes:
        dim: Dimension along which it is cut.
        bounds: Index ranges by split name.
        window: Size of a window by dimension.
    """

    dim: str
    bounds: dict[str, tuple[int, int]]
    window: dict[str, int]


def restore_traces_of(paths: list[Path], *, commands: Commands, folder: Path) -> dict[str, str]:
    """Runs the whole way on a survey, and leaves ``restored.png``.

    Returns:
        Figures by name.
    """
    found = _inspect(paths)
    split = choose_split(found["axes"])
    labels = {name: _label_range(found["axes"][split.dim], bounds) for name, bounds in split.bounds.items()}
    splits = [word for name, text in labels.items() for word in ("--split", f"{name}={split.dim}:{text}")]
    store, run = folder / "own.zarr", folder / "run"
    convert = ("pipeline", "convert", *paths, "--name", "own", "--out", store, "--kind", found["kind"])
    commands.run("convert, two Dask threads", *convert, "--workers", 2, *splits)
    commands.run("list the catalog", "data_catalog", "list")
    window = [word for dim, size in split.window.items() for word in ("--set", f"window.{dim}={size}")]
    fit = ("trainer", "fit", RECIPE, "--set", "dataset.name=own", "--set", "window={}", *window, "--out", run)
    commands.run("train, two ranks", *fit, ranks=2)
    commands.run("predict the test split", "trainer", "predict", run, "--id", "restored", ranks=2)
    exported = folder / "restored.segy"
    variable = "derived/restored/amplitude_restored"
    commands.run("export the prediction", "pipeline", "export", "own", "--variable", variable, "--out", exported)
    compared = _compare(store, split, path=folder / "restored.png")
    return training_rates(run) | compared | {"prediction as SEG-Y": str(exported)}


def choose_split(axes: dict[str, dict[str, Any]]) -> Split:
    """Cuts the first dimension that is long enough, and chooses windows that fit between the cuts.

    Args:
        axes: Size of each dimension, slowest first, as ``inspect --json`` gives them.
    """
    *trace_dims, sample_dim = axes
    by_inline = len(trace_dims) > 1 and axes[trace_dims[0]]["size"] >= FEWEST_INLINES
    dim = trace_dims[0] if by_inline else trace_dims[-1]
    size = axes[dim]["size"]
    line_dim = trace_dims[-1]
    # Windows reach along the line: where it is the line that is cut, two guards of a window's width must fit in.
    widest = axes[line_dim]["size"] if by_inline else int(GUARDS_SHARE / 2 * size)
    window = {
        line_dim: _at_most(LARGEST_WINDOW[0], widest),
        sample_dim: _at_most(LARGEST_WINDOW[1], axes[sample_dim]["size"]),
    }
    if min(window.values()) < NETWORK_MULTIPLE:
        print(
            f"error: {dim} {size} x {sample_dim} {axes[sample_dim]['size']} is too small to train on and to hold out "
            f"a part: about {round(2 * NETWORK_MULTIPLE / GUARDS_SHARE)} traces along a line are needed.",
            file=sys.stderr,
        )
        sys.exit(2)
    guard = 1 if by_inline else window[line_dim]
    train_stop = round(TRAIN_SHARE * size)
    validation = (train_stop + guard, train_stop + guard + max(round(VALIDATION_SHARE * size), guard))
    bounds = {"train": (0, train_stop), "validation": validation, "test": (validation[1] + guard, size)}
    return Split(dim, bounds, window)


def _inspect(paths: list[Path]) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipeline", "inspect", "--json", *map(str, paths)]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _label_range(axis: dict[str, Any], bounds: tuple[int, int]) -> str:
    step = (axis["last"] - axis["first"]) // max(axis["size"] - 1, 1)
    first, last = (axis["first"] + step * index for index in (bounds[0], bounds[1] - 1))
    return f"{first}:{last}"


def _at_most(largest: int, available: int) -> int:
    return min(largest, available) // NETWORK_MULTIPLE * NETWORK_MULTIPLE


def _compare(store: Path, split: Split, *, path: Path) -> dict[str, str]:
    dataset = xr.open_zarr(store)
    derived = xr.open_zarr(store / "derived/restored")
    amplitude, live, hidden = (array.values for array in (dataset.amplitude, dataset.live, derived.hidden))
    restored = derived.amplitude_restored.values
    line_shape = (-1, *amplitude.shape[-2:])
    test = np.zeros(amplitude.shape[:-1], bool)
    test[tuple(slice(*split.bounds["test"]) if dim == split.dim else slice(None) for dim in dataset.live.dims)] = True
    visible = live & ~hidden
    lines = zip(amplitude.reshape(line_shape), visible.reshape(-1, amplitude.shape[-2]), strict=True)
    interpolated = np.stack([interpolate_linearly(line, seen) for line, seen in lines]).reshape(amplitude.shape)
    judged = hidden & live & test
    network_db, linear_db = (snr_db(amplitude[judged], found[judged]) for found in (restored, interpolated))
    _draw(dataset.amplitude, restored, interpolated, hidden, test, path=path)
    return {
        "hidden traces judged": f"{int(judged.sum())} of {int((live & test).sum())} held out from training",
        "signal to noise, network": f"{network_db:.2f} dB",
        "signal to noise, linear interpolation": f"{linear_db:.2f} dB",
        "network above interpolation": f"{network_db - linear_db:+.2f} dB",
        "picture": str(path),
    }


def interpolate_linearly(line: NDArray[np.float32], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each sample of a line (trace, sample) from the nearest visible traces at either side; constant at the ends."""
    if not visible.any():
        return np.zeros_like(line)
    places = np.arange(len(line))
    return np.stack([np.interp(places, places[visible], samples[visible]) for samples in line.T], axis=1)


def snr_db(truth: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """10 log10 of the energy over the energy of the error."""
    truth, error = truth.astype(np.float64), found.astype(np.float64) - truth
    return float(10 * np.log10((truth**2).sum() / (error**2).sum()))


def _draw(
    amplitude: xr.DataArray,
    restored: NDArray[np.float32],
    interpolated: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    path: Path,
) -> None:
    """The test part of the line with most of it: as it was, with gaps, interpolated, restored, and both errors."""
    lines = test.reshape(-1, test.shape[-1])
    line = int(np.flatnonzero(lines.any(axis=1))[lines.any(axis=1).sum() // 2])
    columns = lines[line]
    sections = {
        name: values.reshape(-1, *amplitude.shape[-2:])[line][columns]
        for name, values in {"truth": amplitude.values, "linear": interpolated, "network": restored}.items()
    }
    gaps = hidden.reshape(-1, test.shape[-1])[line][columns]
    truth = sections["truth"]
    panels = {
        "as recorded": truth,
        "visible traces": np.where(gaps[:, None], np.nan, truth),
        "linear interpolation": sections["linear"],
        "network": sections["network"],
        "error, linear interpolation": sections["linear"] - truth,
        "error, network": sections["network"] - truth,
    }
    limit = float(np.percentile(np.abs(truth), 98)) or 1.0
    samples = amplitude[amplitude.dims[-1]]
    extent = (0, len(truth), float(samples[-1]), float(samples[0]))
    figure, axes = plt.subplots(2, 3, figsize=(15, 10), sharex=True, sharey=True, layout="constrained")
    for axis, (title, section) in zip(axes.flat, panels.items(), strict=True):
        axis.set_facecolor("tab:blue")
        axis.imshow(section.T, cmap="gray", vmin=-limit, vmax=limit, extent=extent, aspect="auto")
        axis.set_title(title)
    figure.supylabel(f"{amplitude.dims[-1]}, {samples.attrs.get('units', '')}")
    figure.supxlabel("trace of the part held out from training; hidden traces in blue")
    figure.savefig(path, dpi=110)
    plt.close(figure)
