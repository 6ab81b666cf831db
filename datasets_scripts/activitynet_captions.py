"""ActivityNet Captions: YouTube videos, each told in a few timed sentences (Krishna et al., 2017).

=============  =================================================================================================
``retrieval``  paragraph to video: the sentences of a video joined in order, one row a video
``sentences``  single sentences with their times in seconds
=============  =================================================================================================

Splits ``train``, ``val1`` and ``val2``; retrieval is reported on ``val1``. Official files: ``train.json``,
``val_1.json``, ``val_2.json``. The released jsonl files (``anet_retrieval/train.jsonl``, ``dev.jsonl``) hold paragraphs
only. Where videos or annotations lack the ``v_`` before the id they find each other all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import json_members
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.paragraphs import VideoSentences, paragraph_items, sentence_items
from datasets_scripts.annotations.plan import Item, Plan, Published, Reader
from datasets_scripts.annotations.released_files import choose_form, released_captions
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import SchemaName

_OFFICIAL = {"train": ("train.json",), "val1": ("val_1.json",), "val2": ("val_2.json",)}
_RELEASED = {
    "train": ("anet_retrieval/train.jsonl", "train.jsonl"),
    "val1": ("anet_retrieval/dev.jsonl", "dev.jsonl", "val1.jsonl", "val_1.jsonl"),
    "val2": ("val2.jsonl", "val_2.jsonl"),
}
_VIDEOS = {"train": 10_009, "val1": 4_917, "val2": 4_885}
_PUBLISHED: dict[str, Published] = {
    "retrieval": {split: {"rows": count, "videos": count} for split, count in _VIDEOS.items()},
    "sentences": {split: {"videos": count} for split, count in _VIDEOS.items()},
}


class ActivityNetCaptions(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "activitynet_captions"
    CONFIGS = ("retrieval", "sentences")
    BUILDER_CONFIGS = [AnnotationConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: AnnotationConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        official, released = folder.find_all(_OFFICIAL), folder.find_all(_RELEASED)
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        files = official if form == "official" else released
        if not files:
            raise folder.missing(["train.json", "anet_retrieval/train.jsonl"], f"activitynet_captions {config.name}")
        published = _PUBLISHED[config.name]
        if form == "official":
            read = read_moments if config.name == "sentences" else read_paragraphs
            readers: dict[str, Reader] = {s: partial(read, path) for s, path in files.items()}
            schema: SchemaName = "moments" if config.name == "sentences" else "retrieval"
            return Plan(schema, form, readers, list(files.values()), notes, published)
        if config.name == "sentences":
            raise DatasetError(
                "activitynet_captions sentences needs the official files: the jsonl files hold paragraphs"
            )
        readers = {split: partial(read_released, path) for split, path in files.items()}
        return Plan("retrieval", form, readers, list(files.values()), notes, published)


def read_sentences(path: Path) -> Iterator[VideoSentences]:
    """The videos of an official file."""
    for name, record in json_members(path):
        sentences, times = record.texts("sentences", blank=True), record.spans("timestamps")
        if len(sentences) != len(times):
            raise record.error(f"{len(sentences)} sentences, but {len(times)} timestamps")
        yield VideoSentences(record, record.clean(name, "the name of the video"), sentences, [[span] for span in times])


def read_paragraphs(path: Path) -> Iterator[Item]:
    """The paragraphs of an official file."""
    return either_name(paragraph_items(read_sentences(path)))


def read_moments(path: Path) -> Iterator[Item]:
    """The single sentences of an official file."""
    return either_name(sentence_items(read_sentences(path)))


def read_released(path: Path) -> Iterator[Item]:
    """The paragraphs of a jsonl file."""
    return either_name(released_captions(path, numbered=False))


def either_name(items: Iterator[Item]) -> Iterator[Item]:
    """Items whose videos may be called as they are annotated, or with ``v_`` where that lacks it, or without."""
    for item in items:
        name = str(item.media)
        yield item._replace(media=(name, name.removeprefix("v_") if name.startswith("v_") else f"v_{name}"))
