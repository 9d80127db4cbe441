"""In which numbers a network computes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MIXED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Arithmetic:
    """How networks are run and losses go backward.

    Attributes:
        precision: Its name in the configuration; ``bfloat16`` and ``float16`` keep weights, normalisation and losses in
            float32.
        scaler: Keeps small gradients from becoming 0 in float16; does nothing otherwise.
    """

    precision: str
    scaler: torch.amp.GradScaler

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, outputs and losses."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def run(self, network: nn.Module, samples: Tensor) -> Tensor:
        """A network's output, in the precision of losses."""
        mixed = MIXED.get(self.precision)
        with torch.autocast(samples.device.type, dtype=mixed, enabled=mixed is not None):
            output: Tensor = network(samples.to(self.dtype))
        return output.to(self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Leaves gradients in the weights, scaled as `unscale` expects."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]


def allow_tf32(allowed: bool) -> None:
    """Whether GPUs may multiply float32 with ten bits of mantissa from now on."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def arithmetic(precision: str, *, device: torch.device) -> Arithmetic:
    """How to compute in a precision.

    Args:
        precision: Its name.
        device: Where.
    """
    return Arithmetic(precision, torch.amp.GradScaler(device.type, enabled=precision == "float16"))


FLOAT32 = arithmetic("float32", device=torch.device("cpu"))
