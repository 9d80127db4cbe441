"""What the user asks of labels: one checked value, from the command line, from a YAML file, or from both."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from data_catalog.schema import Model, Name, Url
from pipeline.recipe import HeaderBytes, Sources
from pipeline.segy.opening import Reading
from pipeline.storage.codec import CodecName
from pipeline.storage.objects import absolute

ClassNumber = Annotated[int, Field(ge=0, le=255)]
ClassWord = Annotated[str, Field(pattern=r"^\S+$")]
Classes = Annotated[dict[ClassNumber, ClassWord], Field(min_length=1)]

SourcePath = Annotated[Url, AfterValidator(absolute)]
"""A file, a folder or a pattern; what is kept of it says where it is by itself."""

IGNORE = 255

Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
Match = Literal["numbers", "positions"]
Column = Literal["inline", "crossline", "x", "y", "z", "stick", "-"]
ZChoice = Literal["down", "up", "seconds", "seconds_up"]


class VolumeLabels(Model):
    """SEG-Y whose samples are class numbers, on the dataset's grid or on one that overlaps it.

    Attributes:
        paths: Its files.
        classes: A word for each class number.
        match: Whether traces belong together that have the same inline and crossline ``numbers``, or that are at the
            same map ``positions``; None takes the numbers, and refuses where positions or the extent contradict them.
        header_bytes: Header positions, where they are known.
        reading: How the files are to be read.
    """

    source: Literal["volume"] = "volume"
    paths: Sources
    classes: Classes
    match: Match | None = None
    header_bytes: HeaderBytes = Field(default_factory=HeaderBytes)
    reading: Reading = Field(default_factory=Reading)


class Horizon(Model):
    """A surface as text.

    Attributes:
        name: What the surface is called, and its variable.
        path: The file: a point a line, as ``x y z`` or ``inline crossline z``, or as Petrel, OpendTect and Charisma
            write them.
        columns: What its columns are, of ``inline``, ``crossline``, ``x``, ``y``, ``z`` and ``-``; None finds out.
        z: What z is, of this file alone.
    """

    name: Name
    path: SourcePath
    columns: tuple[Column, ...] | None = None
    z: ZChoice | None = None


class PictureLabels(Model):
    """Pictures whose colours are classes: of the sections of a volume, or of examples.

    Attributes:
        paths: Files, folders or patterns; the last number in a name is that of its section, or of its example.
        each: What a picture is: an ``inline``, a ``crossline`` or an ``example``.
        classes: A word for each class number.
        palette: Their colours, as ``#RRGGBB``, in the same order.
        tolerance: Of red, green and blue, up to which a colour is one of the palette.
        blend: Pixels to the nearest such colour, up to which others, blends at an edge, take its class.
        ignored: Colours whose pixels are left out.
    """

    source: Literal["pictures"] = "pictures"
    paths: Annotated[tuple[SourcePath, ...], Field(min_length=1)]
    each: Literal["inline", "crossline", "example"] = "inline"
    classes: Classes
    palette: tuple[Colour, ...]
    tolerance: Annotated[int, Field(ge=0, le=255)] = 4
    blend: Annotated[float, Field(ge=0)] = 3.0
    ignored: tuple[Colour, ...] = ()

    @model_validator(mode="after")
    def _a_colour_each(self) -> Self:
        if len(self.palette) != len(self.classes):
            raise ValueError(
                f"{len(self.classes)} classes need as many colours, and the palette has {len(self.palette)}"
            )
        colours = self.colours
        apart = np.abs(colours[:, None] - colours[None]).max(axis=-1) + 256 * np.eye(len(colours), dtype=int)
        if apart.min() <= 2 * self.tolerance:
            raise ValueError("two colours of the palette are nearer to each other than twice the tolerance")
        return self

    @property
    def colours(self) -> NDArray[np.int64]:
        """int64 (class, 3): red, green and blue."""
        return _rgb(self.palette)

    @property
    def ignored_colours(self) -> NDArray[np.int64]:
        """int64 (colour, 3): red, green and blue."""
        return _rgb(self.ignored)


def _rgb(colours: tuple[str, ...]) -> NDArray[np.int64]:
    found = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]
    return np.array(found, np.int64).reshape(-1, 3)


class ArrivalLabels(Model):
    """Arrivals as masks in time: each phase a class of its own around its picks, 0 elsewhere.

    Attributes:
        paths: QuakeML, or CSV files of picks: columns named like the dataset's dimensions or coordinates (``shot`` and
            ``channel``, ``example`` or ``name``; for continuous records ``receiver``, or ``station`` with ``network``
            and ``location``), ``phase``, and ``time`` in ms from the first label's zero, or ``sample``; for continuous
            records ``time`` as a date and time, or seconds since 1970.
        stations: A CSV file with columns ``station`` and ``receiver``, and perhaps ``network`` and ``location``; None
            where the dataset has text coordinates of those names, or stations are called by the number of their
            receiver.
        coordinates: Coordinates of the dataset that hold picks in samples, by phase, instead of files.
        phases: From class 1 on; picks of others are passed over. ``P`` and ``S`` mean all direct waves, ``Pg`` and
            ``Sn`` too, but for those that are asked for by name.
        width: Of a mask, in ms.
        ignore_band: On either side of it, in ms.
        unpicked: What traces without any pick are: ``none`` of the phases throughout, or left out.
    """

    source: Literal["arrivals"] = "arrivals"
    paths: tuple[SourcePath, ...] = ()
    stations: SourcePath | None = None
    coordinates: dict[ClassWord, Name] = Field(default_factory=dict)
    phases: Annotated[tuple[ClassWord, ...], Field(min_length=1, max_length=254)]
    width: Annotated[float, Field(gt=0)]
    ignore_band: Annotated[float, Field(ge=0)] = 0.0
    unpicked: Literal["none", "ignore"] = "none"

    @model_validator(mode="after")
    def _picks_from_somewhere(self) -> Self:
        if bool(self.paths) == bool(self.coordinates):
            raise ValueError("picks come from files (paths), or from coordinates of the dataset")
        if unknown := self.coordinates.keys() - set(self.phases):
            raise ValueError(f"{', '.join(sorted(unknown))} of the coordinates is none of the phases")
        return self


class Fault(Model):
    """A fault as text: sticks, which are polylines down its surface, one beside the other.

    Attributes:
        name: What the fault is called.
        path: The file: a point a line, with a column that numbers the sticks, or an empty line between them.
        columns: What its columns are; None finds out.
        z: What z is, of this file alone.
    """

    name: Name
    path: SourcePath
    columns: tuple[Column, ...] | None = None
    z: ZChoice | None = None


class FaultLabels(Model):
    """Faults as masks: 1 near a fault, 0 elsewhere.

    Attributes:
        faults: Each with a file of its own.
        width: Bins across, of the mask.
        ignore_band: Bins on either side of it that are left out.
        z: As of horizons.
    """

    source: Literal["faults"] = "faults"
    faults: Annotated[tuple[Fault, ...], Field(min_length=1)]
    width: Annotated[float, Field(gt=0)] = 3.0
    ignore_band: Annotated[float, Field(ge=0)] = 0.0
    z: ZChoice | None = None


class HorizonLabels(Model):
    """Surfaces, and zones between them.

    Attributes:
        horizons: From the uppermost to the lowest.
        zones: A word for each zone, from the uppermost to the lowest: one more than there are horizons; None makes
            surfaces alone.
        z: What z is, in the units of the sample axis: ``down`` as it is, ``up`` where it grows upwards, in
            ``seconds`` or ``seconds_up``; None finds out, file by file.
        gap: Bins from the nearest point up to which a surface is interpolated between points.
        ignore_band: Samples on either side of a horizon that are left out.
    """

    source: Literal["horizons"] = "horizons"
    horizons: Annotated[tuple[Horizon, ...], Field(min_length=1)]
    zones: tuple[ClassWord, ...] | None = None
    z: ZChoice | None = None
    gap: Annotated[float, Field(ge=0)] = 10.0
    ignore_band: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_zone_more(self) -> Self:
        if self.zones is not None and len(self.zones) != len(self.horizons) + 1:
            raise ValueError(f"{len(self.horizons) + 1} zones are between {len(self.horizons)} horizons")
        names = [horizon.name for horizon in self.horizons]
        if len(set(names)) != len(names):
            raise ValueError("each horizon needs a name of its own")
        return self


class LabelRecipe(Model):
    """Everything that decides what labels a dataset gets.

    Attributes:
        name: The dataset.
        id: Of the derived group.
        variable: Of the classes in it.
        labels: Where they come from.
        ignore_value: Label value of samples that are to be left out.
        codec: ``lz4`` or ``zstd``, or ``none``.
    """

    name: Name
    id: Name
    variable: Name = "label"
    labels: Annotated[
        VolumeLabels | HorizonLabels | FaultLabels | PictureLabels | ArrivalLabels, Field(discriminator="source")
    ]
    ignore_value: ClassNumber = IGNORE
    codec: CodecName = "lz4"

    @model_validator(mode="after")
    def _ignored_is_no_class(self) -> Self:
        classes = getattr(self.labels, "classes", {})
        if self.ignore_value in classes:
            raise ValueError(f"ignore_value {self.ignore_value} is one of the classes as well")
        return self
