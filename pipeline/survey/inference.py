"""Where the words of a geometry are, and which kind they make: proposals from a sample of trace headers, best first.

What is tried, in this order, and taken if the traces bear it out:

``stack3d``   inline and crossline, where a file or a recipe states them or the standard has them: one trace a cell
``stack3d``   at other places that software uses, where offsets are all the same
``passive``   start times that follow one another as records without pauses do, all with the same channels
``stack2d``   offsets all the same, and CDP, line numbers or coordinates that tell the traces apart
``gathers``   inline, crossline and offset, or CDP and offset
``shots``     field record or source point, and channel; with a cable or a component where those repeat
``flat``      the order of the file

A sample proposes; that no two traces share a cell, and that the grid is filled, is seen from all headers afterwards.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_catalog import Kind
from pipeline.segy.fields import FILE_HEADER_NBYTES, TEXT_HEADER_NBYTES
from pipeline.segy.fields import Field as Word
from pipeline.segy.read import read_bytes
from pipeline.survey.files import Survey
from pipeline.survey.header_words import (
    CONTINUOUS,
    MOST_AUXILIARY,
    PRESTACK,
    STACKED,
    STANDARD,
    START_TIME,
    Fields,
    HeaderWords,
    is_auxiliary,
    of_data,
    range_of,
    read_header_words,
)
from pipeline.survey.outliers import MOST_OUTLIERS, main_range

LEAST_FILL = 0.5
"""A dense grid is proposed where at least this share of its cells holds a trace."""

MOST_REPEATS = 0.05
"""A grid is proposed where no larger share of the traces repeats the cell of another: a slip, not another dimension."""

LARGEST_LABEL = 10_000_000
"""Numbers of lines, shots and channels are smaller: what is larger is something else, or in another byte order."""

LARGEST_STEP = 10_000

FIRST_FREE_BYTE = 181
"""From here on trace headers of Seismic Unix have fields of their own."""

LINES = ("inline", "crossline")
STANDARD_PLACE = "SEG-Y revision 1"
LINE_PAIRS = {
    STANDARD_PLACE: ("189-192", "193-196"),
    "Petrel": ("5-8", "21-24"),
    "SeisWorks, Kingdom": ("9-12", "21-24"),
    "the words of CDP coordinates": ("181-184", "185-188"),
    "source point and CDP": ("17-20", "21-24"),
    "unassigned words": ("233-236", "237-240"),
    "trace sequence words": ("1-4", "5-8"),
    "trace sequence words, reversed": ("5-8", "1-4"),
}
"""Where software writes inline and crossline, the likeliest first."""

PRESETS: dict[str, dict[str, int | str]] = {
    "rev1": {"inline": 189, "crossline": 193, "cdp_x": 181, "cdp_y": 185},
    "petrel": {"inline": 5, "crossline": 21, "cdp_x": 73, "cdp_y": 77},
    "seisworks": {"inline": 9, "crossline": 21, "cdp_x": 73, "cdp_y": 77},
    "mdio-streamer": {"shot": 17, "cable": "137-138", "channel": 13},
}
"""Common conventions by name, for people who know whose file theirs is."""

SPLITTERS = {"cable": ("137-138", "173-174", "171-172", "153-156"), "component": ("29-30", "173-174", "231-232")}
"""Where a number is that tells the traces of one shot and channel apart."""

MOST_PARTS = 64
"""Cables or components: more of them are something else."""

LONG_RECORD_S = 20.0
"""Records of a shot are shorter."""

_STATED = {
    "inline": r"(?:in-?\s?line|\biline|\bIL)\b",
    "crossline": r"(?:cross-?\s?line|x-?line|\bXL)\b",
}


@dataclass(frozen=True)
class HeaderSample:
    """Headers of some traces of a survey.

    Attributes:
        survey: The files.
        numbers: int64 (trace), ascending running numbers.
        headers: uint8 (trace, header byte).
    """

    survey: Survey
    numbers: NDArray[np.int64]
    headers: NDArray[np.uint8]

    @property
    def is_whole(self) -> bool:
        """Whether it leaves no trace out."""
        return self.numbers.size == self.survey.trace_count

    def words(self, fields: Fields, names: tuple[str, ...]) -> HeaderWords:
        """Words of all sampled traces, at given places."""
        edges = np.searchsorted(self.numbers, self.survey.first_traces)
        parts = [
            read_header_words(self.headers[begin:end], stated | fields, names, byte_order=file.word_order)
            for file, stated, begin, end in zip(
                self.survey.files, self.survey.fields, edges[:-1], edges[1:], strict=True
            )
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


@dataclass(frozen=True, slots=True)
class Place:
    """Where inline and crossline numbers may be.

    Attributes:
        why: Whose convention it is.
        moved: The words, where they are elsewhere than was known.
        is_trusted: Whether it is believed also where offsets differ.
    """

    why: str
    moved: Fields
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """A kind, and the words that would make it.

    Attributes:
        kind: What the dimensions would mean.
        axes: Dimensions of traces, each with a word of its name; empty for traces in the order of the file.
        keys: Words that tell traces apart, where the order of the file is kept.
        moved: Places of words that are elsewhere than was known.
        fill: Share of the grid's cells that would hold a trace, if the sample is like all; 0 without a grid.
        repeats: Share of the sampled traces whose cell another one has.
        sizes: Labels along each axis or of each key.
        why: What speaks for it, in a clause.
    """

    kind: Kind
    axes: tuple[str, ...]
    keys: tuple[str, ...]
    moved: Fields
    fill: float
    repeats: float
    sizes: tuple[int, ...]
    why: str

    @property
    def names(self) -> tuple[str, ...]:
        """The words that have to be read for it."""
        if self.kind is Kind.PASSIVE:
            return CONTINUOUS
        return PRESTACK if self.kind in {Kind.GATHERS, Kind.SHOTS} else STACKED

    @property
    def rejection(self) -> str:
        """Why the sample does not bear it out."""
        sizes = " x ".join(map(str, self.sizes))
        if self.repeats > MOST_REPEATS:
            told = f"{self.repeats:.0%} of the traces looked at repeat the numbers of another one"
        else:
            told = f"a grid of {sizes} would be filled to {self.fill:.1%}"
        return f"not {self.kind}: {self.why}: {told}"

    @property
    def is_accepted(self) -> bool:
        """Whether the sample bears it out."""
        if self.axes:
            return self.fill >= LEAST_FILL and self.repeats <= MOST_REPEATS
        return self.repeats <= MOST_REPEATS


@dataclass(frozen=True)
class Evidence:
    """What all proposals are judged by."""

    sample: HeaderSample
    stated: dict[str, int] = field(default_factory=dict)

    @property
    def survey(self) -> Survey:
        """The files."""
        return self.sample.survey

    @cached_property
    def proposals(self) -> tuple[Proposal, ...]:
        """All that may be tried, the likeliest first; ``flat``, last, fits every file."""
        return tuple(self._propose())

    def _propose(self) -> Iterator[Proposal]:
        words = self.sample.words({}, (*PRESTACK, "source_point"))
        stacked = is_constant(words["offset"])
        yield from self._grids(words, stacked=stacked)
        if (found := self._passive(words)) is not None:
            yield found
        if stacked:
            yield from self._lines(words)
        yield from self._prestack(words)
        yield Proposal(Kind.FLAT, (), (), {}, 0.0, 0.0, (), "traces in the order of the file")

    def _grids(self, words: HeaderWords, *, stacked: bool) -> Iterator[Proposal]:
        for place in self._line_places():
            found = self.sample.words(place.moved, LINES)
            is_grid = place.is_trusted or (stacked and self._are_lines(found) and not self._are_shots(place, words))
            if is_grid and all(not is_constant(values) for values in found.values()):
                yield self._grid(Kind.STACK3D, found, place.moved, f"lines as in {place.why}")

    def _are_lines(self, found: HeaderWords) -> bool:
        """Whether there are several traces to a line, along both axes: numbers that count traces have one each."""
        return all(2 * np.unique(values).size <= values.size for values in found.values())

    def _are_shots(self, place: Place, words: HeaderWords) -> bool:
        """Whether what would be lines are field records, whose channels lie at other CDPs each time."""
        if place.moved.get("inline") not in (STANDARD["shot"], STANDARD["source_point"]):
            return False
        channels = np.unique(words["channel"]).size
        pairs = np.unique(np.stack([words["channel"], words["cdp"]]), axis=1).shape[1]
        return channels > 1 and pairs > (1 + MOST_REPEATS) * channels

    def _line_places(self) -> Iterator[Place]:
        """Where lines may be: as stated, as the text header says, as the standard or others have it."""
        free = [name for name in LINES if name not in self.survey.pinned]
        if len(free) < len(LINES):
            yield Place("the recipe or the file's own layout", {}, is_trusted=True)
        places: list[tuple[str, tuple[Word, ...], bool]] = []
        if self.stated.keys() >= set(LINES):
            told = f"the text header, which says bytes {self.stated['inline']} and {self.stated['crossline']}"
            places.append((told, tuple(Word(self.stated[name], "i4") for name in LINES), True))
        places += [(why, tuple(map(word_at, pair)), why == STANDARD_PLACE) for why, pair in LINE_PAIRS.items()]
        if self.survey.files[0].format == "su":
            places = [place for place in places if place[1][0].first_byte < FIRST_FREE_BYTE]
        seen: list[Fields] = []
        for why, words, is_trusted in places:
            moved = {name: word for name, word in zip(LINES, words, strict=True) if name in free}
            if moved and moved not in seen:
                seen.append(moved)
                yield Place(why, moved | self._coordinates_beside(moved), is_trusted)

    def _coordinates_beside(self, lines: Fields) -> Fields:
        """Where map coordinates are, if lines lie in their words or these are unset: in those of lines or of sources.

        Those of sources are where stacked traces are in files of before 2002, when the standard had no others.
        """
        if {"cdp_x", "cdp_y"} & self.survey.pinned or self.survey.files[0].format == "su":
            return {}
        places = [(STANDARD["cdp_x"], STANDARD["cdp_y"])]
        if lines.get("inline") == STANDARD["cdp_x"]:
            places = [(STANDARD["inline"], STANDARD["crossline"])]
        if self._has_zero_offsets:
            places.append((STANDARD["source_x"], STANDARD["source_y"]))
        for x, y in places:
            found = self.sample.words({"cdp_x": x, "cdp_y": y}, ("cdp_x", "cdp_y"))
            if not all(is_constant(values) for values in found.values()):
                return {} if x == STANDARD["cdp_x"] else {"cdp_x": x, "cdp_y": y}
        return {}

    @cached_property
    def _has_zero_offsets(self) -> bool:
        """Whether traces lie at their sources: receivers, if there are any, lie there too."""
        words = self.sample.words({}, ("offset", "source_x", "source_y", "receiver_x", "receiver_y"))
        return is_constant(words["offset"]) and all(
            is_constant(words[f"receiver_{axis}"]) or np.array_equal(words[f"receiver_{axis}"], words[f"source_{axis}"])
            for axis in "xy"
        )

    def _grid(self, kind: Kind, found: HeaderWords, moved: Fields, why: str) -> Proposal:
        inside = np.all([_lies_in(values, main_range(values)) for values in found.values()], axis=0)
        words = found
        if not inside.all() and inside.mean() >= 1 - MOST_OUTLIERS:
            words = {name: values[inside] for name, values in found.items()}
            why = f"{why}, but for traces whose numbers lie far off"
        sizes = tuple(self._size(kind, values) for values in words.values())
        repeats = self._repeats(list(words.values()))
        traces = self.survey.trace_count * (1 - repeats) * next(iter(words.values())).size / self.sample.numbers.size
        if not all(map(is_plausible, words.values())):
            why, fill = f"{why}; but the numbers are no numbers of lines, shots or channels", 0.0
        elif traces > prod(sizes) * (1 + MOST_REPEATS):
            fill = 0.0
        else:
            fill = min(1.0, traces / prod(sizes))
            seen = prod(len(np.unique(values)) for values in words.values())
            if kind is not Kind.STACK3D and fill < LEAST_FILL <= traces / seen and not self.sample.is_whole:
                fill, why = LEAST_FILL, f"{why}, as far as a sample tells"  # which labels there are, all headers tell
        return Proposal(kind, tuple(words), (), moved, fill, repeats, sizes, why)

    def _size(self, kind: Kind, values: NDArray[np.int64]) -> int:
        """Labels along an axis: in equal steps for stacks, and else one for each value that occurs."""
        regular = range_of(values).size
        if kind is Kind.STACK3D or not self.sample.is_whole:
            return regular
        return min(regular, len(np.unique(values)))

    def _repeats(self, words: list[NDArray[np.int64]]) -> float:
        return 1 - len(np.unique(np.stack(words), axis=1).T) / words[0].size

    def _lines(self, words: HeaderWords) -> Iterator[Proposal]:
        if self.survey.trace_count == 1:
            return
        moved = self._coordinates_beside({})
        words = words | self.sample.words(moved, ("cdp_x", "cdp_y"))
        for keys in (("cdp",), ("inline", "crossline"), ("cdp_x", "cdp_y")):
            values = [words[name] for name in keys]
            if self._repeats(values) == 0 and (keys[0] == "cdp_x" or all(map(is_plausible, values))):
                why = f"offsets are all the same, and each trace has a position of its own ({' and '.join(keys)})"
                yield Proposal(Kind.STACK2D, (), keys, moved, 0.0, 0.0, (), why)
        for place in self._line_places():
            lines = {name: word for name, word in place.moved.items() if name in LINES}
            is_tried = lines.items() <= self.survey.fields[0].items()
            if is_tried or not place.is_trusted:  # numbers that count traces tell all of them apart
                continue
            found = self.sample.words(place.moved, LINES)
            if self._repeats(list(found.values())) == 0 and all(map(is_plausible, found.values())):
                told = f"offsets are all the same, and each trace has a position of its own, as in {place.why}"
                yield Proposal(Kind.STACK2D, (), LINES, place.moved, 0.0, 0.0, (), told)

    def _prestack(self, words: HeaderWords) -> Iterator[Proposal]:
        gathers, shots = list(self._gathers(words)), list(self._shots(words))
        dense = [found for found in (*shots, *gathers) if found.is_accepted and found.axes]
        yield from sorted(dense, key=self._rank)
        yield from (found for found in (*shots, *gathers) if found not in dense and found.axes)
        others = [found for found in (*shots, *gathers) if found not in dense and self._is_sparse(found)]
        sparse = [self._in_order(found) for found in others]
        yield from sorted(sparse, key=self._rank)

    def _is_sparse(self, found: Proposal) -> bool:
        return found.repeats <= MOST_REPEATS and found.fill > 0 and self.survey.trace_count > 1

    def _in_order(self, found: Proposal) -> Proposal:
        why = f"{found.why}; a grid would be filled to {found.fill:.1%}, so traces stay in the order of the file"
        return replace(found, axes=(), keys=found.axes, fill=0.0, why=why)

    def _rank(self, found: Proposal) -> tuple[bool, int]:
        """Lower is better: numbers that are not all 0 before unset ones, then what changes less often in the file."""
        words = self.sample.words(found.moved, (found.axes or found.keys)[:-1])
        is_unset = not any(values.any() for values in words.values())
        return is_unset, int(np.any([np.diff(values) != 0 for values in words.values()], axis=0).sum())

    def _gathers(self, words: HeaderWords) -> Iterator[Proposal]:
        if is_constant(words["offset"]):
            return
        places: list[tuple[tuple[str, ...], Fields, str]] = []
        for place in self._line_places():
            if place.is_trusted:
                lines = self.sample.words(place.moved, LINES)
                if not all(is_constant(values) for values in lines.values()):
                    places.append((LINES, place.moved, f"lines as in {place.why}, and offsets"))
        if words["cdp"].any():
            places.append((("cdp",), {}, "CDP numbers and offsets"))
        if not places and (is_constant(words["shot"]) or is_constant(words["channel"])):
            places.append((LINES, {}, "offsets"))
        for names, moved, why in places:
            found = self.sample.words(moved, (*names, "offset"))
            yield self._grid(Kind.GATHERS, found, moved, why)

    def _shots(self, words: HeaderWords) -> Iterator[Proposal]:
        if is_constant(words["channel"]):
            return
        pinned = self.survey.pinned
        places: list[tuple[str, Fields]] = [("field records", {})]
        if "shot" not in pinned and not is_constant(words["source_point"]):
            places.append(("source points", {"shot": word_at("17-20")}))
        for why, moved in places:
            found = self.sample.words(moved, ("shot", "channel"))
            proposal = self._grid(Kind.SHOTS, found, moved, f"{why} and channels")
            yield proposal if proposal.is_accepted else self._shots_of_data(found, moved, why) or proposal
            if proposal.repeats > MOST_REPEATS:
                yield from self._split_shots(found, moved, why)

    def _shots_of_data(self, found: HeaderWords, moved: Fields, why: str) -> Proposal | None:
        """Shots without what was recorded beside the data, if that is what spoils them."""
        words = found | self.sample.words({}, ("trace_identification",))
        if not 0 < is_auxiliary(words).mean() <= MOST_AUXILIARY:
            return None
        data = of_data(words)
        proposal = self._grid(Kind.SHOTS, {name: data[name] for name in found}, moved, f"{why} and channels of data")
        return proposal if proposal.is_accepted else None

    def _split_shots(self, found: HeaderWords, moved: Fields, why: str) -> Iterator[Proposal]:
        """Shots whose channels repeat: over cables, or over components."""
        for name, positions in SPLITTERS.items():
            for position in (None,) if name in self.survey.pinned else positions:
                place = {} if position is None else {name: word_at(position)}
                parts = self.sample.words(moved | place, (name,))[name]
                if 1 < len(np.unique(parts)) <= MOST_PARTS:
                    order = ("shot", name, "channel") if name == "cable" else ("shot", "channel", name)
                    words = {**found, name: parts}
                    split = {axis: words[axis] for axis in order}
                    where = "" if position is None else f" in bytes {position}"
                    proposal = self._grid(Kind.SHOTS, split, moved | place, f"{why}, {name}s{where} and channels")
                    if proposal.repeats <= MOST_REPEATS:
                        yield proposal

    def _passive(self, words: HeaderWords) -> Proposal | None:
        """Records that begin where the one before ended, or are too long for those of shots."""
        starts = self.sample.words({}, (START_TIME, "year"))
        if not is_constant(words["offset"]) or not (starts["year"] > 0).all():
            return None
        file = self.survey.files[0]
        seconds = file.sample_count * file.sample_interval_us / 1e6
        begins = np.unique(starts[START_TIME])
        follow = begins.size > 1 and abs(float(np.median(np.diff(begins))) - seconds) <= 1
        if not (follow or seconds >= LONG_RECORD_S):
            return None
        places: tuple[Fields, ...] = ({}, {"channel": word_at("1-4")})
        for place in places:
            channels = self.sample.words(place, ("channel",))["channel"]
            repeats = self._repeats([starts[START_TIME], channels])
            receivers = range_of(channels).size
            records = max(begins.size, -(-self.survey.trace_count // receivers))
            fill = min(1.0, self.survey.trace_count / (records * receivers))
            if receivers > 1 and fill >= LEAST_FILL and repeats <= MOST_REPEATS and is_plausible(channels):
                why = f"records of {seconds:g} s begin at different times, all on the same channels"
                axes = ("record", "receiver")
                return Proposal(Kind.PASSIVE, axes, (), place, fill, repeats, (records, receivers), why)
        return None


def evidence_of(survey: Survey, numbers: NDArray[np.int64], headers: NDArray[np.uint8]) -> Evidence:
    """What the sampled headers and the first file's text header say.

    Args:
        survey: The files.
        numbers: int64 (trace), ascending running numbers.
        headers: uint8 (trace, header byte): their headers.
    """
    file = survey.files[0]
    text = read_bytes(file.url, 0, TEXT_HEADER_NBYTES) if file.header_nbytes >= FILE_HEADER_NBYTES else b""
    return Evidence(HeaderSample(survey, numbers, headers), stated_positions(text))


def stated_positions(text: bytes) -> dict[str, int]:
    """First bytes of inline and crossline, where a text header names them, such as ``INLINE: 189`` does."""
    found: dict[str, int] = {}
    lines = as_lines(text)
    for name, pattern in _STATED.items():
        for line in lines:
            match = re.search(pattern + r"(?P<between>[^0-9]{0,40})(?P<first>[0-9]{1,3})\b(?![.,]?[0-9])", line, re.I)
            if match and re.search(r"byte|:|=|integer|loc", line, re.I) and 1 <= int(match["first"]) <= 237:
                if re.search(r"\b(first|last|min|max|range|number of)\b", line, re.I):
                    continue
                found[name] = int(match["first"])
                break
    return found


def as_lines(text: bytes) -> list[str]:
    """A text header as 40 lines of 80 characters, in EBCDIC or ASCII, whichever makes more letters of it."""
    decoded = max((text.decode(code, errors="replace") for code in ("cp037", "ascii")), key=_letters)
    return [decoded[start : start + 80] for start in range(0, len(decoded), 80)]


def _letters(text: str) -> int:
    return len(re.findall(r"[A-Za-z0-9 ]", text))


def word_at(position: str) -> Word:
    """The word at a range of bytes, ``189-192``."""
    first, last = map(int, position.split("-"))
    return Word(first, f"i{last - first + 1}")


def _lies_in(values: NDArray[np.int64], bounds: tuple[int, int]) -> NDArray[np.bool_]:
    return (values >= bounds[0]) & (values <= bounds[1])


def is_constant(values: NDArray[Any]) -> bool:
    """Whether all values are the same."""
    return bool((values == values[0]).all())


def is_plausible(values: NDArray[np.int64]) -> bool:
    """Whether values may be numbers of lines, shots, channels or offsets."""
    found = range_of(values)
    return max(abs(found.least), abs(found.greatest)) <= LARGEST_LABEL and found.step <= LARGEST_STEP
