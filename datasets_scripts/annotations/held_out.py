"""A validation split held out of a training split by video, for data sets that publish none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial

from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.plan import Item, Reader
from datasets_scripts.errors import DatasetError


def is_held_out(name: str, fraction: float, seed: int) -> bool:
    """Whether a video belongs to the validation split; the same on every machine and for every order of rows."""
    digest = hashlib.sha256(f"{seed}/{media_stem(name)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def hold_out(
    readers: dict[str, Reader], fraction: float, seed: int, known: Mapping[str, bool] | None = None
) -> dict[str, Reader]:
    """Splits with a part of ``train`` made ``validation``; unchanged if there is one or nothing is to be held out.

    Args:
        readers: Of the splits that there are.
        fraction: The share of the videos to hold out.
        seed: Another seed holds out other videos.
        known: Videos, by stem, that are held out, or not, whatever the seed.

    Raises:
        DatasetError: The fraction is out of range.
    """
    if not 0 <= fraction < 1:
        raise DatasetError(f"validation_fraction must be from 0 to below 1, not {fraction}")
    known = known or {}
    if "train" not in readers or "validation" in readers or not (fraction or any(known.values())):
        return readers
    parts = {
        split: partial(select, readers["train"], fraction, seed, known, held_out=split == "validation")
        for split in ("train", "validation")
    }
    return {**parts, **{split: read for split, read in readers.items() if split != "train"}}


def select(read: Reader, fraction: float, seed: int, known: Mapping[str, bool], *, held_out: bool) -> Iterator[Item]:
    """The items of the videos that are held out, or of the others."""
    for item in read():
        name = item.media if isinstance(item.media, str) else item.media[0]
        chosen = known.get(media_stem(name))
        if (is_held_out(name, fraction, seed) if chosen is None else chosen) == held_out:
            yield item
