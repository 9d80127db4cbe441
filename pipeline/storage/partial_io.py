"""Several buffers that one call of the system reads into or writes from, also where it gets through a part of them."""

import os

BUFFERS_PER_CALL = min(1024, os.sysconf("SC_IOV_MAX"))
"""As many as the system takes at once."""


def after(buffers: list[memoryview], nbytes: int) -> list[memoryview]:
    """What is left of buffers of which the first ``nbytes`` are done; those that are done are taken off the list."""
    while buffers and buffers[0].nbytes <= nbytes:
        nbytes -= buffers.pop(0).nbytes
    return [buffers[0][nbytes:], *buffers[1:]] if buffers else []
