"""What the user asks of an ingestion: one checked value."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from data_catalog.schema import Model, Name, Url
from pipeline.storage.codec import CodecName
from pipeline.storage.objects import absolute

Paths = Annotated[tuple[Annotated[Url, AfterValidator(absolute)], ...], Field(min_length=1)]


class SampleAxisRecipe(Model):
    """The axis of samples, of which pictures and arrays say nothing.

    Attributes:
        domain: ``time`` in ms or ``depth`` in m.
        first: Label of the first sample.
        interval: From one sample to the next.
    """

    domain: Literal["time", "depth"] = "time"
    first: float = 0.0
    interval: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Pictures(Model):
    """PNG, TIFF and the like: sections, whose rows are samples, or examples.

    Attributes:
        paths: Files, folders, or patterns such as ``inlines/*.png``; the last number in a name is that of its section.
        each: What a picture is: an ``inline`` or a ``crossline`` of a volume, or an ``example``.
        across_first: Number of the leftmost trace of a section.
        across_step: From one trace of a section to the next.
        samples: Of sections.
    """

    format: Literal["images"] = "images"
    paths: Paths
    each: Literal["inline", "crossline", "example"] = "example"
    across_first: int = 0
    across_step: Annotated[int, Field(ge=1)] = 1
    samples: SampleAxisRecipe = Field(default_factory=SampleAxisRecipe)


class Arrays(Model):
    """NumPy files, each an example: ``.npy``, or ``.npz`` of which one array is the input.

    Attributes:
        paths: Files, folders, or patterns such as ``records/*.npz``.
        array: Name of the input in ``.npz`` files; None where each has one array of more than one element.
        dims: A name for each dimension of the array as it is in the files; ``time`` or ``depth`` is stored last.
        samples: Of that dimension.
    """

    format: Literal["numpy"] = "numpy"
    paths: Paths
    array: str | None = None
    dims: Annotated[tuple[Name, ...], Field(min_length=1)]
    samples: SampleAxisRecipe = Field(default_factory=SampleAxisRecipe)

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        if len({*self.dims, "example"}) != len(self.dims) + 1:
            raise ValueError("each dimension needs a name of its own, and none is called example")
        return self


class IngestRecipe(Model):
    """Everything that decides what an ingestion makes.

    Attributes:
        name: Name in the catalog.
        out: Where the store goes.
        files: What is ingested.
        variable: Name of the main variable.
        codec: ``lz4`` or ``zstd``, or ``none``.
        chunk_nbytes: About what an inner chunk should hold; None chooses.
    """

    name: Name
    out: Url
    files: Annotated[Pictures | Arrays, Field(discriminator="format")]
    variable: Name = "amplitude"
    codec: CodecName = "lz4"
    chunk_nbytes: Annotated[int, Field(ge=1024)] | None = None
