"""Shards that are put together here are what Zarr reads, and those that Zarr writes are understood here."""

import tempfile
from math import ceil, prod
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.storage.codec import Codec, CodecName, ShardEncoder, checksum, chunk_ranges, index_nbytes
from pipeline.storage.new_objects import Part

DTYPES = ["float32", "uint32", "uint8", "int64", "float64", "bool"]
NOT_STORED = 2**64 - 1

CODECS: tuple[CodecName, ...] = get_args(CodecName)

codecs = st.sampled_from(CODECS)
dtypes = st.sampled_from(DTYPES)


def create(
    folder: str, shape: tuple[int, ...], chunk: tuple[int, ...], counts: tuple[int, ...], dtype: str, codec: CodecName
) -> zarr.Array[Any]:
    """An empty sharded array, as a template has it."""
    return zarr.create_array(
        folder,
        shape=shape,
        dtype=dtype,
        chunks=chunk,
        shards=tuple(length * count for length, count in zip(chunk, counts, strict=True)),
        compressors=Codec(codec, np.dtype(dtype).itemsize).compressors(),
        fill_value=0,
    )


def encode_shard(
    whole: NDArray[Any], chunk: tuple[int, ...], counts: tuple[int, ...], codec: Codec, *, order: list[int]
) -> bytes:
    """A shard from a block as large as it; chunks come in some order, and those of zeros are left out."""
    encoded: dict[tuple[int, ...], Part] = {}
    for position in order:
        index = np.unravel_index(position, counts)
        block = whole[tuple(slice(i * length, (i + 1) * length) for i, length in zip(index, chunk, strict=True))]
        if np.ascontiguousarray(block).view(np.uint8).any():
            encoded[tuple(map(int, index))] = codec.encode(np.ascontiguousarray(block))
    return shard_of(encoded, counts)


def shard_of(encoded: dict[tuple[int, ...], Part], counts: tuple[int, ...]) -> bytes:
    parts: list[Part] = []
    encoder = ShardEncoder(counts, parts.append)
    for index, content in encoded.items():
        encoder.add(index, content)
    encoder.finish()
    return b"".join(parts)


def some_values(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Any bits but those of fill: what a codec must keep, NaN with payloads too."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    return random.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]


def bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


@settings(deadline=None)
@given(
    codec=codecs,
    dtype=dtypes,
    chunk=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    data=st.data(),
)
def test_zarr_reads_what_is_encoded_here(codec: CodecName, dtype: str, chunk: tuple[int, ...], data: Any) -> None:
    counts = tuple(data.draw(st.integers(1, 3)) for _ in chunk)
    shard = tuple(length * count for length, count in zip(chunk, counts, strict=True))
    shape = tuple(data.draw(st.integers(1, 2 * length)) for length in shard)  # most end within a chunk, or before one
    padded = tuple(ceil(size / length) * length for size, length in zip(shape, shard, strict=True))
    values = some_values(padded, dtype, data.draw(st.integers(0, 99)))
    for index in np.ndindex(*(ceil(size / length) for size, length in zip(padded, chunk, strict=True))):
        if data.draw(st.booleans()):
            values[tuple(slice(i * length, (i + 1) * length) for i, length in zip(index, chunk, strict=True))] = 0
    with tempfile.TemporaryDirectory() as folder:
        create(folder, shape, chunk, counts, dtype, codec)
        for index in np.ndindex(*(size // length for size, length in zip(padded, shard, strict=True))):
            whole = values[tuple(slice(i * length, (i + 1) * length) for i, length in zip(index, shard, strict=True))]
            order = data.draw(st.permutations(range(prod(counts))))
            content = encode_shard(whole, chunk, counts, Codec(codec, values.itemsize), order=order)
            if content:
                path = Path(folder, "c", *map(str, index))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        found = np.asarray(zarr.open_array(folder, mode="r")[...])
    assert found.dtype == dtype
    np.testing.assert_array_equal(bits(found), bits(values[tuple(slice(0, size) for size in shape)]))


@settings(deadline=None)
@given(
    codec=codecs,
    dtype=dtypes,
    chunk=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    data=st.data(),
)
def test_a_shard_that_zarr_wrote_is_understood(codec: CodecName, dtype: str, chunk: tuple[int, ...], data: Any) -> None:
    counts = tuple(data.draw(st.integers(1, 3)) for _ in chunk)
    shape = tuple(length * count for length, count in zip(chunk, counts, strict=True))
    values = some_values(shape, dtype, data.draw(st.integers(0, 99)))
    empty = data.draw(st.integers(0, prod(counts) - 1))
    for i in np.ndindex(counts):
        where = tuple(slice(k * length, (k + 1) * length) for k, length in zip(i, chunk, strict=True))
        if np.ravel_multi_index(i, counts) == empty:
            values[where] = 0
        else:
            values[tuple(part.start for part in where)] = 1
    with tempfile.TemporaryDirectory() as folder:
        create(folder, shape, chunk, counts, dtype, codec)[...] = values
        objects = [path.read_bytes() for path in Path(folder, "c").rglob("*") if path.is_file()]
    if prod(counts) == 1:
        assert objects == []  # all of it is fill: no object
        return
    (content,) = objects
    ranges = chunk_ranges(content[-index_nbytes(counts) :], counts)
    assert ranges.shape == (*counts, 2)
    for i in np.ndindex(counts):
        where = tuple(slice(k * length, (k + 1) * length) for k, length in zip(i, chunk, strict=True))
        start, nbytes = ranges[i].tolist()
        if np.ravel_multi_index(i, counts) == empty:
            assert start == nbytes == NOT_STORED
            continue
        # The same bytes: a dataset is the same, whoever wrote it.
        expected = Codec(codec, values.itemsize).encode(np.ascontiguousarray(values[where]))
        assert content[start : start + nbytes] == expected


def test_negative_zeros_are_stored() -> None:
    """They are equal to the fill value, and are other samples: their sign bits would not come back."""
    block = np.full((2, 3), -0.0, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        create(folder, (2, 6), (2, 3), (1, 2), "float32", "lz4")
        Path(folder, "c/0").mkdir(parents=True)
        Path(folder, "c/0/0").write_bytes(shard_of({(0, 1): Codec("lz4", 4).encode(block)}, (1, 2)))
        found = np.asarray(zarr.open_array(folder, mode="r")[...])
    np.testing.assert_array_equal(np.signbit(found), [[False] * 3 + [True] * 3] * 2)


def test_a_shard_of_fill_value_alone_is_no_object() -> None:
    assert shard_of({}, (3, 4)) == b""


def test_a_shard_is_its_chunks_in_the_order_they_came_and_an_index() -> None:
    content = shard_of({(1, 0): b"first", (0, 1): b"second one"}, (2, 2))
    assert content[:15] == b"firstsecond one"
    assert len(content) == 15 + index_nbytes((2, 2)) == 15 + 4 * 16 + 4
    ranges = chunk_ranges(content[15:], (2, 2))
    none = [NOT_STORED, NOT_STORED]
    assert ranges.tolist() == [[none, [5, 10]], [[0, 5], none]]


@settings(deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 3)), st.data())
def test_any_damage_to_the_index_is_found(counts: tuple[int, int], data: Any) -> None:
    tail = bytearray(shard_of({(0, 0): b"a chunk"}, counts)[7:])
    byte, bit = data.draw(st.integers(0, len(tail) - 1)), data.draw(st.integers(0, 7))
    tail[byte] ^= 1 << bit
    with pytest.raises(ValueError, match="index at the end of the shard is damaged"):
        chunk_ranges(bytes(tail), counts)


@pytest.mark.parametrize("length", [0, 3, 4, 19, 21])
def test_an_index_of_another_length_is_damaged(length: int) -> None:
    tail = np.zeros(16, np.uint8).tobytes()
    whole = tail + checksum(tail).to_bytes(4, "little")
    assert chunk_ranges(whole, (1,)).tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="damaged"):
        chunk_ranges((b"\0" + whole)[-length:] if length else b"", (1,))


def test_the_checksum_is_crc_32c() -> None:
    assert checksum(b"123456789") == 0xE3069283  # the check value of CRC-32C (RFC 3720, and every catalogue of CRCs)
    assert checksum(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert checksum(b"") == 0


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_smooth_samples_become_smaller_unless_told_otherwise(codec: CodecName, dtype: str) -> None:
    block = (100 * np.sin(np.arange(20_000) / 500)).astype(dtype)
    nbytes = len(Codec(codec, block.itemsize).encode(block))
    assert nbytes == block.nbytes if codec == "none" else nbytes < 0.8 * block.nbytes
