"""The empty store: every array, dimension and attribute, before any sample is read."""

import warnings
from typing import Any

import numpy as np
import zarr

from data_catalog import Role, layout
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.design import StoreDesign, VolumeDesign
from pipeline.plan.group import GroupDesign, ManifestPart
from pipeline.segy.read import read_bytes
from pipeline.segy.samples import word_dtype
from pipeline.storage.codec import Codec
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.files import Survey
from pipeline.survey.order import NO_TRACE, AsInFile

CLASS = "uint8"

BINS_PER_CHUNK = 256
"""Of a histogram in the manifest: most chunks hold zeros alone and are not stored, the others take little memory."""


def object_url(store: str, path: str, index: tuple[int, ...]) -> str:
    """Where one object of an array lies: a chunk, or a shard of chunks."""
    return f"{store}/{path}/c/{'/'.join(map(str, index))}"


def create_template(url: str, design: StoreDesign, surveys: dict[str, Survey]) -> None:
    """Creates the group and its arrays, and fills what is small: axes and file headers.

    What an earlier design of the same store made is kept where it fits, with all that was written to it.

    Args:
        url: Path or fsspec URL of the group.
        design: What it should hold.
        surveys: The files of each variable, for their headers.
    """
    template = _Template(zarr.open_group(url, mode="a"), design)
    template.add_axes()
    template.add_coordinates()
    for volume in design.volumes:
        template.add_samples(volume)
        template.add_trace_origin(volume)
        if volume.label is None:
            template.add_file_headers(volume, surveys[volume.name])


def create_manifest(url: str, part: ManifestPart, chunks: tuple[int, ...]) -> None:
    """Creates the arrays of one variable's manifest.

    Args:
        url: The group that holds the variable.
        part: What is told of it.
        chunks: Chunk shape of the manifest's arrays on the grid of inner chunks.
    """
    root = zarr.open_group(url, mode="a")
    dims = tuple(f"{dim}_chunk" for dim in part.dims)
    for name, (dtype, extra) in part.arrays.items():
        create_array(
            root,
            layout.manifest_path(part.name, name),
            shape=(*part.chunks.chunk_grid, *extra),
            dtype=dtype,
            chunks=(*chunks, *(min(size, BINS_PER_CHUNK) for size in extra)),
            dimension_names=(*dims, f"{name}_bin")[: len(dims) + len(extra)],
        )


def create_group(url: str, design: GroupDesign) -> None:
    """Creates a group of computed arrays; what is there and fits is kept.

    Args:
        url: Path or fsspec URL of the group.
        design: What it should hold.
    """
    root = zarr.open_group(url, mode="a")
    for array in design.arrays:
        create_array(
            root,
            array.name,
            shape=array.chunks.shape,
            dtype=array.dtype,
            chunks=array.chunks.chunk_shape,
            shards=array.chunks.shard_shape,
            compressors=Codec(design.codec, np.dtype(array.dtype).itemsize).compressors(),
            fill_value=array.fill,
            dimension_names=array.dims,
            attributes=array.attributes,
        )
    along_tasks = design.chunks.trace_shard_shape[: design.task_dims]
    for field in design.fields:
        create_array(
            root,
            field.name,
            shape=field.shape,
            dtype=field.dtype,
            chunks=(*along_tasks, *field.shape[design.task_dims :]),
            compressors=Codec(design.codec, np.dtype(field.dtype).itemsize).compressors(),
            fill_value=field.fill,
            dimension_names=field.dims,
            attributes=field.attributes,
        )


def consolidate_metadata(url: str) -> None:
    """Copies the metadata of all arrays into the group's own, so that opening it is one read. Nothing is added later.

    Args:
        url: A group that is complete.
    """
    with warnings.catch_warnings():
        # Zarr's libraries agree on this extension of format 3, whose text does not have it yet; xarray asks for it.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", message=f"Object at {layout.WORK_GROUP} is not recognized")
        zarr.consolidate_metadata(url)


def codec_of(design: StoreDesign, dtype: str) -> Codec:
    """How arrays of a data type are compressed."""
    return Codec(design.codec, np.dtype(dtype).itemsize)


class _Template:
    """Adds arrays to a group, all with the design's chunks and codec."""

    def __init__(self, root: zarr.Group, design: StoreDesign) -> None:
        self.root = root
        self.design = design
        self.trace_shape = design.chunks.shape[:-1]
        self.trace_chunks = design.chunks.trace_shard_shape

    def add_axes(self) -> None:
        """Axes are written whole, but for one of traces in file order, which is as long as the survey."""
        in_file_order = isinstance(self.design.main.order, AsInFile)
        for axis in self.design.axes:
            array = self._add_axis(axis, "int64", chunks=self.trace_chunks if in_file_order else (axis.size,))
            if not in_file_order:
                array[:] = axis.values
        samples = self.design.samples
        self._add_axis(samples, "float64", chunks=(samples.size,))[:] = samples.values

    def add_coordinates(self) -> None:
        """Values for each trace, in chunks of one shard, so that the shard's task writes them too."""
        self._add_per_trace(layout.LIVE, "bool", "whether a trace was recorded here and is not all zero")
        for coordinate in self.design.coordinates:
            self._add_per_trace(
                coordinate.name,
                coordinate.dtype,
                coordinate.long_name,
                units=coordinate.units,
                fill=coordinate.empty,
            )

    def add_trace_origin(self, volume: VolumeDesign) -> None:
        """Where each trace of a volume came from, and its header."""
        self._add_per_trace(
            layout.trace_number_path(volume.key),
            "int64",
            "number of the trace in the source files, -1 where there is none",
            fill=NO_TRACE,
        )
        if volume.label is None:
            self._add_per_trace(
                layout.fate_path(volume.key),
                "uint8",
                "what became of the trace",
                flags={"flag_values": list(range(len(layout.FATES))), "flag_meanings": " ".join(layout.FATES)},
            )
            create_array(
                self.root,
                layout.trace_header_path(volume.key),
                shape=(*self.trace_shape, self.design.trace_header_nbytes),
                dtype="uint8",
                chunks=(*self.trace_chunks, self.design.trace_header_nbytes),
                compressors=codec_of(self.design, "uint8").compressors(),
                dimension_names=(*self.design.dims[:-1], layout.TRACE_HEADER_BYTE),
                attributes=_attributes(Role.COORDINATE, long_name="trace header as found in the source"),
            )

    def add_samples(self, volume: VolumeDesign) -> None:
        if volume.label is not None:
            attributes = _attributes(Role.CLASS_LABEL, long_name=f"{volume.name} class") | {
                "flag_values": list(volume.label.classes),
                "flag_meanings": " ".join(volume.label.classes.values()),
                "ignore_value": volume.label.ignore_value,
            }
            self._add_volume(volume.name, CLASS, attributes, fill=volume.label.ignore_value)
            return
        self._add_volume(
            volume.name, volume.dtype, _attributes(Role.INPUT, long_name="seismic " + volume.name), fill=0.0
        )
        if not self.design.dropped_bits:
            self._add_volume(
                layout.residue_path(volume.name),
                word_dtype(volume.sample_format),
                {"long_name": "source word XOR the word that encoding the stored sample gives"},
                fill=0,
            )

    def add_file_headers(self, volume: VolumeDesign, survey: Survey) -> None:
        for index, file in enumerate(survey.files):
            header = np.frombuffer(read_bytes(file.url, 0, file.header_nbytes), np.uint8)
            array = create_array(
                self.root,
                layout.file_header_path(index, volume.key),
                shape=header.shape,
                dtype="uint8",
                chunks=header.shape,
                dimension_names=("source_byte",),
            )
            array[:] = header

    def _add_axis(self, axis: Axis | SampleAxis, dtype: str, *, chunks: tuple[int, ...]) -> zarr.Array[Any]:
        return create_array(
            self.root,
            axis.name,
            shape=(axis.size,),
            dtype=dtype,
            chunks=chunks,
            compressors=codec_of(self.design, dtype).compressors(),
            dimension_names=(axis.name,),
            attributes=_attributes(Role.COORDINATE, long_name=axis.long_name, units=axis.units),
        )

    def _add_volume(self, path: str, dtype: str, attributes: dict[str, Any], *, fill: float) -> None:
        chunks: ChunkPlan = self.design.chunks
        spatial = [coordinate.name for coordinate in self.design.coordinates]
        create_array(
            self.root,
            path,
            shape=chunks.shape,
            dtype=dtype,
            chunks=chunks.chunk_shape,
            shards=chunks.shard_shape,
            compressors=codec_of(self.design, dtype).compressors(),
            fill_value=fill,
            dimension_names=self.design.dims,
            # CF: xarray makes coordinates of the variables named here.
            attributes=attributes | {"coordinates": " ".join([*spatial, layout.LIVE, layout.TRACE_NUMBER])},
        )

    def _add_per_trace(
        self,
        path: str,
        dtype: str,
        long_name: str,
        *,
        units: str | None = None,
        fill: float = 0,
        flags: dict[str, Any] | None = None,
    ) -> None:
        create_array(
            self.root,
            path,
            shape=self.trace_shape,
            dtype=dtype,
            chunks=self.trace_chunks,
            compressors=codec_of(self.design, dtype).compressors(),
            fill_value=fill,
            dimension_names=self.design.dims[:-1],
            attributes=_attributes(Role.COORDINATE, long_name=long_name, units=units) | (flags or {}),
        )


def create_array(root: zarr.Group, path: str, *, shape: tuple[int, ...], **settings: Any) -> zarr.Array[Any]:
    """Creates an array, unless it is there already: then its shape is brought up to date, and its content kept."""
    found = root.get(path)
    if isinstance(found, zarr.Array) and (found.chunks, found.dtype) == (
        settings["chunks"],
        np.dtype(settings["dtype"]),
    ):
        if found.shape != shape:
            found.resize(shape)
        if found.attrs.asdict() != settings.get("attributes", {}):
            found.attrs.put(settings.get("attributes", {}))
        return found
    _require_parents(root, path)
    return root.create_array(path, shape=shape, overwrite=True, **settings)


def _require_parents(root: zarr.Group, path: str) -> None:
    """Makes the groups above an array, the outer ones first.

    Zarr would make them as well, but after the array: a kill in between would leave an array that is found complete
    later, in a folder that is none of the store's groups.
    """
    parent = path.rpartition("/")[0]
    if parent:
        _require_parents(root, parent)
        root.require_group(parent)


def _attributes(role: Role, *, long_name: str, units: str | None = None) -> dict[str, Any]:
    attributes = {"role": role.value, "long_name": long_name}
    return attributes if units is None else attributes | {"units": units}
