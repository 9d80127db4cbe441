"""The empty store: every array, dimension and attribute, before any sample is read."""

import warnings
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from data_catalog import Role, layout
from pipeline.design import StoreDesign
from pipeline.recipe import Codec, Label

HEADER_DIMS = ("source_byte",)


def create_template(url: str, design: StoreDesign) -> None:
    """Creates the group and its arrays; coordinates and trace numbers are filled, samples are not.

    Args:
        url: Path or fsspec URL of a group that does not exist.
        design: What it should hold.
    """
    root = zarr.create_group(url)
    template = _Template(root, design)
    template.add_axes()
    template.add_trace_values()
    template.add_main_variable()
    for name, label in design.labels.items():
        template.add_label(name, label)
    template.add_source_headers()


def consolidate_metadata(url: str) -> None:
    """Copies the metadata of all arrays into the group's own, so that opening it is one read. Nothing is added later.

    Args:
        url: A group that is complete.
    """
    with warnings.catch_warnings():
        # Zarr's libraries agree on this extension of format 3, whose text does not have it yet; xarray asks for it.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(url)


class _Template:
    """Adds arrays to a group, all with the design's chunks and codec."""

    def __init__(self, root: zarr.Group, design: StoreDesign) -> None:
        self.root = root
        self.design = design
        self.trace_shape = design.geometry.trace_number.shape

    def add_axes(self) -> None:
        for axis in self.design.axes:
            attributes = _attributes(Role.COORDINATE, long_name=axis.long_name, units=axis.units)
            array = self.root.create_array(
                axis.name,
                shape=(axis.size,),
                dtype=axis.values.dtype,
                chunks=(axis.size,),
                dimension_names=(axis.name,),
                attributes=attributes,
            )
            array[:] = axis.values

    def add_trace_values(self) -> None:
        """Values for each trace, in chunks of one shard, so that the shard's task writes them too."""
        design = self.design
        self._add_per_trace(layout.LIVE, "bool", "whether a trace was recorded here and is not all zero")
        self._add_per_trace(
            layout.TRACE_NUMBER, "int64", "number of the trace in the source files, -1 where there is none", fill=-1
        )[...] = design.geometry.trace_number
        for coordinate in design.coordinates:
            self._add_per_trace(coordinate.name, coordinate.values.dtype, coordinate.long_name, units=coordinate.units)[
                ...
            ] = coordinate.values
        self.root.create_array(
            layout.TRACE_HEADER,
            shape=(*self.trace_shape, design.trace_header_nbytes),
            dtype="uint8",
            chunks=(*self._trace_chunks(), design.trace_header_nbytes),
            compressors=_compressors(design.codec, itemsize=1),
            dimension_names=(*design.dims[:-1], layout.TRACE_HEADER_BYTE),
            attributes=_attributes(Role.COORDINATE, long_name="trace header as found in the source"),
        )

    def add_main_variable(self) -> None:
        design = self.design
        self._add_samples(
            design.variable, "float32", _attributes(Role.INPUT, long_name="seismic " + design.variable), fill=0.0
        )
        self._add_samples(
            layout.residue_path(design.variable),
            "uint32",
            {"long_name": "source word XOR the word that encoding the stored sample gives"},
            fill=0,
        )
        for statistic, dtype in layout.STATISTICS.items():
            self._add_manifest(design.variable, statistic, dtype)

    def add_label(self, name: str, label: Label) -> None:
        attributes = _attributes(Role.CLASS_LABEL, long_name=f"{name} class") | {
            "flag_values": list(label.classes),
            "flag_meanings": " ".join(label.classes.values()),
            "ignore_value": label.ignore_value,
        }
        self._add_samples(name, "uint8", attributes, fill=label.ignore_value)
        self._add_manifest(name, layout.CLASS_COUNTS, "int64", extra=(layout.CLASS_VALUE_COUNT,))
        self._add_per_trace(
            layout.label_traces_path(name), "int64", "number of the trace in the label's source files", fill=-1
        )[...] = self.design.label_traces[name]

    def add_source_headers(self) -> None:
        for index, header in enumerate(self.design.file_headers):
            array = self.root.create_array(
                layout.file_header_path(index),
                shape=(len(header),),
                dtype="uint8",
                chunks=(len(header),),
                dimension_names=HEADER_DIMS,
            )
            array[:] = np.frombuffer(header, np.uint8)

    def _add_samples(self, path: str, dtype: str, attributes: dict[str, Any], *, fill: float) -> None:
        design = self.design
        spatial = [coordinate.name for coordinate in design.coordinates]
        self.root.create_array(
            path,
            shape=design.plan.shape,
            dtype=dtype,
            chunks=design.plan.chunk_shape,
            shards=design.plan.shard_shape,
            compressors=_compressors(design.codec, itemsize=np.dtype(dtype).itemsize),
            fill_value=fill,
            dimension_names=design.dims,
            # CF: xarray makes coordinates of the variables named here.
            attributes=attributes | {"coordinates": " ".join([*spatial, layout.LIVE, layout.TRACE_NUMBER])},
        )

    def _add_per_trace(
        self, path: str, dtype: Any, long_name: str, *, units: str | None = None, fill: int = 0
    ) -> zarr.Array[Any]:
        return self.root.create_array(
            path,
            shape=self.trace_shape,
            dtype=dtype,
            chunks=self._trace_chunks(),
            compressors=_compressors(self.design.codec, itemsize=np.dtype(dtype).itemsize),
            fill_value=fill,
            dimension_names=self.design.dims[:-1],
            attributes=_attributes(Role.COORDINATE, long_name=long_name, units=units),
        )

    def _add_manifest(self, variable: str, statistic: str, dtype: str, *, extra: tuple[int, ...] = ()) -> None:
        plan = self.design.plan
        grid_dims = tuple(f"{dim}_chunk" for dim in self.design.dims)
        self.root.create_array(
            layout.manifest_path(variable, statistic),
            shape=(*plan.chunk_grid, *extra),
            dtype=dtype,
            chunks=(*plan.chunks_per_shard, *extra),
            dimension_names=(*grid_dims, "class_value")[: len(plan.chunk_grid) + len(extra)],
        )

    def _trace_chunks(self) -> tuple[int, ...]:
        return self.design.plan.trace_shard_shape


def _attributes(role: Role, *, long_name: str, units: str | None = None) -> dict[str, Any]:
    attributes = {"role": role.value, "long_name": long_name}
    return attributes if units is None else attributes | {"units": units}


def _compressors(codec: Codec, *, itemsize: int) -> tuple[BloscCodec, ...]:
    if codec == "none":
        return ()
    # Bytes have no bits that run together across samples: bit-shuffling pays for wider types only.
    return (
        BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle" if itemsize > 1 else "noshuffle", typesize=itemsize),
    )
