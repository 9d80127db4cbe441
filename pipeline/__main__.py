"""``python -m pipeline inspect | convert | ingest | label | split | status | verify | export | synthesize``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C just ends the program while it is loaded

from collections.abc import Callable

import typer

from data_catalog import command_line
from pipeline.commands.convert import convert
from pipeline.commands.export import export
from pipeline.commands.ingest import ingest
from pipeline.commands.inspect import inspect
from pipeline.commands.label import label
from pipeline.commands.split import split
from pipeline.commands.status import status
from pipeline.commands.synthesize import synthesize
from pipeline.commands.verify import verify

COMMANDS: tuple[Callable[..., None], ...] = (
    inspect,
    convert,
    ingest,
    label,
    split,
    status,
    verify,
    export,
    synthesize,
)
"""In the order in which ``--help`` lists them."""

app = typer.Typer(
    help="Raw SEG-Y to prepared datasets, with Dask; and back.", no_args_is_help=True, rich_markup_mode=None
)
for command in COMMANDS:
    app.command()(command)

if __name__ == "__main__":
    command_line.run(app, name="python -m pipeline")
