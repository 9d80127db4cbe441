"""UNet (Ronneberger et al., 2015) in two or three dimensions.

Axes: N batch, C channel, X the two or three axes of the data.
"""

from typing import Annotated, Literal, TypedDict

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Norm = Literal["layer", "batch", "group", "none"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
UPSAMPLING = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
GROUPS = 8


def _odd(extent: int) -> int:
    if not extent % 2:
        raise ValueError("must be odd, so that an output sample has a middle")
    return extent


class UNet(nn.Module):
    """Two convolutions at each level, maxima of 2 down, transposed convolutions of 2 up, and skips.

    Weights lie channels last unless they are laid otherwise, and samples follow them: per-pixel normalisation is then
    one fused kernel over contiguous channels (measured on one core, 8 x 16 x 128 x 128, two blocks forward and
    backward: 113 ms; explicit mean and variance 282 ms).

    Attributes:
        size_multiple: Input sizes must be multiples of this.
        receptive_field: Samples on either side of an output sample that can change it.
        has_static_graph: Each forward pass goes the same way, so that exchanges of gradients can be planned once.
        recompute_levels: Levels, from the full resolution down, that are computed again in the backward pass instead of
            being kept in memory; most of that is in the first ones.
    """

    recompute_levels = 0
    has_static_graph = True

    def __init__(
        self,
        *,
        dims: Literal[2, 3],
        in_channels: int,
        out_channels: int,
        levels: Annotated[int, Field(ge=1, le=10)] = 5,
        start_filters: Annotated[int, Field(ge=1)] = 16,
        norm: Norm = "layer",
        kernel: Annotated[int, Field(ge=1), AfterValidator(_odd)] = 3,
        zero_head: bool = False,
    ) -> None:
        """Makes a network.

        Args:
            dims: Axes of the data.
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            levels: Resolutions, each half of the one above.
            start_filters: Filters at the full resolution; they double with each level.
            norm: ``layer`` normalises over the channels of each sample, so that tiles and whole images agree.
            kernel: Extent of the convolutions.
            zero_head: Whether the output starts at 0 everywhere: a network that predicts a correction begins with none.
        """
        super().__init__()
        filters = [start_filters * 2**level for level in range(levels)]
        self._dims = dims
        self.size_multiple = 2 ** (levels - 1)
        self.receptive_field = receptive_field(levels, kernel=kernel)
        ins = [in_channels, *filters[:-1]]
        shape: _Shape = {"dims": dims, "norm": norm, "kernel": kernel}
        self.down = nn.ModuleList(_block(i, o, **shape) for i, o in zip(ins, filters, strict=True))
        shallower = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
        self.up = nn.ModuleList(UPSAMPLING[dims](deep, shallow, 2, stride=2) for deep, shallow in shallower)
        self.join = nn.ModuleList(_block(deep, shallow, **shape) for deep, shallow in shallower)
        self.head = CONVOLUTION[dims](start_filters, out_channels, 1)
        if zero_head:
            for parameter in self.head.parameters():
                nn.init.zeros_(parameter)
        self.to(memory_format=CHANNELS_LAST[dims])  # type: ignore[call-overload]

    def forward(self, samples: Tensor) -> Tensor:
        """(N, C, X) to (N, C, X), sizes along X unchanged."""
        skipped = []
        for level, block in enumerate(self.down):
            samples = self._run(level, block, MAX_POOL[self._dims](samples, 2) if level else samples)
            skipped.append(samples)
        for number, (up, join) in enumerate(zip(self.up, self.join, strict=True)):
            level = len(self.up) - 1 - number
            samples = self._run(level, join, skipped[level], up(samples))
        return self.head(samples)  # type: ignore[no-any-return]

    def _run(self, level: int, block: nn.Module, *parts: Tensor) -> Tensor:
        """A block on the channels of all parts."""

        def run(*parts: Tensor) -> Tensor:
            return block(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])  # type: ignore[no-any-return]

        if level < self.recompute_levels and torch.is_grad_enabled():
            return checkpoint(run, *parts, use_reentrant=False)  # type: ignore[no-any-return]
        return run(*parts)


class ChannelNorm(nn.Module):
    """Normalises over the channels of each sample, (N, C, X): layer normalisation (Ba et al., 2016), pixel by pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, samples: Tensor) -> Tensor:
        """Mean 0 and variance 1 over C, then scaled and shifted channel by channel."""
        last = samples.movedim(1, -1)
        return F.layer_norm(last, self.weight.shape, self.weight, self.bias).movedim(-1, 1)


def receptive_field(levels: int, *, kernel: int = 3) -> int:
    """Samples on either side of an output sample that can change it, at worst over all places.

    Follows an interval of samples from the output back to the input: a block of two convolutions of 3 widens it by 2,
    a transposed convolution of 2 reads half the places, maxima of 2 read both of a pair.

    Args:
        levels: Resolutions.
        kernel: Extent of the convolutions.
    """
    period = 2 ** (levels - 1)
    places = range(8 * period * kernel, (8 * kernel + 1) * period)
    reaches = [_reach(place, levels=levels, wider=kernel - 1) for place in places]
    return max(max(place - start, stop - place) for place, (start, stop) in zip(places, reaches, strict=True))


def _reach(place: int, *, levels: int, wider: int) -> tuple[int, int]:
    start, stop = place - wider, place + wider
    if levels == 1:
        return start, stop
    below_start = _reach(start // 2, levels=levels - 1, wider=wider)[0]
    below_stop = _reach(stop // 2, levels=levels - 1, wider=wider)[1]
    return min(start, 2 * below_start) - wider, max(stop, 2 * below_stop + 1) + wider


class _Shape(TypedDict):
    dims: int
    norm: Norm
    kernel: int


def _block(in_channels: int, out_channels: int, *, dims: int, norm: Norm, kernel: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        convolution = CONVOLUTION[dims](channels, out_channels, kernel, padding=kernel // 2)
        layers += [convolution, *_norm(norm, out_channels, dims=dims), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _norm(norm: Norm, channels: int, *, dims: int) -> list[nn.Module]:
    if norm == "layer":
        return [ChannelNorm(channels)]
    if norm == "batch":
        return [BATCH_NORM[dims](channels)]
    if norm == "group":
        return [nn.GroupNorm(min(GROUPS, channels), channels)]
    return []
