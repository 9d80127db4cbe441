"""What a step will take, said before the first one; and what to do where there is too little memory for it."""

import logging
import math
import os
import resource
import sys
from collections.abc import Iterator

import torch

from trainer.models.size import NetworkSize
from trainer.plan.order import largest_share
from trainer.ranks import Ranks, local_world_size
from trainer.training.beginning import Run

log = logging.getLogger(__name__)

GIB, TERA, MILLION = 2**30, 10**12, 10**6


def prospects(run: Run) -> Iterator[str]:
    """Lines about the network and its memory; warns where a step will not fit."""
    config, size = run.experiment.config, run.size
    reach = getattr(run.learner.model, "receptive_field", None)
    seen = "" if reach is None else f", sees {reach} samples on either side"
    if size is None:
        yield f"network: what it takes is not known, since it does not run on a small input on the CPU{seen}"
        return
    share = largest_share(config.batch_size, world_size=run.ranks.world_size)
    at_once = math.ceil(share / run.learner.parts)
    shared_by = run.ranks.world_size if config.compute.shard_weights else 1
    averaged = config.optimiser.average_decay is not None
    needed, there = size.training_nbytes(at_once, averaged=averaged, ranks=shared_by), memory_nbytes(run.ranks)
    yield f"network: {_count(size)} parameters{seen}; {size.flops / TERA:.3g} TFLOP for a window"
    yield (
        f"memory of a step: {needed / GIB:.3g} GiB or more ({at_once} windows at once, each "
        f"{size.activation_nbytes / GIB:.3g} GiB for the backward pass), of {there / GIB:.3g} GiB"
    )
    if needed > there:
        log.warning(
            "a step needs about %.3g GiB, and there are %.3g: choose config.compute.micro_batch=1, "
            "config.compute.precision=bfloat16, config.compute.recompute_levels=2, or a network with fewer filters.",
            needed / GIB,
            there / GIB,
        )


def memory_nbytes(ranks: Ranks) -> int:
    """Memory of a rank's device; of a machine's processes each has its share."""
    if ranks.device.type == "cuda":
        return torch.cuda.get_device_properties(ranks.device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // local_world_size()


def peak_nbytes() -> int:
    """Most memory so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib if sys.platform == "darwin" else 1024 * kib


def _count(size: NetworkSize) -> str:
    if size.parameters < MILLION:
        return str(size.parameters)
    return f"{size.parameters / MILLION:.2f} M"
