"""What a store will hold, decided from headers alone: axes, coordinates, chunks, and where each trace comes from."""

from collections.abc import Iterator

from pydantic import Field as PydanticField

from data_catalog import InputError, Kind, layout
from data_catalog.schema import Model, Name
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.costs import plan_chunks_for
from pipeline.plan.group import ManifestPart
from pipeline.recipe import BadTraces, ConvertRecipe, Duplicates, Label
from pipeline.segy.fields import IBM
from pipeline.segy.fields import Field as HeaderField
from pipeline.segy.samples import native_dtype
from pipeline.storage.codec import CodecName
from pipeline.storage.new_objects import is_streamed
from pipeline.storage.rounding import FLOAT32_BITS
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.coordinates import TraceCoordinate, record_warnings, sample_axis, trace_coordinates
from pipeline.survey.files import Survey
from pipeline.survey.geometry import Geometry
from pipeline.survey.header_words import STACKED
from pipeline.survey.headers import SurveyHeaders
from pipeline.survey.order import AsInFile, Indexed, Order
from pipeline.work.memory import WorkerMemory


class VolumeDesign(Model):
    """One variable that is made from SEG-Y files.

    Attributes:
        name: Of the variable.
        order: Where its traces lie in its files.
        label: What its samples mean, where they are classes.
        sample_format: Code of the format of its files.
        dtype: Of its samples.
        is_main: Whether the grid, the coordinates and ``live`` are its own.
        words: Header words that make the geometry.
        moved: Those of them that lie elsewhere than was known when the files were opened.
    """

    name: Name
    order: Order
    label: Label | None = None
    sample_format: int = IBM
    dtype: str = "float32"
    is_main: bool = False
    words: tuple[str, ...] = STACKED
    moved: dict[str, HeaderField] = PydanticField(default_factory=dict)

    @property
    def key(self) -> str | None:
        """Names its headers and trace numbers in the store: None for the main variable."""
        return None if self.is_main else self.name


class StoreDesign(Model):
    """Everything that decides the arrays of a store.

    Attributes:
        kind: What the dimensions mean.
        axes: Trace axes.
        keys: Words that tell traces apart where they lie in the order of their files.
        samples: The sample axis.
        coordinates: Values for each trace.
        chunks: Chunks and shards.
        volumes: Variables made from files, the main one first.
        trace_header_nbytes: Bytes of a trace header.
        codec: How chunks are compressed.
        significant_bits: What samples are rounded to; None keeps them as they are.
        duplicates: Which of several traces has a cell that they have in common.
        bad_traces: What becomes of traces with samples that are no numbers.
        auxiliary_count: Traces of the main variable that are no data and have no cell.
        warnings: What was odd in the files, and how it was decided.
    """

    kind: Kind
    axes: tuple[Axis, ...]
    keys: tuple[str, ...] = ()
    samples: SampleAxis
    coordinates: tuple[TraceCoordinate, ...]
    chunks: ChunkPlan
    volumes: tuple[VolumeDesign, ...]
    trace_header_nbytes: int
    codec: CodecName
    significant_bits: int | None
    duplicates: Duplicates = "first"
    bad_traces: BadTraces = "salvage"
    auxiliary_count: int = 0
    warnings: tuple[str, ...]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimension names of the variables."""
        return (*(axis.name for axis in self.axes), self.samples.name)

    @property
    def all_axes(self) -> tuple[Axis | SampleAxis, ...]:
        """Axes of the variables, slowest first."""
        return (*self.axes, self.samples)

    @property
    def headers_tell_shards(self) -> bool:
        """Whether the header of a trace tells its shard: not where several with the same numbers lie side by side."""
        return all(axis.word is not None for axis in self.axes)

    @property
    def dropped_bits(self) -> int:
        """Significant bits that samples are rounded off by."""
        return 0 if self.significant_bits is None else FLOAT32_BITS - self.significant_bits

    @property
    def manifest_parts(self) -> tuple[ManifestPart, ...]:
        """The manifest of each variable."""
        return tuple(
            ManifestPart(volume.name, self.dims, self.chunks, self.manifest_arrays(volume)) for volume in self.volumes
        )

    def manifest_arrays(self, volume: VolumeDesign) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Data type of each manifest array of a volume, and its shape beyond the chunk grid."""
        return layout.manifest_arrays(is_label=volume.label is not None, is_rounded=self.significant_bits is not None)

    def located(self, surveys: dict[str, Survey]) -> dict[str, Survey]:
        """The files of each variable, whose header words are read where this design says that they are."""
        return {volume.name: surveys[volume.name].with_words(volume.words, volume.moved) for volume in self.volumes}

    @property
    def main(self) -> VolumeDesign:
        """The volume whose grid this is."""
        return self.volumes[0]


def design_store(
    recipe: ConvertRecipe,
    surveys: dict[str, Survey],
    headers: dict[str, SurveyHeaders],
    geometry: Geometry,
    *,
    memory: WorkerMemory,
    earlier: ChunkPlan | None = None,
) -> StoreDesign:
    """Lays the store out.

    Args:
        recipe: What to make.
        surveys: The files of each variable, opened and checked.
        headers: What is known of their trace headers.
        geometry: Where the main variable's traces lie.
        memory: What workers have.
        earlier: Chunks and shards of an earlier design of the same store, whose shapes are kept.

    Raises:
        InputError: If a volume does not fit the main one, or a worker has too little memory.
    """
    survey, main = surveys[recipe.variable], headers[recipe.variable]
    samples = sample_axis(survey.files[0], main.first, domain=recipe.domain)
    volumes = tuple(
        VolumeDesign(
            name=name,
            order=_order(name, recipe, surveys, geometry, headers[name]),
            label=recipe.labels.get(name),
            sample_format=surveys[name].files[0].format_code,
            dtype=native_dtype(surveys[name].files[0].format_code) if recipe.native_dtype else "float32",
            is_main=name == recipe.variable,
            words=headers[name].survey.names,
            moved=_moved(surveys[name], headers[name].survey),
        )
        for name in surveys
    )
    oddities = [f"{file.url}: {oddity}" for each in surveys.values() for file in each.files for oddity in file.oddities]
    return StoreDesign(
        kind=geometry.kind,
        axes=geometry.axes,
        keys=geometry.keys,
        samples=samples,
        coordinates=trace_coordinates(main.summary, main.first, geometry, feet=survey.files[0].feet),
        chunks=_chunks(recipe, (*geometry.shape, samples.size), survey, earlier, memory),
        volumes=volumes,
        trace_header_nbytes=survey.files[0].trace_header_nbytes,
        codec=recipe.codec,
        significant_bits=recipe.significant_bits,
        duplicates=_duplicates(recipe, geometry),
        bad_traces=recipe.bad_traces,
        auxiliary_count=geometry.auxiliary_count,
        warnings=(
            *oddities,
            *_other_starts(recipe, surveys, headers, samples),
            *record_warnings(geometry.axes, survey.files[0]),
            *_rounding(recipe),
            *(geometry.reasons if geometry.kind is Kind.FLAT else geometry.reasons[-1:] if _is_odd(geometry) else ()),
        ),
    )


def _is_odd(geometry: Geometry) -> bool:
    """Whether there is something about the geometry that a user should be told."""
    is_ragged = geometry.is_in_file_order and geometry.kind is not Kind.STACK2D
    return is_ragged or (geometry.axes[-1].word is None and not geometry.is_in_file_order)


def _duplicates(recipe: ConvertRecipe, geometry: Geometry) -> Duplicates:
    """Who has a cell that several traces claim; along a dimension they lie only if there is one."""
    if recipe.duplicates == "dimension":
        return "first" if geometry.axes[-1].word is not None else "dimension"
    return recipe.duplicates or "first"


def _order(
    name: str, recipe: ConvertRecipe, surveys: dict[str, Survey], geometry: Geometry, headers: SurveyHeaders
) -> Order:
    if not geometry.is_in_file_order:
        return headers.order or Indexed()
    expected, found = surveys[recipe.variable].trace_count, surveys[name].trace_count
    if expected != found:
        raise does_not_fit(name, surveys[name], f"expected {expected} traces as in the main survey, found {found}")
    return AsInFile()


def _moved(opened: Survey, located: Survey) -> dict[str, HeaderField]:
    """Words whose places were found out."""
    return {name: field for name, field in located.fields[0].items() if opened.fields[0].get(name) != field}


def check_samples(recipe: ConvertRecipe, surveys: dict[str, Survey]) -> None:
    """Sees that the traces of all variables are cut up alike.

    Raises:
        InputError: If a volume's differ from the main one's.
    """
    main = surveys[recipe.variable].files[0]
    for name, survey in surveys.items():
        is_label = name in recipe.labels
        for field in ("sample_count",) if is_label else ("sample_count", "sample_interval_us", "trace_header_nbytes"):
            expected, found = getattr(main, field), getattr(survey.files[0], field)
            if expected != found:
                reason = f"its {field.replace('_', ' ')} is {found}, and the survey's is {expected}"
                raise does_not_fit(name, survey, reason)


def does_not_fit(name: str, survey: Survey, reason: str) -> InputError:
    """Says that a volume and the main one do not share a grid."""
    files = ", ".join(file.url for file in survey.files)
    return InputError(f"{name!r} ({files}) does not lie on the survey's grid: {reason}.")


def _other_starts(
    recipe: ConvertRecipe, surveys: dict[str, Survey], headers: dict[str, SurveyHeaders], samples: SampleAxis
) -> Iterator[str]:
    """Volumes whose first samples are not at the main one's time or depth, if headers are to be believed."""
    for name in recipe.volumes:
        own = sample_axis(surveys[name].files[0], headers[name].first, domain=recipe.domain)
        if own.first != samples.first:
            yield (
                f"{name} begins at {own.first:g} {own.units} by its first trace header, and {recipe.variable} at "
                f"{samples.first:g}: they are taken to begin together"
            )


def _rounding(recipe: ConvertRecipe) -> tuple[str, ...]:
    if recipe.significant_bits is None:
        return ()
    return (f"samples are rounded to {recipe.significant_bits} significant bits, and are exported so",)


def _chunks(
    recipe: ConvertRecipe, shape: tuple[int, ...], survey: Survey, earlier: ChunkPlan | None, memory: WorkerMemory
) -> ChunkPlan:
    if earlier is not None and len(earlier.shape) == len(shape):
        return ChunkPlan(shape, earlier.chunk_shape, earlier.shard_shape)
    return plan_chunks_for(
        shape,
        trace_nbytes=survey.trace_nbytes,
        header_nbytes=survey.files[0].trace_header_nbytes,
        memory=memory,
        chunk_nbytes=recipe.chunk_nbytes,
        shard_nbytes=recipe.shard_nbytes,
        is_streamed=is_streamed(recipe.out),
    )
