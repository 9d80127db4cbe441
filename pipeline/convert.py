"""SEG-Y to a prepared dataset: design, template, write, publish; from where it stopped, if it did."""

from contextlib import closing, suppress
from dataclasses import dataclass

from distributed import Client

from data_catalog import Catalog, Entry, InputError, Lease, hold_lease, layout
from data_catalog.removal import empty_store, remove_empty_folder
from pipeline.group_run import remove_work
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.costs import Reads, choose_reads, medium_of, predicted_pattern
from pipeline.plan.design import StoreDesign, VolumeDesign, check_samples, design_store, does_not_fit
from pipeline.plan.splits import split_boxes
from pipeline.recipe import ConvertRecipe
from pipeline.shard_run import RunConduct, ShardRun
from pipeline.shards.repeated import keep_repeated, keep_tails
from pipeline.shards.reuse import Predecessor, changed_source, is_alike, predecessor
from pipeline.shards.trace_heaps import TraceHeaps, make_heaps
from pipeline.shards.write import ShardJob, write_shard
from pipeline.storage.objects import absolute, flush_folder, object_names, remove_folder
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import write_manifest
from pipeline.store.publish import make_entry
from pipeline.store.stored_plan import StoredPlan, begun_otherwise, differences, planned_sources, read_plan, write_plan
from pipeline.store.target import absent_folders, check_target, make_folder, remove_again, remove_partial_files
from pipeline.store.template import consolidate_metadata, create_template
from pipeline.survey.files import Survey, open_survey
from pipeline.survey.headers import HeaderScan, Workplace, read_headers
from pipeline.survey.order import Indexed
from pipeline.survey.placement import compare_coverage, write_trace_numbers
from pipeline.survey.read_pattern import ReadPattern
from pipeline.survey.scan import scan
from pipeline.work.cluster import thread_count, worker_memory
from pipeline.work.failure import writing_told
from pipeline.work.progress import CONSOLE
from pipeline.work.worker_check import check_workers


@dataclass(frozen=True)
class Conduct(RunConduct):
    """How a conversion goes about it, none of which changes what comes out.

    Attributes:
        header_scan: Whether a sparse sample of headers may stand for all until their samples are read.
        index: Folder where trace indices are kept for other calls; None keeps them until the dataset is published.
        extends: A published dataset whose shards are taken over where they hold the same traces.
    """

    header_scan: HeaderScan = "sample"
    index: str | None = None
    extends: Entry | None = None


def convert(recipe: ConvertRecipe, *, client: Client, catalog: Catalog, conduct: Conduct | None = None) -> Entry:
    """Converts a survey and publishes it; goes on with what an earlier call left unfinished.

    Args:
        recipe: What to make of which files.
        client: Where the work is done.
        catalog: Where the entry goes, last.
        conduct: How to go about it.

    Returns:
        The published entry.

    Raises:
        InputError: If the files, the target or the recipe cannot be used. What an earlier call finished stays.
        WorkError: If some shards could not be written, or what runs the work failed. The same call goes on.
    """
    conduct = conduct or Conduct()
    surveys = check_call(recipe, catalog=catalog)
    recipe = recipe.model_copy(update={"out": absolute(recipe.out)})
    if recipe.name in catalog.names():
        return _already_published(recipe, surveys, catalog)
    is_worthless, absent = catalog.unfinished(recipe.name) is None, absent_folders(recipe.out)
    catalog.begin(recipe.name, recipe.out)
    try:
        with writing_told(recipe.out):
            make_folder(recipe.out)
            with hold_lease(recipe.out, purpose=f"convert {recipe.name}") as lease:
                is_worthless = False
                conversion = _Conversion(recipe, surveys, client, conduct, lease)
                try:
                    entry = conversion.run()
                except InputError:
                    is_worthless = conversion.discard_what_is_worthless()
                    raise
                catalog.publish(entry)
                remove_work(recipe.out)
    except InputError:
        if is_worthless:
            remove_empty_folder(recipe.out)
            remove_again(absent[1:])
            catalog.forget(recipe.name)
        raise
    return entry


def check_call(recipe: ConvertRecipe, *, catalog: Catalog) -> dict[str, Survey]:
    """Refuses at once what can be known without reading a survey's trace headers.

    Returns:
        The files of each variable, opened.

    Raises:
        InputError: If the catalog, the name, the target or a file cannot be used.
    """
    catalog.check_writable()
    if recipe.name not in catalog.names():
        check_target(absolute(recipe.out))
    surveys = {
        name: open_survey(sources, recipe.header_bytes, recipe.reading) for name, sources in recipe.sources().items()
    }
    check_samples(recipe, surveys)
    return surveys


def lay_out(
    recipe: ConvertRecipe,
    surveys: dict[str, Survey],
    *,
    header_scan: HeaderScan,
    workplace: Workplace,
    earlier: ChunkPlan | None,
) -> StoreDesign:
    """Reads headers, a sample of them or all, and designs the store from them.

    Args:
        recipe: What to make.
        surveys: The files of each variable, opened and checked.
        header_scan: Whether a sample of the headers may do.
        workplace: Where headers are read.
        earlier: Chunks and shards of an earlier design of the same store, whose shapes are kept.

    Raises:
        InputError: If the traces do not make the kind asked for, a volume does not fit the main one, a split does not
            fit the axes, or a worker has too little memory.
    """
    headers = read_headers(
        surveys, kind=recipe.kind, header_scan=header_scan, workplace=workplace, duplicates=recipe.duplicates
    )
    geometry = headers[recipe.variable].geometry
    memory = worker_memory(workplace.client)
    design = design_store(recipe, surveys, headers, geometry, memory=memory, earlier=earlier)
    split_boxes(recipe.splits, design.all_axes)  # refused here rather than after hours of writing
    return design


def _already_published(recipe: ConvertRecipe, surveys: dict[str, Survey], catalog: Catalog) -> Entry:
    """The entry, if it is what is asked for: a call that was killed at its very end, and is repeated, has succeeded."""
    entry = catalog.open(recipe.name)
    files = [(source.url, source.nbytes) for source in entry.sources]
    found = [(file.url, file.nbytes) for survey in surveys.values() for file in survey.files]
    if entry.url != recipe.out or entry.recipe != recipe.model_dump(mode="json") or files != found:
        raise catalog.taken(recipe.name)
    if object_names(f"{entry.url}/{layout.WORK_GROUP}"):
        with suppress(InputError), hold_lease(entry.url, purpose=f"convert {recipe.name}"):  # or another adds to it
            remove_work(entry.url)
    catalog.forget(recipe.name)
    return entry


class _Conversion:
    """One call's way from its plan to a complete store."""

    def __init__(
        self, recipe: ConvertRecipe, surveys: dict[str, Survey], client: Client, conduct: Conduct, lease: Lease
    ) -> None:
        self.recipe = recipe
        self.surveys = surveys
        self.client = client
        self.conduct = conduct
        self.lease = lease
        self.url = recipe.out
        self.ledger = Ledger(self.url)
        self.taken_over = 0
        self.thread_count = thread_count(client)  # asked now: at the end, the scheduler may be gone
        self.workplace = Workplace(
            client=client,
            index=conduct.index or f"{self.url}/{layout.INDEX}",
            scratch=f"{self.url}/{layout.SCRATCH}",
        )

    def run(self) -> Entry:
        """Goes from wherever the store is to where its entry can be published."""
        urls = [file.url for survey in self.surveys.values() for file in survey.files]
        check_workers(self.client, readable=urls, writable=self.url)
        plan = read_plan(self.url)
        if plan is not None and (found := differences(plan, self.recipe, self.surveys)):
            if self.ledger.completed() or plan.recipe.name != self.recipe.name:
                raise begun_otherwise(plan, found)
            empty_store(self.url, lease=self.lease)  # nothing is lost by beginning anew
            plan = None
        if plan is None:
            plan = self._begin(header_scan=self.conduct.header_scan, earlier=self._chunks_to_keep())
        self.surveys = plan.design.located(self.surveys)
        if not plan.is_prepared:
            plan = self._prepare(plan)
        disagreement = self._write(plan)
        if disagreement is not None:
            CONSOLE.print(f"{disagreement}: all headers are read now", highlight=False, soft_wrap=True)
            plan = self._begin(header_scan="full", earlier=plan.design.chunks, first_design=plan.design)
            self.surveys = plan.design.located(self.surveys)
            plan = self._prepare(plan)
            self._write(plan)
        return self._finish(plan)

    def discard_what_is_worthless(self) -> bool:
        """Empties the store, unless there are complete shards that another call could go on from, or it is another's.

        Returns:
            Whether it did.
        """
        plan = read_plan(self.url)
        if self.ledger.completed() or (plan is not None and plan.recipe.name != self.recipe.name):
            return False
        empty_store(self.url, lease=self.lease)
        return True

    def _chunks_to_keep(self) -> ChunkPlan | None:
        return None if self.conduct.extends is None else predecessor(self.conduct.extends).chunks

    def _begin(
        self, *, header_scan: HeaderScan, earlier: ChunkPlan | None, first_design: StoreDesign | None = None
    ) -> StoredPlan:
        design = lay_out(self.recipe, self.surveys, header_scan=header_scan, workplace=self.workplace, earlier=earlier)
        if first_design is not None:
            self._remove_what_does_not_fit(design, first_design)
        plan = StoredPlan(
            recipe=self.recipe,
            sources=planned_sources(self.surveys),
            design=design,
            is_second_design=first_design is not None,
        )
        write_plan(self.url, plan)
        return plan

    def _remove_what_does_not_fit(self, design: StoreDesign, earlier: StoreDesign) -> None:
        """Traces that were sorted for other shards, and everything if not even the dimensions are the same."""
        remove_folder(f"{self.url}/{layout.HEAPS}")
        remove_folder(f"{self.url}/{layout.FAILURES}")  # of shards that are others now
        if design.dims != earlier.dims:
            remove_folder(f"{self.url}/{layout.LEDGER}")
            for name in object_names(self.url) - {layout.WORK_GROUP}:
                remove_folder(f"{self.url}/{name}")

    def _prepare(self, plan: StoredPlan) -> StoredPlan:
        """Makes the empty arrays, and finds the trace numbers that need an index."""
        remove_folder(f"{self.url}/{layout.REPEATS}")  # what an attempt at another design found
        create_template(self.url, plan.design, self.surveys)
        reads = {volume.name: self._prepare_volume(volume, plan.design) for volume in plan.design.volumes}
        prepared = plan.model_copy(update={"reads": reads, "is_prepared": True})
        write_plan(self.url, prepared)
        return prepared

    def _prepare_volume(self, volume: VolumeDesign, design: StoreDesign) -> Reads:
        survey = self.surveys[volume.name]
        if isinstance(volume.order, Indexed):
            pattern = self._place(volume, design)
        else:
            pattern = predicted_pattern(volume.order, design.axes, design.chunks)
        medium, may_sort = medium_of(survey.files[0].url), design.headers_tell_shards
        return choose_reads(pattern, trace_nbytes=survey.trace_nbytes, medium=medium, may_sort=may_sort)

    def _place(self, volume: VolumeDesign, design: StoreDesign) -> ReadPattern:
        target = f"{self.url}/{layout.trace_number_path(volume.key)}"
        index = scan(self.surveys[volume.name], keep=self.workplace.index, client=self.client)
        placed = write_trace_numbers(
            index,
            design.axes,
            array_url=target,
            shard_shape=design.chunks.shard_shape,
            scratch=self.workplace.scratch,
            client=self.client,
            duplicates=design.duplicates,
            repeats_url=f"{self.url}/{layout.REPEATS}/{volume.name}",
            truncated=tuple(self.surveys[volume.name].truncated_traces.tolist()),
        )
        if volume.is_main:
            return placed.pattern
        coverage = compare_coverage(f"{self.url}/{layout.trace_number_path()}", target, client=self.client)
        elsewhere = coverage.extra + placed.outside_count + placed.repeat_count
        if design.auxiliary_count:  # those of each variable lie outside
            elsewhere -= index.summary.auxiliary_count
        if coverage.missing or elsewhere:
            numbers = " and ".join(axis.name for axis in design.axes if axis.word)
            raise does_not_fit(
                volume.name,
                self.surveys[volume.name],
                f"{coverage.missing} of the main survey's traces have no partner at their {numbers}, "
                f"and {elsewhere} of {index.trace_count} traces lie elsewhere or twice",
            )
        return placed.pattern

    def _write(self, plan: StoredPlan) -> str | None:
        """Writes the shards that are still to be written.

        Returns:
            A trace that lies elsewhere than the design says, in a sentence; None if all is written.
        """
        heaps = {name: self._heaps(name, plan) for name, reads in plan.reads.items() if reads.is_sorted}
        job = ShardJob(
            url=self.url,
            design=plan.design,
            surveys=self.surveys,
            fingerprint=plan.shard_fingerprint,
            reads=plan.reads,
            heaps=heaps,
            predecessor=self._predecessor(plan.design),
            is_second_design=plan.is_second_design,
        )
        make_folder(job.unfinished)
        run = ShardRun(
            self.url,
            verb="convert",
            name=self.recipe.name,
            client=self.client,
            lease=self.lease,
            conduct=self.conduct,
        )
        reports = run.reports(
            write_shard,
            job,
            plan.design.chunks,
            nbytes=sum(survey.traces_nbytes for survey in self.surveys.values()),
            # After another design each shard's task sees for itself whether it still holds.
            may_trust_ledger=not plan.is_second_design,
        )
        with closing(reports):
            for report in reports:
                if report.disagreement is not None:
                    return str(report.disagreement)
                self.taken_over += report.was_taken_over
                if not report.was_complete:
                    self.conduct.telemetry.add(report.record)
        return None

    def _predecessor(self, design: StoreDesign) -> Predecessor | None:
        extended = self.conduct.extends
        if extended is None or not is_alike(extended, design):
            return None
        if changed := changed_source(extended, self.surveys[design.main.name]):
            CONSOLE.print(
                f"{changed} may have changed since {extended.name!r} was made of it: all shards are written anew",
                highlight=False,
                soft_wrap=True,
            )
            return None
        return predecessor(extended)

    def _heaps(self, name: str, plan: StoredPlan) -> TraceHeaps:
        """Traces of a badly ordered survey, sorted by shard."""
        return make_heaps(
            self.surveys[name],
            plan.design.axes,
            plan.design.chunks,
            name=name,
            url=f"{self.url}/{layout.HEAPS}/{name}",
            client=self.client,
        )

    def _finish(self, plan: StoredPlan) -> Entry:
        without_cell = keep_repeated(self.url, plan.design, self.surveys, client=self.client)
        keep_tails(self.url, plan.design, self.surveys)
        gathered = write_manifest(
            self.url,
            plan.design.manifest_parts,
            chunks=plan.design.chunks,
            task_dims=len(plan.design.axes),
            client=self.client,
        )
        self.lease.check()
        remove_partial_files(self.url)
        consolidate_metadata(self.url)
        flush_folder(self.url)  # before an entry says that it is there: zarr leaves that to the system
        self.lease.check()
        self.conduct.telemetry.close()
        self.conduct.telemetry.report(CONSOLE, thread_count=self.thread_count)
        if self.conduct.extends is not None:
            CONSOLE.print(f"{self.taken_over} shards are those of {self.conduct.extends.name}", highlight=False)
        return make_entry(
            self.recipe,
            plan.design,
            splits=split_boxes(self.recipe.splits, plan.design.all_axes),
            surveys=self.surveys,
            headers=gathered.headers[self.recipe.variable],
            fates=gathered.fates | without_cell,
        )
