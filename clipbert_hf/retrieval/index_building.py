"""Bringing the rows of an index up to what a collection holds now: one commit a video."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .collection import Item
from .index_rows import ENCODING, FACTS, UNKNOWN_SIZE, VECTORS, make_row
from .index_table import IndexTable
from .video_encoder import EncodedItem, VideoEncoder

# Files are put together when there are so many new ones, and half as many as rows, since all are then written anew.
_COMPACTED_FROM = 256


@dataclass
class IndexReport:
    """What became of the videos of a collection; of several processes, of this one's share.

    Args:
        added: New ones.
        changed: With another content or other columns than before.
        removed: No longer there.
        unchanged: How many were as before.
        failed: Those of the new and changed ones that could not be read, and why.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def user_columns(table: IndexTable) -> list[str]:
    """The names of the columns that are not ours."""
    ours = {*FACTS, *VECTORS, *ENCODING}
    return [name for name in table.schema.names if name not in ours]


def bring_up_to_date(
    table: IndexTable, encoder: VideoEncoder, items: Sequence[Item], *, remove: bool, accelerator: Any = None
) -> IndexReport:
    """Encode what is new or has changed; each process its share.

    Args:
        table: The index.
        encoder: Of its model.
        items: The collection.
        remove: Whether to delete rows of other videos.
        accelerator: Of several processes, all of which make this call.

    Raises:
        InvalidInputError: If a video has a column that the index lacks.
    """
    number, index = (1, 0) if accelerator is None else (accelerator.num_processes, accelerator.process_index)
    table.refresh()
    names = user_columns(table)
    rows = table.read(["path", "content_hash", "size", "modified", *names]).to_pylist()
    known = {row["path"]: row for row in rows}
    if accelerator is not None:
        accelerator.wait_for_everyone()  # all have read the same before one writes more
    report, todo = IndexReport(), []
    for item in items:
        if not _is_current(item, known.get(item.name), names):
            todo.append(item)
        elif index == 0:
            report.unchanged += 1
    if remove and index == 0:
        report.removed = sorted(known.keys() - {item.name for item in items})
        table.delete(report.removed)
    _encode(table, encoder, todo[index::number], known, report)
    if accelerator is not None:
        accelerator.wait_for_everyone()
    if index == 0:
        table.refresh()
        if todo or report.removed:
            table.finish()
    if accelerator is not None:
        accelerator.wait_for_everyone()
    table.refresh()
    _warn(report)
    return report


def _encode(
    table: IndexTable,
    encoder: VideoEncoder,
    items: Sequence[Item],
    known: Mapping[str, dict[str, Any]],
    report: IndexReport,
) -> None:
    digests = {name: row["content_hash"] for name, row in known.items() if row["content_hash"]}
    new, compacted = 0, len(known)
    for each in encoder.encode(items, digests):
        _write(table, each, known, report)
        new += 1
        if new >= max(_COMPACTED_FROM, compacted // 2):
            table.compact()
            new, compacted = 0, compacted + new


def _write(table: IndexTable, each: EncodedItem, known: Mapping[str, dict[str, Any]], report: IndexReport) -> None:
    name = each.item.name
    before = known.get(name)
    if each.encoded is None:  # the same content as before
        assert before is not None  # or its digest would not be known
        whole = table.read_named([name], [column for column in table.schema.names if column != "path"]).to_pylist()[0]
        table.replace([whole | each.item.columns | {"size": each.size, "modified": each.item.modified}])
        if _differ(each.item, before):
            report.changed.append(name)
        else:
            report.unchanged += 1
        return
    row = make_row(each.item, each.digest, each.size, each.encoded)
    if before is None:
        table.add([row])
        report.added.append(name)
    else:
        table.replace([{column: before[column] for column in before if column not in FACTS} | row])
        report.changed.append(name)
    if isinstance(each.encoded, str):
        report.failed[name] = each.encoded


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
