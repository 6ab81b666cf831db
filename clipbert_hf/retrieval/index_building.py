"""Bringing the rows of an index up to what a collection holds now: one commit a video."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm

from .collection import Item
from .index_rows import ENCODING, FACTS, UNKNOWN_SIZE, VECTORS
from .index_table import IndexTable
from .index_workers import Executor, MadeRow, RowMaker, rows_made_by, rows_made_here
from .video_encoder import VideoEncoder

# Files are put together when there are so many new ones, and half as many as rows, since all are then written anew.
_COMPACTED_FROM = 256


@dataclass
class IndexReport:
    """What became of the videos of a collection; of several processes, of this one's share.

    Args:
        added: New ones, but for moved ones.
        changed: With another content or other columns than before.
        removed: Names that are no longer there, those of moved videos too.
        moved: Videos that have a new name, by their content, whose rows were taken over: ``{new: old}``.
        unchanged: How many were as before.
        failed: Those of the new and changed ones that could not be read, and why.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def user_columns(table: IndexTable) -> list[str]:
    """The names of the columns that are not ours."""
    ours = {*FACTS, *VECTORS, *ENCODING}
    return [name for name in table.schema.names if name not in ours]


def bring_up_to_date(
    table: IndexTable,
    encoder: VideoEncoder,
    items: Sequence[Item],
    *,
    remove: bool,
    accelerator: Any = None,
    workers: tuple[Executor, RowMaker] | None = None,
    show_progress_bar: bool = False,
) -> IndexReport:
    """Encode what is new or has changed; each process its share, or workers all of it.

    Args:
        table: The index.
        encoder: Of its model.
        items: The collection.
        remove: Whether to delete rows of other videos.
        accelerator: Of several processes, all of which make this call.
        workers: What makes the rows in place of this process.
        show_progress_bar: Of the main process, its own share.

    Raises:
        InvalidInputError: If a video has a column that the index lacks.
    """
    number, index = (1, 0) if accelerator is None else (accelerator.num_processes, accelerator.process_index)
    table.refresh()
    names = user_columns(table)
    rows = table.read(["path", "content_hash", "size", "modified", "error", *names]).to_pylist()
    known = {row["path"]: row for row in rows}
    gone = known.keys() - {item.name for item in items} if remove else set()
    if accelerator is not None:
        accelerator.wait_for_everyone()  # all have read the same before one writes more
    report, todo = IndexReport(), []
    for item in items:
        if not _is_current(item, known.get(item.name), names):
            todo.append(item)
        elif index == 0:
            report.unchanged += 1
    mine, so_far = todo[index::number], _Rows(table, known, gone, report)
    made = (
        rows_made_here(encoder, mine, so_far.knows) if workers is None else rows_made_by(*workers, mine, known.values())
    )
    with tqdm(total=len(mine), unit="video", disable=not show_progress_bar or index > 0) as bar:
        _encode(so_far, encoder, made, bar)
    if accelerator is not None:
        accelerator.wait_for_everyone()  # what is gone may be what another process copies
    if index == 0:
        table.refresh()
        report.removed = sorted(gone)
        table.delete(report.removed)
        if todo or gone:
            table.finish()
    if accelerator is not None:
        accelerator.wait_for_everyone()
    table.refresh()
    _warn(report)
    return report


class _Rows:
    """The rows as they were, and as they are to be.

    Args:
        table: The index.
        known: Path, digest, error and the user's columns of each row, by path.
        gone: Rows of videos that are no longer there.
        report: Is written.
    """

    def __init__(
        self, table: IndexTable, known: Mapping[str, dict[str, Any]], gone: Set[str], report: IndexReport
    ) -> None:
        self.table, self.known, self.gone, self.report = table, known, gone, report
        self.columns = user_columns(table)
        # Readable videos by their content; one that is gone first, so that a moved video is told from a copied one.
        self.twins: dict[str, str] = {}
        for name in sorted(known, key=lambda name: name not in gone):
            if known[name]["content_hash"] and known[name]["error"] is None:
                self.twins.setdefault(known[name]["content_hash"], name)

    def with_content(self, item: Item, digest: str | None) -> str | None:
        """The name of a row with the same content: the video's own, or another's."""
        own = self.known.get(item.name)
        return item.name if own is not None and own["content_hash"] == digest else self.twins.get(digest or "")

    def knows(self, item: Item, digest: str | None) -> bool:
        """Whether a row has the content of a video."""
        return digest is not None and self.with_content(item, digest) is not None

    def copy(self, each: MadeRow) -> bool:
        """Write a video by a row with its content; False if that is gone or has become another meanwhile."""
        name, before = each.item.name, self.known.get(each.item.name)
        source = self.with_content(each.item, each.digest)
        row = None if source is None else self.table.read_row(source)
        if source is None or row is None or row["content_hash"] != each.digest:
            return False
        # Of a moved video all that is known is taken over; of another one only what the model made of the content.
        of_columns = self.known[source] if source in self.gone else before or {}
        own = {column: of_columns.get(column) for column in self.columns}
        facts = {"path": name, "size": each.size, "modified": each.item.modified}
        self.table.write([row | own | each.item.columns | facts])
        if source == name and before is not None and not _differ(each.item, before):
            self.report.unchanged += 1
        elif before is not None:
            self.report.changed.append(name)
        elif source in self.gone:
            self.report.moved[name] = source
        else:
            self.report.added.append(name)
        return True

    def write(self, each: MadeRow) -> None:
        """Write what a model made of a video."""
        assert each.row is not None  # else it is copied
        name, before = each.item.name, self.known.get(each.item.name)
        own = {} if before is None else {column: before[column] for column in self.columns}
        self.table.write([own | each.row])
        (self.report.added if before is None else self.report.changed).append(name)
        if each.row.get("error") is not None:
            self.report.failed[name] = each.row["error"]


def _encode(rows: _Rows, encoder: VideoEncoder, made: Iterator[MadeRow], bar: tqdm[Any]) -> None:
    new, compacted = 0, len(rows.known)
    for each in made:
        # A worker may not have known that the content is known.
        if not (rows.knows(each.item, each.digest) and rows.copy(each)):
            again = [each] if each.row is not None else rows_made_here(encoder, [each.item], lambda item, digest: False)
            for one in again:
                rows.write(one)
        bar.update()
        new += 1
        if new >= max(_COMPACTED_FROM, compacted // 2):
            rows.table.compact()
            new, compacted = 0, compacted + new


def _is_current(item: Item, row: Mapping[str, Any] | None, columns: Sequence[str]) -> bool:
    """Whether a row tells of a video as it is; one that could not be fetched is tried again."""
    if row is None or row["size"] == UNKNOWN_SIZE or _differ(item, row) or set(item.columns) - set(columns):
        return False
    if item.digest is not None:
        return item.digest == row["content_hash"]
    return item.modified == row["modified"] and item.size in (UNKNOWN_SIZE, row["size"])


def _differ(item: Item, row: Mapping[str, Any]) -> bool:
    return any(row.get(name) != value for name, value in item.columns.items())


def _warn(report: IndexReport) -> None:
    if report.failed:
        some = "; ".join(list(report.failed.values())[:5])
        more = f"; and {len(report.failed) - 5} more" if len(report.failed) > 5 else ""
        warnings.warn(
            f"{len(report.failed)} videos could not be read; their rows say why and they are found by no search: "
            f"{some}{more}",
            stacklevel=4,
        )
