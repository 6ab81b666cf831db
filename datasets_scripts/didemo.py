"""DiDeMo: Flickr videos with sentences that describe moments of them (Hendricks et al., 2017).

=============  =================================================================================================
``retrieval``  paragraph to video: the sentences of a video joined in order of the file, one row a video
``sentences``  single sentences; ``times`` has the moment that each annotator marked, in seconds
=============  =================================================================================================

Official files: ``train_data.json``, ``val_data.json``, ``test_data.json``. They mark moments as first and last of the
5-second pieces that a video was cut into; the last piece may be shorter than the 5 seconds given here. The released
jsonl files (``didemo_retrieval/train.jsonl`` …) hold paragraphs only.

Papers on retrieval use 8,392 / 1,065 / 1,004 videos, fewer than the current files hold: ``id_lists`` selects them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import json_records, read_names
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.paragraphs import VideoSentences, paragraph_items, sentence_items
from datasets_scripts.annotations.plan import Item, Plan, Published, Reader
from datasets_scripts.annotations.released_files import choose_form, released_captions, released_splits
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import SchemaName

PIECE_SECONDS = 5.0
_OFFICIAL = {"train": ("train_data.json",), "validation": ("val_data.json",), "test": ("test_data.json",)}
_PUBLISHED: dict[str, Published] = {
    "retrieval": {
        split: {"rows": count, "videos": count} for split, count in zip(_OFFICIAL, (8_392, 1_065, 1_004), strict=True)
    },
    "sentences": {split: {"rows": count} for split, count in zip(_OFFICIAL, (33_005, 4_180, 4_021), strict=True)},
}


@dataclass
class DidemoConfig(AnnotationConfig):
    """Options of DiDeMo.

    Args:
        id_lists: For each split to be narrowed, a text file with the names of the videos to keep, one a line.
    """

    id_lists: Mapping[str, str] = field(default_factory=dict)


class Didemo(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "didemo"
    CONFIGS = ("retrieval", "sentences")
    BUILDER_CONFIG_CLASS = DidemoConfig
    BUILDER_CONFIGS = [DidemoConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: DidemoConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        official = folder.find_all(_OFFICIAL)
        released = released_splits(folder, "didemo_retrieval")
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        files = official if form == "official" else released
        if not files:
            raise folder.missing(["train_data.json", "didemo_retrieval/train.jsonl"], f"didemo {config.name}")
        if form == "jsonl" and config.name == "sentences":
            raise DatasetError("didemo sentences needs the official files: the jsonl files hold paragraphs")
        kept = read_id_lists(config.id_lists, set(files))
        read = (
            released_paragraphs if form == "jsonl" else read_moments if config.name == "sentences" else read_paragraphs
        )
        readers: dict[str, Reader] = {split: partial(read, path, kept.get(split)) for split, path in files.items()}
        schema: SchemaName = "moments" if config.name == "sentences" else "retrieval"
        notes += [f"{split} is narrowed to the {len(names):,} videos of its list" for split, names in kept.items()]
        sources = [*files.values(), *(Path(path) for path in config.id_lists.values())]
        return Plan(schema, form, readers, sources, notes, _PUBLISHED[config.name])


def read_id_lists(lists: Mapping[str, str], splits: set[str]) -> dict[str, list[str]]:
    """The stems of the videos to keep of each split.

    Raises:
        DatasetError: There is no such split.
    """
    unknown = sorted(set(lists) - splits)
    if unknown:
        raise DatasetError(f"id_lists has {unknown[0]!r}, but the splits are {', '.join(sorted(splits))}")
    return {split: [media_stem(name) for name in read_names(Path(path))] for split, path in lists.items()}


def read_sentences(path: Path) -> Iterator[VideoSentences]:
    """The sentences of an official file, put together by video, in order of the videos' first sentences."""
    videos: dict[str, VideoSentences] = {}
    ids: set[str] = set()
    for record in json_records(path):
        name, key = record.text("video"), record.name("annotation_id")
        if key in ids:
            raise record.error(f"the id {key!r} is that of another annotation before")
        ids.add(key)
        video = videos.setdefault(name, VideoSentences(record, name))
        video.sentences.append(record.text("description", blank=True))
        spans = record.spans("times")
        if any(number < 0 for span in spans for number in span):
            raise record.error(f"'times' must be numbers of pieces from 0, not {spans}")
        video.times.append([[PIECE_SECONDS * first, PIECE_SECONDS * (last + 1)] for first, last in spans])
    yield from videos.values()


def read_paragraphs(path: Path, kept: list[str] | None) -> Iterator[Item]:
    """The paragraphs of an official file."""
    return _narrowed(paragraph_items(read_sentences(path)), kept, path)


def read_moments(path: Path, kept: list[str] | None) -> Iterator[Item]:
    """The single sentences of an official file."""
    return _narrowed(sentence_items(read_sentences(path)), kept, path)


def released_paragraphs(path: Path, kept: list[str] | None) -> Iterator[Item]:
    """The paragraphs of a jsonl file."""
    return _narrowed(released_captions(path, numbered=False), kept, path)


def _narrowed(items: Iterator[Item], kept: list[str] | None, path: Path) -> Iterator[Item]:
    """The items of the videos to keep.

    Raises:
        DatasetError: One of these is not in the file.
    """
    if kept is None:
        yield from items
        return
    wanted, found = set(kept), set()
    for item in items:
        stem = media_stem(str(item.media))
        if stem in wanted:
            found.add(stem)
            yield item
    if wanted - found:
        raise DatasetError(f"{path} has no video {min(wanted - found)!r}, one of {len(wanted - found)} on the id list")
