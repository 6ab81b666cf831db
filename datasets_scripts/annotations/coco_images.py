"""The file names that an image of COCO may have."""

from __future__ import annotations

from collections.abc import Iterable

from datasets_scripts.annotations.records import Record


def coco_names(image: int, folders: Iterable[str]) -> tuple[str, ...]:
    """Names for an image by number, with and without the prefix of the 2014 and 2015 files.

    >>> coco_names(9, ["train2014"])
    ('COCO_train2014_000000000009.jpg', '000000000009.jpg')
    """
    return (*(f"COCO_{folder}_{image:012d}.jpg" for folder in folders), f"{image:012d}.jpg")


def image_names(record: Record, key: str, folders: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """An image's id as text, and the file names that it may have; a text that is no number is a file name itself."""
    name = record.name(key)
    if not name.isdecimal() or len(name) > 18:
        return name, (name,)
    return str(int(name)), coco_names(int(name), folders)
