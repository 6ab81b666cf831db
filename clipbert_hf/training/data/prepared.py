"""Videos that ``datasets_scripts.prepare`` wrote: whether they are as large as a run wants them."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from datasets_scripts.preparation.record import read_record, reduced_videos

from ..recipe import RecipeError


def check_prepared_size(videos: Iterable[str], longest_edge: int) -> None:
    """Check that no video was prepared smaller than a run resizes it to, which would only enlarge it again.

    Videos whose originals are no larger are as good as these, whatever the size.

    Args:
        videos: Paths; those that no folder of prepared videos holds are passed over.
        longest_edge: The size to which the processor resizes.

    Raises:
        RecipeError: If some were.
    """
    for folder, names in _by_folder(videos).items():
        record = read_record(Path(folder))
        prepared = 0 if record is None else int(record.settings["longest_edge"])
        if prepared >= longest_edge:
            continue
        reduced = reduced_videos(Path(folder), names, longest_edge)
        if reduced:
            name, how = next(iter(reduced.items()))
            raise RecipeError(
                f"the videos in {folder} were prepared with longest_edge {prepared}, and this run resizes to "
                f"{longest_edge}: {len(reduced):,} of {len(names):,} are too small, such as {name} ({how}). "
                f"Prepare them anew into another folder with --longest_edge {longest_edge}, take the originals, or set "
                f"--processor.size.longest_edge {prepared}"
            )


def preparations(videos: Iterable[str]) -> list[str]:
    """How videos were prepared, wherever they lie: the settings of each record, once; empty if these are originals."""
    records = (read_record(Path(folder)) for folder in _by_folder(videos))
    return sorted({json.dumps(record.settings, sort_keys=True) for record in records if record is not None})


def _by_folder(videos: Iterable[str]) -> dict[str, list[str]]:
    """The prepared ones among videos: for each folder with a record, paths below it."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    nearest = cache(_prepared_folder)
    for video in dict.fromkeys(map(str, videos)):
        folder = nearest(os.path.dirname(video))
        if folder is not None:
            folders[folder].append(Path(video).relative_to(folder).as_posix())
    return folders


def _prepared_folder(folder: str) -> str | None:
    """The nearest folder with a record of prepared videos, from a folder upwards."""
    for each in (Path(folder), *Path(folder).parents):
        if read_record(each) is not None:
            return str(each)
    return None
