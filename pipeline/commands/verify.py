"""``verify``: a dataset against its checksums and its source."""

from typing import Annotated

import typer

from data_catalog import Catalog, WorkError, command_line
from data_catalog.command_line import CatalogOption
from pipeline.commands.messages import print_dashboard
from pipeline.commands.options import WORKERS, ClusterOption, MemoryOption, SchedulerOption, WorkersOption
from pipeline.verification.subject import open_subject
from pipeline.verification.verify import print_verification
from pipeline.verification.verify import verify as verify_dataset
from pipeline.work.cluster import dask_client


def verify(  # noqa: PLR0913 (a command's options)
    name: str,
    sample: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Share of the shards to look at, e.g. 0.1 [all].")
    ] = None,
    checksums_only: Annotated[
        bool, typer.Option("--checksums-only", help="Look at the store by itself, not at its source.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with up to 1000 findings.")] = False,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Compares a dataset with its checksums and with the SEG-Y that it was made of, bit for bit."""
    opened = Catalog(catalog)
    with_source = not checksums_only
    open_subject(name, catalog=opened, sample=sample, with_source=with_source)  # before processes are started
    with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
        print_dashboard(client)
        found = verify_dataset(name, catalog=opened, client=client, sample=sample, with_source=with_source)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print_verification(found, console=command_line.console())
    if found.finding_count:
        raise WorkError(
            f"{found.finding_count} faults were found in {name!r}: restore what is named from a copy of the store, or "
            "the source if that is what changed, or convert it again under another name."
        )
