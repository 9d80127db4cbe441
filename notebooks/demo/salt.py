"""The demo on made-up data: SEG-Y of a survey over salt and of its labels, to a network that finds the salt."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from commands import Commands
from numpy.typing import NDArray
from report import training_rates

HERE = Path(__file__).parent
SPLITS = {"train": "inline:0%:60%", "validation": "inline:64%:74%", "test": "inline:77%:100%"}
RECIPE = "trainer/recipes/salt_unet.yaml"


def find_salt(commands: Commands, *, folder: Path) -> dict[str, str]:
    """Runs the whole way, and leaves ``salt.png``.

    Returns:
        Figures by name.
    """
    amplitude, label, store = folder / "amplitude.segy", folder / "salt.segy", folder / "salt.zarr"
    run, exported = folder / "run", folder / "salt_predicted.segy"
    splits = [word for name, text in SPLITS.items() for word in ("--split", f"{name}={text}")]
    commands.run("make the survey", "pipeline", "synthesize", HERE / "salt_survey.yaml", "--out", folder)
    convert_s = commands.run(
        "convert, two Dask threads",
        *("pipeline", "convert", amplitude, "--label", f"salt={label}", "--classes", "salt=rock,salt"),
        *("--name", "salt", "--out", store, "--workers", 2, "--memory", "3GiB", *splits),
    )
    commands.run("list the catalog", "data_catalog", "list")
    commands.run("train, two ranks", "trainer", "fit", RECIPE, "--set", "dataset.name=salt", "--out", run, ranks=2)
    commands.run("predict the test split", "trainer", "predict", run, "--id", "unet", ranks=2)
    commands.run(
        "export the prediction",
        "pipeline",
        "export",
        "salt",
        "--variable",
        "derived/unet/salt_class",
        "--out",
        exported,
    )
    dataset = xr.open_zarr(store)
    test = _test_inlines(dataset)
    truth = dataset["salt"][test].values
    predicted = xr.open_zarr(store / "derived/unet")["salt_class"][test].values
    _draw(dataset["amplitude"][test], truth, predicted, path=folder / "salt.png")
    source_nbytes = amplitude.stat().st_size + label.stat().st_size
    store_nbytes = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return {
        "SEG-Y, two files": f"{source_nbytes / 1e6:.0f} MB",
        "store": f"{store_nbytes / 1e6:.0f} MB",
        "convert": f"{source_nbytes / 1e6 / convert_s:.0f} MB/s, start of the workers included",
        **training_rates(run),
        "salt IoU, held-out inlines (synthetic)": f"{intersection_over_union(truth, predicted == 1):.3f}",
        "salt IoU of the best constant guess": f"{intersection_over_union(truth, np.ones_like(truth, bool)):.3f}",
        "picture": str(folder / "salt.png"),
        "prediction as SEG-Y": str(exported),
    }


def intersection_over_union(truth: NDArray[np.uint8], predicted: NDArray[np.bool_]) -> float:
    """IoU of class 1 over the samples that are not ignored."""
    counted = truth != 255
    salt = (truth == 1) & counted
    return float((salt & predicted).sum() / ((salt | predicted) & counted).sum())


def _test_inlines(dataset: xr.Dataset) -> slice:
    first, last = (int(share.rstrip("%")) for share in SPLITS["test"].split(":")[1:])
    return slice(round(dataset.sizes["inline"] * first / 100), round(dataset.sizes["inline"] * last / 100))


def _draw(amplitude: xr.DataArray, truth: NDArray[np.uint8], predicted: NDArray[np.uint8], *, path: Path) -> None:
    """Section, label and prediction of the inline in the middle of the test split."""
    middle = amplitude.sizes["inline"] // 2
    section = amplitude[middle]
    extent = (section.crossline[0], section.crossline[-1], section.time[-1], section.time[0])
    limit = float(np.percentile(np.abs(section), 98))
    figure, axes = plt.subplots(1, 3, figsize=(15, 6), sharey=True, layout="constrained")
    for axis, title, overlay in zip(
        axes, ("amplitude", "label: salt", "prediction: salt"), (None, truth[middle], predicted[middle]), strict=True
    ):
        axis.imshow(section.T, cmap="gray", vmin=-limit, vmax=limit, extent=extent, aspect="auto")
        if overlay is not None:
            shown = np.ma.masked_not_equal(overlay.T, 1)
            axis.imshow(shown, cmap="autumn", alpha=0.45, extent=extent, aspect="auto", interpolation="nearest")
        axis.set(title=title, xlabel="crossline")
    axes[0].set_ylabel("two-way time, ms")
    figure.suptitle(f"inline {int(section.inline)}, held out from training (synthetic survey)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
