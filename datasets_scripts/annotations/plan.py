"""What a loader reads: its splits as streams of annotations, and what is found out about them in one pass.

A *plan* is what a loader decides before it reads a row: which files, and for each split the function that reads them.
A *survey* is the one pass over all of it that counts rows and looks for their files; its outcome is the *report*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.annotations.records import Record
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import SchemaName

# The name of a file, or several names that it may have, of which the first that exists counts.
MediaName = str | tuple[str, ...]
FormName = Literal["official", "jsonl"]


class Item(NamedTuple):
    """An annotation that has been checked.

    Args:
        record: Where it stands.
        media: The video or image; may be empty if there is no row.
        row: The columns of the schema, without that of the media; None for an annotation that is left out as blank.
        key: The id that it has in the file, to be unique there; by default that of the row.
    """

    record: Record
    media: MediaName
    row: dict[str, Any] | None
    key: str | None = None


Reader = Callable[[], Iterator[Item]]
Published = Mapping[str, Mapping[str, float]]


@dataclass
class Plan:
    """What a loader will read.

    Args:
        schema: Of the rows.
        form: Which form the files have.
        splits: For each split a function that reads it from the start. They can be pickled.
        files: All files that are read.
        notes: What the user should know.
        published: For each split the published counts, ``rows`` and ``videos`` (or ``images``) among them; a key such
            as ``train+validation`` is for splits together.
    """

    schema: SchemaName
    form: FormName | Literal["custom"]
    splits: Mapping[str, Reader]
    files: list[Path]
    notes: list[str] = field(default_factory=list)
    published: Published = field(default_factory=dict)


class Numbering:
    """Ids ``<name>_<n>`` that count the rows of each video."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        """The next id of that name."""
        number = self._counts[name]
        self._counts[name] += 1
        return f"{name}_{number}"


@dataclass
class SplitReport:
    """What is known about a split.

    Args:
        rows: Rows that are kept.
        media: Videos or images of these.
        dropped_rows: Rows left out because their video or image is missing or cannot be read.
        blank_rows: Annotations left out because their text, or another value that they need, is blank.
        missing: The names of the videos or images that were not found, and where each is named first.
        unreadable: The paths of those that cannot be read, and why.
    """

    rows: int
    media: int
    dropped_rows: int
    blank_rows: int
    missing: dict[str, str]
    unreadable: dict[str, str]


@dataclass
class LoadReport:
    """What was read, and what was left out.

    Args:
        name: The data set.
        config: Its configuration.
        form: Which form the files had.
        files: The files.
        media_dir: The folder of the videos or images.
        splits: For each split.
        notes: What else the user should know.
    """

    name: str
    config: str
    form: str
    files: list[str]
    media_dir: str
    splits: dict[str, SplitReport]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @property
    def dropped(self) -> str:
        """How many rows were left out of each split, in one line."""
        parts = []
        for split, report in self.splits.items():
            gone = len(report.missing) + len(report.unreadable)
            parts.append(f"{split} {report.dropped_rows:,} rows ({gone:,} files)")
        return f"dropped, because their files are missing or unreadable in {self.media_dir}: " + ", ".join(parts)

    @property
    def dropped_rows(self) -> int:
        """How many rows were left out of all splits."""
        return sum(report.dropped_rows for report in self.splits.values())

    @property
    def blank(self) -> str:
        """How many annotations were left out because they are blank, in one line; empty if there is none."""
        counts = ", ".join(
            f"{name} {split.blank_rows:,} rows" for name, split in self.splits.items() if split.blank_rows
        )
        return f"left out, because the text is blank: {counts}" if counts else ""

    def summary(self) -> str:
        """All of it in a few lines."""
        counts = ", ".join(
            f"{split} {report.rows:,} rows of {report.media:,} files" for split, report in self.splits.items()
        )
        forms = {"official": "the official files", "jsonl": "the jsonl files of the paper"}
        lines = [f"{self.name} {self.config} from {forms.get(self.form, 'files')} {', '.join(self.files)}", counts]
        if self.dropped_rows:
            lines.append(self.dropped)
        if self.blank:
            lines.append(self.blank)
        return "\n".join(lines + self.notes)


@dataclass
class Survey:
    """What one pass over all annotations found.

    Args:
        rows: For each split, the rows of each video or image.
        blank: For each split, the annotations with a blank text.
        paths: Where each video or image lies; None where it was not found.
        places: Where each that was not found is named first.
    """

    rows: dict[str, Counter[MediaName]]
    blank: Counter[str]
    paths: dict[MediaName, str | None]
    places: dict[MediaName, str]

    def report(self, split: str, unreadable: dict[str, str]) -> SplitReport:
        """What is left of a split."""
        counts = self.rows[split]
        missing = [media for media in counts if self.paths[media] is None]
        bad = {media: path for media in counts if (path := self.paths[media]) in unreadable and path is not None}
        dropped = sum(counts[media] for media in (*missing, *bad))
        return SplitReport(
            rows=counts.total() - dropped,
            media=len(counts) - len(missing) - len(bad),
            dropped_rows=dropped,
            blank_rows=self.blank[split],
            missing={_shown(media): self.places[media] for media in sorted(missing, key=_shown)},
            unreadable={path: unreadable[path] for path in sorted(bad.values())},
        )


def _shown(media: MediaName) -> str:
    return media if isinstance(media, str) else media[0]


def survey(plan: Plan, media: MediaFolder) -> Survey:
    """Read all annotations once, and look for every file that they name.

    Raises:
        DatasetError: An annotation is not as it should be, its id is that of another, or its file name leads out of
            the folder.
    """
    found = Survey(rows={}, blank=Counter(), paths={}, places={})
    for split, read in plan.splits.items():
        counts = found.rows[split] = Counter()
        keys: set[str] = set()
        for item in read():
            if item.row is None and not item.media:
                found.blank[split] += 1
                continue
            if item.media not in found.paths:
                found.paths[item.media] = _find(media, item)
                if found.paths[item.media] is None:
                    found.places[item.media] = item.record.place
            if item.row is None:
                found.blank[split] += 1
                continue
            key = item.row["id"] if item.key is None else item.key
            if key in keys:
                raise item.record.error(f"the id {key!r} is that of another row before")
            keys.add(key)
            counts[item.media] += 1
    return found


def _find(media: MediaFolder, item: Item) -> str | None:
    names = (item.media,) if isinstance(item.media, str) else item.media
    try:
        return next((path for name in names if (path := media.find(name)) is not None), None)
    except DatasetError as error:
        raise item.record.error(str(error)) from error
