"""What the pass over all annotations found, kept beside the prepared rows: millions need not be read at every start.

Kept is what the annotation files alone say, under a hash of their content, of the options and of this code. Where each
video or image lies is looked up anew; if one is not found, all is read again, so that the message is the same.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.annotations.plan import MediaName, Plan, Survey, survey
from datasets_scripts.errors import DatasetError

# Fewer annotations are read in less than a second.
WORTH_KEEPING = 100_000


def kept_survey(plan: Plan, media: MediaFolder, path: Path) -> Survey:
    """The survey that a file keeps, or a new one, which the file then keeps if it took long and missed nothing.

    Args:
        plan: What to read.
        media: Where to look for its files.
        path: Named after all that the survey depends on, but for where the videos lie.

    Raises:
        DatasetError: As :func:`survey` does.
    """
    found = _read(media, path)
    if found is not None:
        return found
    found = survey(plan, media)
    if not found.places and sum(counts.total() for counts in found.rows.values()) >= WORTH_KEEPING:
        _write(found, path)
    return found


def _read(media: MediaFolder, path: Path) -> Survey | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    names: list[MediaName] = [name if isinstance(name, str) else tuple(name) for name in content["names"]]
    paths: dict[MediaName, str | None] = {}
    for name in names:
        try:
            options = (name,) if isinstance(name, str) else name
            paths[name] = next((where for each in options if (where := media.find(each)) is not None), None)
        except DatasetError:
            return None
        if paths[name] is None:
            return None
    rows = {
        split: Counter({names[number]: count for number, count in counts}) for split, counts in content["rows"].items()
    }
    return Survey(rows=rows, blank=Counter(content["blank"]), paths=paths, places={})


def _write(found: Survey, path: Path) -> None:
    """Write the file whole or not at all; a folder that cannot be written only costs time at the next start."""
    numbers = {name: number for number, name in enumerate(found.paths)}
    content = {
        "names": list(found.paths),
        "rows": {split: [(numbers[name], count) for name, count in some.items()] for split, some in found.rows.items()},
        "blank": found.blank,
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(path)
