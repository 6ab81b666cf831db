"""The numbers of many names, such as those of the videos of a corpus, in little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np


class NumberedNames:
    """Finds the number of a name: its place among names that differ.

    A dictionary takes 170 bytes a path, and a worker that is forked copies what of it is looked up. Here a name
    is a hash of eight bytes, the same in every process, in an array that workers share.

    Args:
        names: Each once; what is no text goes by its text.

    Example:
        >>> names = NumberedNames(["b.mp4", "a.mp4"])
        >>> names["a.mp4"], names["b.mp4"]
        (1, 0)
    """

    def __init__(self, names: Sequence[Hashable]) -> None:
        hashes = np.fromiter(map(_hash, names), dtype=np.uint64, count=len(names))
        self._numbers = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._numbers]
        # As good as never: of a million names with a probability of 3e-8.
        same = bool((self._hashes[1:] == self._hashes[:-1]).any())
        self._kept = {str(name): number for number, name in enumerate(names)} if same else None

    def __getitem__(self, name: Hashable) -> int:
        if self._kept is not None:
            return self._kept[str(name)]
        wanted = np.uint64(_hash(name))
        place = int(np.searchsorted(self._hashes, wanted))
        if place == len(self._hashes) or self._hashes[place] != wanted:
            raise KeyError(name)
        return int(self._numbers[place])


def _hash(name: Hashable) -> int:
    text = str(name).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
