"""NumPy files into a dataset of examples: the input, and the single numbers that lie beside it."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, Kind, Role
from pipeline.create import AxisLabels, Contents
from pipeline.group_run import Made
from pipeline.ingest.images import sample_labels
from pipeline.ingest.recipe import Arrays, IngestRecipe
from pipeline.plan.chunking import plan_examples
from pipeline.plan.group import ArrayDesign, FieldDesign, GroupDesign
from pipeline.shards.fill import Blocks
from pipeline.storage.many_files import matching_files, names_of
from pipeline.storage.objects import read_object

SUFFIXES = (".npz", ".npy")
SAMPLES = ("time", "depth")


@dataclass(frozen=True)
class ArrayMaker:
    """Reads examples.

    Attributes:
        urls: A file for each.
        array: Name of the input in them; None where each is one array.
        order: Dimensions of an example as stored, by their places in the files.
        shape: Of an example, as stored.
        dtype: As stored.
        variable: What the input becomes.
        numbers: Names of single numbers beside it.
    """

    urls: tuple[str, ...]
    array: str | None
    order: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    variable: str
    numbers: tuple[str, ...]

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Examples of a range, and their numbers: NaN where a file has none."""
        urls = self.urls[where[0]]
        block = np.empty((len(urls), *self.shape), self.dtype)
        numbers = {name: np.full(len(urls), np.nan) for name in self.numbers}
        for row, url in enumerate(urls):
            found = read_arrays(url)
            values = np.transpose(_input(found, self.array, url), self.order)
            if values.shape != self.shape:
                raise InputError(
                    f"{url} holds {values.shape}, where {self.shape} was expected: all examples are alike."
                )
            block[row] = values
            for name in self.numbers:
                if name in found:
                    numbers[name][row] = float(found[name].reshape(-1)[0])
        return {self.variable: block, **numbers}


def read_arrays(url: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name; of ``.npy``, one without a name. Nothing is unpickled.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        loaded = np.load(io.BytesIO(read_object(url)), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise InputError(f"no such file: {url}.") from None
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise InputError(f"{url} holds no plain NumPy arrays: {error}.") from None


def prepare_arrays(arrays: Arrays, recipe: IngestRecipe) -> Contents:
    """Looks at the first file, and lays the dataset out as if all were like it; each task sees whether they are.

    Args:
        arrays: Which files.
        recipe: What they become.

    Raises:
        InputError: If there are none, or the first is not as said.
    """
    urls = matching_files(arrays.paths, suffixes=SUFFIXES)
    found = read_arrays(urls[0])
    values = _input(found, arrays.array, urls[0])
    if values.ndim != len(arrays.dims):
        raise InputError(f"{urls[0]} holds an array of {values.ndim} dimensions, and {len(arrays.dims)} are named.")
    order = tuple(sorted(range(values.ndim), key=lambda dim: arrays.dims[dim] in SAMPLES))
    dims = tuple(arrays.dims[dim] for dim in order)
    shape = tuple(values.shape[dim] for dim in order)
    dtype = "float32" if values.dtype.kind == "f" else str(values.dtype)
    numbers = tuple(name for name, each in found.items() if each.size == 1 and each.dtype.kind in "iufb")
    axes = (
        AxisLabels("example", np.arange(len(urls)), "example"),
        *(_axis(dim, size, arrays) for dim, size in zip(dims, shape, strict=True)),
    )
    itemsize = np.dtype(dtype).itemsize
    chunks = plan_examples((len(urls), *shape), along=0, itemsize=itemsize, chunk_nbytes=recipe.chunk_nbytes)
    array = ArrayDesign(
        name=recipe.variable,
        role=Role.INPUT,
        dims=("example", *dims),
        dtype=dtype,
        chunks=chunks,
        long_name=arrays.array or recipe.variable,
    )
    fields = tuple(
        FieldDesign(
            name=name, dims=("example",), shape=(len(urls),), dtype="float64", fill=float("nan"), long_name=name
        )
        for name in numbers
    )
    maker = ArrayMaker(urls, arrays.array, order, shape, dtype, recipe.variable, numbers)
    left_out = sorted(name for name, each in found.items() if each is not values and name not in numbers)
    warnings = (f"{', '.join(left_out)} of the files are no single numbers, and left out",) if left_out else ()
    design = GroupDesign(chunks=chunks, arrays=(array,), fields=fields, task_dims=1, codec=recipe.codec)
    made = Made(design, maker)
    return Contents(Kind.EXAMPLES, recipe.variable, axes, made, names=names_of(urls), warnings=warnings)


def _axis(dim: str, size: int, arrays: Arrays) -> AxisLabels:
    if dim in SAMPLES:
        return sample_labels(arrays.samples.model_copy(update={"domain": dim}), size)
    return AxisLabels(dim, np.arange(size), dim)


def _input(found: dict[str, NDArray[Any]], name: str | None, url: str) -> NDArray[Any]:
    large = [key for key, values in found.items() if values.size > 1 and values.dtype.kind in "iuf"]
    if name is None and len(large) == 1:
        return found[large[0]]
    if name is None or name not in found:
        raise InputError(f"{url} holds {', '.join(found) or 'nothing'}: say with --array which is the input.")
    return found[name]
