"""How a chunk is encoded, where the libraries at hand can decode it into memory that is used again and again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import blosc, zstd
from zarr.codecs import BloscCodec, BytesCodec, Endian, ShardingCodec, ZstdCodec

from trainer.reads.objects import Bytes
from trainer.reads.zarr_array import ZarrArray, codecs_of

Decompress = Callable[[Bytes, npt.NDArray[Any]], Any]


@dataclass(frozen=True)
class ChunkCodec:
    """A chunk's bytes to its samples, little-endian ones in C order.

    Attributes:
        decompress: Writes into an array of bytes; None where chunks are stored as they are.
    """

    decompress: Decompress | None

    def decode(self, content: Bytes, *, out: npt.NDArray[np.generic]) -> None:
        """Decodes a chunk; the interpreter is free meanwhile.

        Args:
            content: As stored.
            out: The whole chunk, contiguous.

        Raises:
            ValueError: If that is not what the codec makes of such a chunk. Codecs raise kinds of their own as well.
        """
        assert out.flags.c_contiguous, "a view of a larger array would not be filled"
        if self.decompress is None:
            np.copyto(out.reshape(-1).view(np.uint8), np.frombuffer(content, dtype=np.uint8))
        else:
            self.decompress(content, out)


def chunk_codec(array: ZarrArray) -> ChunkCodec | None:
    """The codec of an array's inner chunks; None where it is one for Zarr's own reader."""
    codecs = list(codecs_of(array))
    if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
        codecs = list(codecs[0].codecs)
    order, *compressors = codecs
    if not isinstance(order, BytesCodec) or order.endian is Endian.big or array.dtype.byteorder == ">":
        return None
    return _compressors(compressors)


def _compressors(codecs: Iterable[Any]) -> ChunkCodec | None:
    match list(codecs):
        case []:
            return ChunkCodec(None)
        case [BloscCodec()]:
            return ChunkCodec(blosc.decompress)
        case [ZstdCodec(checksum=False)]:
            return ChunkCodec(zstd.decompress)
    return None
