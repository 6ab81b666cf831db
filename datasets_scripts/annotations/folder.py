"""Finds the annotation files in a folder by the names that they are published under."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from datasets_scripts.annotations.files import table_records
from datasets_scripts.errors import DatasetError

_EXTENSIONS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet")


class AnnotationFolder:
    """The annotation files in a folder and the folders below it; letter case does not count.

    Args:
        folder: The folder.

    Raises:
        DatasetError: There is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.abspath(folder))
        if not self.folder.is_dir():
            raise DatasetError(f"the annotation folder {self.folder} does not exist")
        self.files = sorted(
            Path(root, name)
            for root, folders, names in os.walk(self.folder)
            for name in names
            if name.lower().endswith(_EXTENSIONS)
            and not any(part.startswith(".") for part in Path(root, name).relative_to(self.folder).parts)
        )

    def find(self, *names: str) -> Path | None:
        """The file of the first of these names that is there.

        Args:
            names: Such as ``"train_qa.json"`` or ``"msrvtt_qa/train.jsonl"``.

        Raises:
            DatasetError: Several folders of the same depth have a file of that name.
        """
        for name in names:
            suffix = "/" + name.lower()
            found = [path for path in self.files if path.as_posix().lower().endswith(suffix)]
            depths = [len(path.parts) for path in found]
            nearest = [path for path, depth in zip(found, depths, strict=True) if depth == min(depths)]
            if len(nearest) > 1:
                raise DatasetError(
                    f"{name} is ambiguous: {nearest[0]} and {nearest[1]}; make annotation_dir the folder of one of them"
                )
            if nearest:
                return nearest[0]
        return None

    def require(self, *names: str, purpose: str) -> Path:
        """As :meth:`find`, for a file that must be there.

        Raises:
            DatasetError: It is not.
        """
        found = self.find(*names)
        if found is None:
            raise self.missing(names, purpose)
        return found

    def missing(self, names: tuple[str, ...] | list[str], purpose: str) -> DatasetError:
        """The error that none of these files is there."""
        there = ", ".join(path.relative_to(self.folder).as_posix() for path in self.files[:10]) or "no annotation file"
        more = f" and {len(self.files) - 10} more" if len(self.files) > 10 else ""
        return DatasetError(f"{purpose} needs {' or '.join(names)} in {self.folder}; there is {there}{more}")

    def find_all(self, names: Mapping[str, tuple[str, ...]]) -> dict[str, Path]:
        """For each split the file that is there, if one is."""
        found = {split: self.find(*candidates) for split, candidates in names.items()}
        return {split: path for split, path in found.items() if path is not None}

    def find_tables(self, columns: tuple[str, ...], delimiter: str) -> list[Path]:
        """The tables whose header has these columns."""
        found = []
        for path in self.files:
            if path.suffix.lower() in (".csv", ".tsv", ".txt"):
                try:
                    next(table_records(path, columns, delimiter=delimiter))
                except DatasetError:
                    continue
                found.append(path)
        return found
