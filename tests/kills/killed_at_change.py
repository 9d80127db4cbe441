"""A process that is killed just before it changes files for the n-th time: for the programs beside this file."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod"}


def killed_at_change(number: int | None, folder: Path, work: Callable[[], None]) -> bool:
    """Runs work in a process that is killed just before it changes files in a folder for the number-th time.

    Returns:
        Whether it got that far.
    """
    pid = os.fork()
    if pid == 0:
        left = number

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            opens_to_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if opens_to_write or event in CHANGES:
                path = str(arguments[0])
                # A name alone is something that rmtree deletes, by the descriptor of its folder.
                left -= "/" not in path or path.startswith(f"{folder}/")
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        if left is not None:
            sys.addaudithook(watch)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)
