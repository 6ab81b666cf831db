"""One data set of questions in every form that ``--dataset hub`` reads."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from miniature_files import write_jsonl

from datasets_scripts import create_builder
from datasets_scripts.export import export

SHARD_ROWS = 16  # as an export has them whose shards are as small as can be
FORMS = ("names", "files", "embed", "tar", "videofolder")


def write_source(folder: Path, rows: dict[str, Iterable[dict[str, Any]]]) -> Path:
    """The data set as jsonl files, as ``--dataset custom`` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in rows.items():
        write_jsonl(folder / f"{split}.jsonl", list(some))
    return folder


def write_form(form: str, source: Path, videos: Path, folder: Path) -> dict[str, Any]:
    """Write a data set in a form.

    Returns:
        The settings with which it is read.
    """
    builder = create_builder("custom", "qa", annotation_dir=source, video_dir=videos, progress=False)
    if form in ("names", "files", "embed"):
        export(builder, folder, media=form, shard_size=1)  # type: ignore[arg-type]
        options = {"video_dir": str(videos)} if form == "names" else {}
        return {"data_dir": str(folder), "dataset_options": options}
    folder.mkdir()
    for split in builder.report.splits:
        rows = [*builder.rows(split)]
        if form == "tar":
            for number, first in enumerate(range(0, len(rows), SHARD_ROWS)):
                _write_tar(folder / f"{split}-{number:05d}.tar", rows[first : first + SHARD_ROWS], videos)
        else:
            (folder / split).mkdir()
            for row in rows:
                name = Path(row["video"]).name
                shutil.copy(row["video"], folder / split / name)
                row["file_name"] = name
                del row["video"]
            write_jsonl(folder / split / "metadata.jsonl", rows)
    return {"data_dir": str(folder), "dataset_options": {}}


def _write_tar(path: Path, rows: list[dict[str, Any]], videos: Path) -> None:
    """Two members a row: the video, and the row with the video's name."""
    with tarfile.open(path, "w") as tar:
        for number, row in enumerate(rows):
            named = {**row, "video": Path(row["video"]).relative_to(videos).as_posix()}
            for ending, content in (("mp4", Path(row["video"]).read_bytes()), ("json", json.dumps(named).encode())):
                member = tarfile.TarInfo(f"{path.stem}-{number:09d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
