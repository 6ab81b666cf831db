"""Sentences of a video joined to paragraphs, for paragraph-to-video retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.plan import Item
from datasets_scripts.annotations.records import Record


@dataclass
class VideoSentences:
    """The sentences of a video in order of the file.

    Args:
        record: Where the first stands.
        video: The name of the video.
        sentences: Texts, without white space at their ends, possibly empty.
        times: For each sentence, pairs of start and end in seconds, one for each annotator.
    """

    record: Record
    video: str
    sentences: list[str] = field(default_factory=list)
    times: list[list[list[float]]] = field(default_factory=list)


def paragraph_items(videos: Iterator[VideoSentences]) -> Iterator[Item]:
    """One row a video: its sentences joined by spaces; blank ones are passed over."""
    for video in videos:
        caption = " ".join(filter(None, video.sentences))
        row = {"id": media_stem(video.video), "caption": caption}
        yield Item(video.record, video.video, row if caption else None)


def sentence_items(videos: Iterator[VideoSentences]) -> Iterator[Item]:
    """One row a sentence, numbered within its video."""
    for video in videos:
        for number, (caption, times) in enumerate(zip(video.sentences, video.times, strict=True)):
            row = {"id": f"{media_stem(video.video)}_{number}", "caption": caption, "times": times}
            yield Item(video.record, video.video, row if caption else None)
