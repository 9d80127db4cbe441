"""What becomes of real files: kind, axes, what was odd, and whether the export is the file again. Prints Markdown.

    python benchmarks/known_files.py FOLDER

Takes the files that tests/pipeline/known_kinds.yaml names, below FOLDER. Sources are copies, deleted before the export.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from distributed import Client

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import load_recipe
from pipeline.work.cluster import THREADS, dask_client
from pipeline.work.progress import CONSOLE

TRUTH = Path(__file__).parent.parent / "tests/pipeline/known_kinds.yaml"
REFUSED = ("segy/segyio-test-data/text.sgy",)
USUAL = ("the map coordinates are the same in every trace, and are left out",)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    CONSOLE.quiet = True
    data = Path(sys.argv[1])
    known: dict[str, dict[str, Any]] = yaml.safe_load(TRUTH.read_text())
    print("| file | kind | axes of traces | what was odd | outcome |\n|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder,
        dask_client(scheduler=THREADS, workers=2, memory="auto") as client,
    ):
        os.environ["TRACEMILL_CATALOG"] = f"{folder}/catalog"
        for number, name in enumerate(sorted([*known, *REFUSED])):
            cells = outcome_of(data / name, Path(folder), f"file-{number}", known.get(name), client)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def outcome_of(
    original: Path, folder: Path, name: str, truth: dict[str, Any] | None, client: Client
) -> tuple[str, str, str, str]:
    """The cells of one file's row."""
    source = folder / f"{name}-{original.name}"
    shutil.copy(original, source)
    recipe = load_recipe(name=name, paths=(str(source),), out=str(folder / f"{name}.zarr"))
    try:
        entry = convert(recipe, client=client, catalog=Catalog())
    except InputError as error:
        return "", "", "", f"refused: {str(error).replace(str(source), original.name)}"
    source.unlink()
    (written,) = export(name, out=folder / f"{name}.again", catalog=Catalog())
    is_same = Path(written).read_bytes() == original.read_bytes()
    main = entry.variables[entry.main_variable]
    axes = ", ".join(f"{dim} {size}" for dim, size in zip(main.dims[:-1], main.shape[:-1], strict=True))
    odd = [warning.replace(f"{source}: ", "") for warning in entry.warnings if warning not in USUAL]
    fates = {fate: count for fate, count in entry.fates.items() if fate != "kept"}
    odd += [f"{count} {fate}" for fate, count in fates.items()]
    sizes = [size for _, _, size in truth["axes"].values()] if truth else []
    is_right = truth is not None and (entry.kind, list(main.shape[:-1])) == (truth["kind"], sizes)
    outcome = "exported byte for byte" if is_same else "EXPORT DIFFERS"
    shutil.rmtree(folder / f"{name}.zarr")
    return entry.kind.value, axes, "; ".join(odd), outcome if is_right else f"{outcome}; KIND OR AXES ARE WRONG"


if __name__ == "__main__":
    main()
