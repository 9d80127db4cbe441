"""What a worker process has to work with."""

from data_catalog.schema import Model


class WorkerMemory(Model):
    """What one worker process has to work with.

    Attributes:
        nbytes: Its memory limit.
        threads: Tasks that it runs at a time.
    """

    nbytes: int
    threads: int
