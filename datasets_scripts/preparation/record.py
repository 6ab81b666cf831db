"""What a folder of prepared videos says of itself.

``prepared.json`` holds the settings and the folder of the originals; ``prepared.jsonl`` a line for each video that is
done, written when its file has its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.record import PART, read_record_lines, write_whole

if TYPE_CHECKING:
    from datasets_scripts.preparation.encoding import EncodingSettings
    from datasets_scripts.preparation.one_video import Prepared

RECORD = "prepared.json"
LINES = "prepared.jsonl"
REPORT = "prepared_report.json"
_VERSION = 1  # to be raised when equal settings would no longer give equal videos


@dataclass(frozen=True)
class Record:
    """The content of ``prepared.json``.

    Args:
        settings: By name, as in :class:`datasets_scripts.preparation.encoding.EncodingSettings`.
        media_dir: The folder of the originals.
        version: Of the way of preparing.
    """

    settings: dict[str, Any]
    media_dir: str
    version: int = _VERSION


def read_record(folder: Path) -> Record | None:
    """The record of a folder; None where there is none, and so no prepared videos.

    Raises:
        DatasetError: It is damaged.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text("utf-8"))
        return Record(**{field.name: content[field.name] for field in fields(Record)})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no record of prepared videos: {error!r}") from error


def claim(folder: Path, settings: EncodingSettings, media_dir: Path) -> None:
    """Make a folder that of videos prepared with these settings, or make sure that it is.

    Raises:
        DatasetError: It holds other videos, or something else.
    """
    if folder == media_dir or folder.is_relative_to(media_dir):
        raise DatasetError(f"the output {folder} lies in the folder of the originals, {media_dir}: choose another one")
    wanted, found = Record(asdict(settings), str(media_dir)), read_record(folder)
    if found is None:
        if folder.exists() and not folder.is_dir():
            raise DatasetError(f"the output {folder} is a file, not a folder")
        if folder.exists() and any(not entry.name.endswith(PART) for entry in folder.iterdir()):
            raise DatasetError(f"the output {folder} exists and has no {RECORD}: choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / RECORD, asdict(wanted))
        return
    there, asked = ({**record.settings, **asdict(record)} for record in (found, wanted))
    names = [name for name in asked if name != "settings" and there.get(name) != asked[name]]
    if names:
        raise DatasetError(
            f"{folder} holds videos prepared with {_listed(there, names)}, but {_listed(asked, names)} was asked for: "
            "choose another folder or delete this one"
        )


def _listed(values: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {values.get(name)}" for name in names)


def read_lines(folder: Path) -> dict[str, Prepared]:
    """What is known of each prepared video, by its path below the folder; the latest line counts."""
    from datasets_scripts.preparation.one_video import Prepared

    names = {field.name for field in fields(Prepared)}
    found = {}
    for line in read_record_lines(folder / LINES):
        if line.keys() == names:
            sizes: dict[str, Any] = {name: tuple(line[name]) for name in ("source_size", "size")}
            found[line["name"]] = Prepared(**{**line, **sizes})
    return found


def original_folder(folder: Path) -> Path | None:
    """Where the originals of prepared videos lie, so that their absolute paths lead to the prepared ones."""
    record = read_record(folder)
    return None if record is None else Path(record.media_dir)


def reduced_videos(folder: Path, names: Iterable[str], longest_edge: int) -> dict[str, str]:
    """Which prepared videos are smaller than a size although their originals were larger than they are.

    Args:
        folder: Of prepared videos, with a record.
        names: Paths of videos below the folder.
        longest_edge: The size that is wanted, in pixels.

    Returns:
        For each of these videos what became of it; also for those of which nothing is recorded.
    """
    lines = read_lines(folder)
    found = {}
    for name in names:
        line = lines.get(name)
        if line is None:
            found[name] = f"nothing is recorded of it in {LINES}"
        elif max(line.size) < longest_edge and max(line.size) + 1 < max(line.source_size):
            found[name] = f"{_size(line.source_size)} became {_size(line.size)}"
    return found


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
