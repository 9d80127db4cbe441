"""UNet (Ronneberger et al., 2015) in two or three dimensions.

Axes: N batch, C channel, X the two or three axes of the data.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from pydantic import Field
from torch import Tensor, nn

Norm = Literal["layer", "batch", "group", "none"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
UPSAMPLING = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
GROUPS = 8


class UNet(nn.Module):
    """Two 3-wide convolutions at each level, maxima of 2 down, transposed convolutions of 2 up, and skips.

    Weights lie channels last: per-pixel normalisation is then one fused kernel over contiguous channels (measured on
    one core, 8 x 16 x 128 x 128, two blocks forward and backward: 113 ms; explicit mean and variance 282 ms).

    Attributes:
        size_multiple: Input sizes must be multiples of this.
        receptive_field: Samples on either side of an output sample that can change it.
    """

    def __init__(
        self,
        *,
        dims: Literal[2, 3],
        in_channels: int,
        out_channels: int,
        levels: Annotated[int, Field(ge=1, le=10)] = 5,
        start_filters: Annotated[int, Field(ge=1)] = 16,
        norm: Norm = "layer",
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
            zero_head: Whether the output starts at 0 everywhere: a network that predicts a correction begins with none.
        """
        super().__init__()
        filters = [start_filters * 2**level for level in range(levels)]
        self._dims = dims
        self.size_multiple = 2 ** (levels - 1)
        self.receptive_field = receptive_field(levels)
        ins = [in_channels, *filters[:-1]]
        self.down = nn.ModuleList(_block(i, o, dims=dims, norm=norm) for i, o in zip(ins, filters, strict=True))
        shallower = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
        self.up = nn.ModuleList(UPSAMPLING[dims](deep, shallow, 2, stride=2) for deep, shallow in shallower)
        self.join = nn.ModuleList(_block(deep, shallow, dims=dims, norm=norm) for deep, shallow in shallower)
        self.head = CONVOLUTION[dims](start_filters, out_channels, 1)
        if zero_head:
            for parameter in self.head.parameters():
                nn.init.zeros_(parameter)
        self.to(memory_format=CHANNELS_LAST[dims])  # type: ignore[call-overload]

    def forward(self, samples: Tensor) -> Tensor:
        """(N, C, X) to (N, C, X), sizes along X unchanged."""
        samples = samples.contiguous(memory_format=CHANNELS_LAST[self._dims])
        skipped = []
        for level, block in enumerate(self.down):
            samples = block(MAX_POOL[self._dims](samples, 2) if level else samples)
            skipped.append(samples)
        for up, join, skip in zip(self.up, self.join, skipped[-2::-1], strict=True):
            samples = join(torch.cat([skip, up(samples)], dim=1))
        return self.head(samples)  # type: ignore[no-any-return]


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


def receptive_field(levels: int) -> int:
    """Samples on either side of an output sample that can change it, at worst over all places.

    Follows an interval of samples from the output back to the input: a block of two 3-wide convolutions widens it by 2,
    a transposed convolution of 2 reads half the places, maxima of 2 read both of a pair.
    """
    period = 2 ** (levels - 1)
    reaches = (_reach(place, levels=levels) for place in range(8 * period, 9 * period))
    return max(
        max(place - start, stop - place)
        for place, (start, stop) in zip(range(8 * period, 9 * period), reaches, strict=True)
    )


def _reach(place: int, *, levels: int) -> tuple[int, int]:
    start, stop = place - 2, place + 2
    if levels == 1:
        return start, stop
    below_start = _reach(start // 2, levels=levels - 1)[0]
    below_stop = _reach(stop // 2, levels=levels - 1)[1]
    return min(start, 2 * below_start) - 2, max(stop, 2 * below_stop + 1) + 2


def _block(in_channels: int, out_channels: int, *, dims: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [CONVOLUTION[dims](channels, out_channels, 3, padding=1), *_norm(norm, out_channels, dims=dims)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _norm(norm: Norm, channels: int, *, dims: int) -> list[nn.Module]:
    if norm == "layer":
        return [ChannelNorm(channels)]
    if norm == "batch":
        return [BATCH_NORM[dims](channels)]
    if norm == "group":
        return [nn.GroupNorm(min(GROUPS, channels), channels)]
    return []
