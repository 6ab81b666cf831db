"""Captions: which are true of a video, which serve as wrong ones, and the videos with both that retrieval trains on.

A caption that says the same as one of the video's own is never a wrong one, wherever it comes from; what that means
is :func:`caption_key`.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from .clips import ClipSamples
from .numbered_names import NumberedNames
from .row_tables import Row
from .rows import as_rows, compact_places, group_by_codes

# Where wrong captions come from: other videos; the data set's own, else the most alike of other videos; other videos of
# the batch.
Negatives = Literal["random", "hard", "in_batch"]


class _CountedCharacters(dict[int, int | None]):
    """For ``str.translate``: each character as it is, or None for those that do not count; found out as they come."""

    def __missing__(self, point: int) -> int | None:
        character = chr(point)
        # Punctuation, white space and other separators; control characters and such as are not seen.
        ignored = unicodedata.category(character)[0] in "PZC" or character in string.punctuation
        self[point] = None if ignored else point
        return self[point]


_COUNTED = _CountedCharacters()


@lru_cache(maxsize=1 << 16)
def caption_key(caption: str) -> str:
    """What of a caption counts where captions are compared: captions with the same key say the same.

    That is its letters, digits and symbols, in order and whatever their case, in the Unicode form NFKC. White space,
    punctuation and characters that are not seen do not count, within words neither.

    >>> {caption_key(text) for text in ("A man's T-shirt.", "a mans t shirt", "A  MAN 'S T-SHIRT !")}
    {'amanstshirt'}
    """
    if not caption.isascii():
        caption = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", caption).casefold())
    return caption.casefold().translate(_COUNTED)


class CaptionPool:
    """The captions of a split, and which of them are true of a video: its own, and those that say the same.

    Of several data sets, a wrong caption comes from the one that the video is of: the style of another would give it
    away.

    Args:
        rows: Of the split; ``source`` names the data set of a row where there are several. They stay where they are:
            a caption is read when it is drawn.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = as_rows(rows)
        codes, videos = self.rows.codes("video")
        #: The rows of each video.
        self.groups = group_by_codes(self.rows, codes, len(videos))
        self._numbers = NumberedNames(videos)
        sources, names = self.rows.codes("source")
        firsts = self.groups.first_places()
        self._source = sources[firsts]  # of a video: that of its first row
        of_rows = self._source[codes] if len(names) > 1 else None
        # The places of the captions that a video may be given, for each data set; None: all.
        self._places = [None if of_rows is None else _places_of(of_rows, code) for code in range(len(names))]

    def draw(self, video: str, generator: np.random.Generator) -> str | None:
        """A caption of another video; None where there seems to be none."""
        places, true = self._places[self._source[self._numbers[video]]], self.true_keys(video)
        for _ in range(100):
            drawn = int(generator.integers(len(self.rows) if places is None else len(places)))
            text = self.rows.value(drawn if places is None else int(places[drawn]), "caption")
            if caption_key(text) not in true:
                return text
        return None

    def wrong(self, video: str, captions: Iterable[str]) -> list[str]:
        """Those of some captions that are not true of a video; of several that say the same, the first."""
        true = self.true_keys(video)
        wrong: dict[str, str] = {}
        for text in captions:
            if caption_key(text) not in true:
                wrong.setdefault(caption_key(text), text)
        return list(wrong.values())

    def true_keys(self, video: str) -> set[str]:
        """The keys of a video's own captions; made when they are asked for, since those of all take much memory."""
        own = self.groups.places(self._numbers[video]).tolist()
        return {caption_key(self.rows.value(place, "caption")) for place in own}

    def draw_alike(self, row: Row, generator: np.random.Generator, *, among: int) -> str | None:
        """Of several captions of other videos the one that has the most words in common with the row's."""
        words = set(row["caption"].split())
        drawn = [self.draw(row["video"], generator) for _ in range(among)]
        candidates = [text for text in drawn if text is not None]
        return max(candidates, key=lambda text: len(words & set(text.split())), default=None)

    def of_others(self, samples: Sequence[dict[str, Any]], place: int) -> list[str]:
        """Wrong captions for a sample of a batch, each once: those in the ``rows`` of the others.

        They come in the order of the samples that follow, around the end to the start; the sampler has shuffled them.
        """
        video = samples[place]["rows"][0]["video"]
        following = [*samples[place + 1 :], *samples[:place]]
        rows = [row for sample in following for row in sample["rows"]]
        own = self._source[self._numbers[video]]
        return self.wrong(video, [row["caption"] for row in rows if self._source[self._numbers[row["video"]]] == own])


def _places_of(codes: np.ndarray, code: int) -> np.ndarray | range:
    """Where a code stands: data sets follow each other, and a range takes no memory."""
    places = np.flatnonzero(codes == code)
    first, last = int(places[0]), int(places[-1])
    return range(first, last + 1) if last - first + 1 == len(places) else compact_places(places, len(codes))


class RetrievalSamples:
    """Reads clips of a video, and draws the captions that do not fit.

    Args:
        read: Reads the clips.
        pool: Captions of the split.
        negatives: Where wrong captions come from. ``random``: other videos; ``hard``: the row's ``hard_negatives``,
            and where these do not suffice other videos, those whose captions are most alike; ``in_batch``: other
            videos of the batch, which the collator adds.
        negatives_per_caption: Wrong captions for each right one.
        hard_candidates: Of how many captions drawn the one most alike is taken.
    """

    def __init__(
        self,
        read: ClipSamples,
        pool: CaptionPool,
        *,
        negatives: Negatives,
        negatives_per_caption: int,
        hard_candidates: int = 16,
    ) -> None:
        self.read, self.pool, self.negatives, self.number = read, pool, negatives, negatives_per_caption
        self.among = hard_candidates if negatives == "hard" else 1

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``pixels``, ``rows``, and ``wrong`` captions."""
        sample = self.read(rows, generator)
        wrong: list[str] = []
        if self.negatives != "in_batch":
            for row in sample["rows"]:
                given = row.get("hard_negatives") if self.negatives == "hard" else None
                hard = self.pool.wrong(row["video"], given or ())
                order = generator.permutation(len(hard))[: self.number]
                wrong += [hard[index] for index in order]
                missing = self.number - len(order)
                drawn = [self.pool.draw_alike(row, generator, among=self.among) for _ in range(missing)]
                wrong += [text for text in drawn if text is not None]
        return {**sample, "wrong": wrong}
