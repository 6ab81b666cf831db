"""Writes all shards of a configuration, and goes on where an earlier run was stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import Executor, choose_executor
from datasets_scripts.execution.record import RecordWriter, part_of, read_record_lines, remove_parts
from datasets_scripts.exporting.one_shard import Shard, ShardJob, write_shard
from datasets_scripts.exporting.shard_files import Content, common_ending
from datasets_scripts.exporting.shard_plan import ENDINGS, ShardFormat, SplitPlan, listed
from datasets_scripts.schemas import media_column

if TYPE_CHECKING:
    from datasets_scripts.annotations.builder import AnnotationBuilder

RECORD = "shards.jsonl"


@dataclass
class ShardedConfig:
    """What was written.

    Args:
        folder: Where the shards lie, with their record.
        ending: Of the videos or images in tar files.
        media: How many videos or images there are.
        shards: All of them, in order.
        done: How many of these by this run.
        notes: What the user should know.
    """

    folder: Path
    ending: str
    media: int
    shards: list[Shard] = field(default_factory=list)
    done: int = 0
    notes: list[str] = field(default_factory=list)


def write_shards(
    builder: AnnotationBuilder,
    target: Path,
    *,
    form: ShardFormat,
    shard_size: int,
    executor: Executor | None = None,
    progress: bool = True,
) -> ShardedConfig:
    """Write a configuration as shards into a hidden folder beside its own, which the caller then renames.

    Shards that are there already, in that folder from a run that was stopped or in the target from an earlier export,
    are taken over if they were made from the same rows and the same files.

    Args:
        builder: From :func:`datasets_scripts.create_builder`.
        target: Where the configuration will lie.
        form: Of the shards.
        shard_size: See :class:`SplitPlan`.
        executor: What writes them; by default a process a core.
        progress: Whether to show a progress bar.

    Raises:
        DatasetError: Videos or images cannot be put into shards, all of which are named; or another run is at work.
        OSError: The disk is full.
    """
    from tqdm.auto import tqdm

    with _bars_of_datasets(progress):
        builder.download_and_prepare()
    plans = [SplitPlan(builder, split, form, shard_size) for split in builder.report.splits]
    column = media_column(builder.plan.schema)
    ending = common_ending((source.name for plan in plans for source in plan.sources), column)
    media = len({source.path for plan in plans for source in plan.sources})
    found = ShardedConfig(target.with_name(f".{target.name}.shards"), ending, media)
    found.folder.mkdir(parents=True, exist_ok=True)
    if form == "webdataset":
        found.notes += _notes(plans, ending, column)
    record = RecordWriter(found.folder / RECORD, f"another run is writing shards into {found.folder}")
    failed: list[str] = []
    try:
        remove_parts(found.folder)
        total = sum(plan.bytes_of(*bounds) for plan in plans for bounds in plan.bounds)
        with tqdm(total=total, desc="shards", unit="B", unit_scale=True, disable=not progress) as bar:
            jobs = _Jobs(builder, plans, form, found, target, record, bar.update)
            for _, result in (executor or choose_executor()).run(write_shard, jobs.missing()):
                if isinstance(result, str):
                    failed.append(result)
                    continue
                record.write(result.to_json())
                found.shards.append(result)
                found.done += 1
                bar.update(result.media_bytes)
    except BaseException:
        remove_parts(found.folder)
        raise
    finally:
        record.close()
    if failed:
        raise DatasetError(f"{len(failed):,} shards could not be written; the others are kept. {listed(failed)}")
    _finish(found, list(builder.report.splits))
    return found


@contextmanager
def _bars_of_datasets(progress: bool) -> Iterator[None]:
    import datasets

    was_shown = datasets.is_progress_bar_enabled()
    if not progress:
        datasets.disable_progress_bars()
    yield
    if was_shown:
        datasets.enable_progress_bars()


def _notes(plans: list[SplitPlan], ending: str, column: str) -> list[str]:
    notes = []
    repeated, once = (sum(getattr(plan, name) for plan in plans) for name in ("repeated_bytes", "media_bytes"))
    if repeated > 1.5 * once:
        notes.append(
            f"tar files have each {column} again for each of its rows, here {repeated / max(once, 1):.1f} times; "
            "Parquet has it about once"
        )
    if ending == column:
        notes.append(f"the {column}s have several endings, so in the tar files all are called .{ending}")
    return notes


def _recorded(folder: Path) -> dict[str, Shard]:
    """The shards of a folder that are there, by their names; of several lines for a name the last one counts."""
    names = {each.name for each in fields(Shard)}
    found: dict[str, Shard] = {}
    for line in read_record_lines(folder / RECORD):
        found.pop(str(line.get("file")), None)
        if line.keys() == names:
            shard = Shard(**{**line, "ids": tuple(line["ids"])})
            path = folder / shard.file
            if path.is_file() and path.stat().st_size == shard.bytes:
                found[shard.file] = shard
    return found


class _Jobs:
    """The shards that are not there yet; those that are, are taken over on the way."""

    def __init__(
        self,
        builder: AnnotationBuilder,
        plans: list[SplitPlan],
        form: ShardFormat,
        found: ShardedConfig,
        target: Path,
        record: RecordWriter,
        report: Callable[[int], object],
    ) -> None:
        self._schema, self._plans, self._form = builder.plan.schema, plans, form
        self._found, self._record, self._report = found, record, report
        self._there = _recorded(found.folder)
        self._target = target
        self._earlier = {shard.fingerprint: shard for shard in _recorded(target).values()}

    def missing(self) -> Iterator[ShardJob]:
        """Jobs for all shards that are neither in the folder nor in that of an earlier export."""
        for plan in self._plans:
            for number, (first, stop) in enumerate(plan.bounds):
                name = f"{plan.split}-{number:05d}-of-{len(plan.bounds):05d}.{ENDINGS[self._form]}"
                content = Content(self._schema, first, *plan.rows(first, stop), self._found.ending)
                job = ShardJob(str(self._found.folder / name), plan.split, self._form, content)
                if not self._is_there(name, job.fingerprint()):
                    yield job

    def _is_there(self, name: str, fingerprint: str) -> bool:
        shard = self._there.get(name)
        if shard is None or shard.fingerprint != fingerprint:
            if shard is not None:  # the name will be that of another one
                self._record.write({"file": name})
                (self._found.folder / name).unlink()
            if fingerprint not in self._earlier:
                return False
            earlier = self._earlier[fingerprint]
            _link(self._target / earlier.file, self._found.folder / name)
            shard = replace(earlier, file=name)
            self._record.write(shard.to_json())
        self._found.shards.append(shard)
        self._report(shard.media_bytes)
        return True


def _link(path: Path, target: Path) -> None:
    part = part_of(target)
    try:
        os.link(path, part)
    except OSError:  # a file system without links
        shutil.copyfile(path, part)
    part.replace(target)


def _finish(found: ShardedConfig, splits: list[str]) -> None:
    """Leave the shards and their record in order, and nothing else."""
    found.shards.sort(key=lambda shard: (splits.index(shard.split), shard.first))
    names = {shard.file for shard in found.shards}
    for path in found.folder.iterdir():
        if path.name not in names | {RECORD}:
            path.unlink()
    part = part_of(found.folder / RECORD)
    record = RecordWriter(part, "")
    for shard in found.shards:
        record.write(shard.to_json())
    record.close()
    part.replace(found.folder / RECORD)
