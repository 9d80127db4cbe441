"""SEG-Y to a prepared dataset: open, scan and design, template, write, publish."""

from distributed import Client

from data_catalog import Catalog, Entry, InputError
from pipeline.design import design_store
from pipeline.engine import progress_bar, run_windowed
from pipeline.publish import make_entry
from pipeline.recipe import ConvertRecipe
from pipeline.splits import split_boxes
from pipeline.store import check_unused, new_store
from pipeline.survey import Survey, open_survey
from pipeline.template import consolidate_metadata, create_template
from pipeline.write import ShardJob, write_shard


def convert(recipe: ConvertRecipe, *, client: Client, catalog: Catalog) -> Entry:
    """Converts a survey and publishes it.

    Args:
        recipe: What to make of which files.
        client: Where the work is done.
        catalog: Where the entry goes, last.

    Returns:
        The published entry.

    Raises:
        InputError: If the files, the target or the recipe cannot be used; nothing is left behind.
    """
    survey, label_surveys = check_call(recipe, catalog=catalog)
    design = design_store(recipe, survey, label_surveys, client=client)
    splits = split_boxes(recipe.splits, design.axes)  # refused here rather than after hours of writing
    with new_store(recipe.out) as url:
        create_template(url, design)
        labels = {name: (label, label_surveys[name]) for name, label in recipe.labels.items()}
        job = ShardJob(url=url, variable=recipe.variable, survey=survey, plan=design.plan, labels=labels)
        source_nbytes = sum(found.traces_nbytes for found in (survey, *label_surveys.values()))
        with progress_bar(f"convert {recipe.name}", total_nbytes=source_nbytes) as advance:
            for _, nbytes in run_windowed(client, write_shard, design.plan.shards(), shared=job):
                advance(nbytes)
        consolidate_metadata(url)
        entry = make_entry(recipe, url, design, splits=splits, survey=survey, label_surveys=label_surveys)
        catalog.publish(entry)
    return entry


def check_call(recipe: ConvertRecipe, *, catalog: Catalog) -> tuple[Survey, dict[str, Survey]]:
    """Refuses at once what can be known without reading a survey's trace headers.

    Returns:
        The survey, and the label volumes by name, opened.

    Raises:
        InputError: If the catalog, the name, the target or a file cannot be used.
    """
    catalog.check_writable()
    if recipe.name in catalog.names():
        raise InputError(f"{catalog.folder} already has a dataset named {recipe.name!r}: choose another --name.")
    check_unused(recipe.out)
    return open_survey(recipe.paths), {name: open_survey(label.paths) for name, label in recipe.labels.items()}
