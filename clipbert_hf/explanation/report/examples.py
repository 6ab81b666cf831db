"""What a test asked and a model answered rightly and wrongly, with pictures: clips of the video, or frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ...errors import ClipBertError
from ...video.reading import open_video
from ..explainer import Explainer
from .run_folder import RunFolder

_THUMBNAIL = 160  # pixels of the longer side
_MOST_CLIPS = 16


@dataclass(frozen=True)
class Thumbnail:
    """A frame.

    Args:
        source: A data URL.
        label: What stands below it.
        height: Of the bar above it, in per cent; None: no bar.
        decided: Whether it is of a clip that decided.
    """

    source: str
    label: str
    height: float | None = None
    decided: bool = False


@dataclass(frozen=True)
class Strip:
    """Pictures of one video.

    Args:
        thumbnails: In order of time.
        title: What video it is; blank where there is but one.
        note: Why there are no pictures, or what they show.
    """

    thumbnails: list[Thumbnail]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Example:
    """A question, or a text that was searched for, and what became of it.

    Args:
        entry: Its line of predictions.jsonl.
        strips: Of its video; of a search that failed, of the video that was found too.
    """

    entry: dict[str, Any]
    strips: list[Strip]

    @property
    def right(self) -> bool:
        """Whether the answer was worth at least half."""
        return self.entry["correct"] >= 0.5

    @property
    def is_search(self) -> bool:
        """Whether a video was looked for, not an answer."""
        return _is_search(self.entry)

    @property
    def asked(self) -> str:
        """The question or the text."""
        return self.entry.get("question") or self.entry.get("text") or self.entry.get("id") or ""


def choose_examples(run: RunFolder, number: int) -> list[dict[str, Any]]:
    """The wrong answers that the model was surest of, and right ones spread over the test; each of another video.

    A search has no probability: wrong ones are those whose video stands lowest.

    Args:
        run: With predictions.
        number: Most of each kind.
    """
    wrong = sorted(
        (entry for entry in run.predictions if entry["correct"] < 0.5),
        key=lambda entry: -entry.get("score", entry.get("rank", 0.0)),
    )
    right = [entry for entry in run.predictions if entry["correct"] >= 0.5]
    spread = (
        [right[place] for place in np.unique(np.linspace(0, len(right) - 1, 4 * number).astype(int))] if right else []
    )
    chosen: list[dict[str, Any]] = []
    for some in (wrong, spread):
        videos: set[Any] = set()
        for entry in some:
            if len(videos) < number and entry.get("video") not in videos:
                videos.add(entry.get("video"))
                chosen.append(entry)
    return chosen


def illustrate(entries: Sequence[Mapping[str, Any]], explainer: Explainer | None) -> list[Example]:
    """Add pictures; a video that cannot be read any more is said.

    Args:
        entries: Of predictions.jsonl.
        explainer: Of the run's model, to show what each clip says; None: three frames of each video.
    """
    return [_illustrated(dict(entry), explainer) for entry in entries]


def _illustrated(entry: dict[str, Any], explainer: Explainer | None) -> Example:
    if _is_search(entry) and entry["predicted"] != entry["video"]:
        return Example(entry, [_strip(entry["video"], "its video"), _strip(entry["predicted"], "found first")])
    if explainer is None or entry.get("question") is None:
        return Example(entry, [_strip(entry["video"])])
    try:
        return Example(entry, [_explained(entry, explainer)])
    except (ClipBertError, OSError) as error:
        return Example(entry, [Strip([], note=f"no pictures: {error}")])


def _is_search(entry: Mapping[str, Any]) -> bool:
    return "rank" in entry


def _strip(video: Any, title: str = "") -> Strip:
    """Three frames of a video."""
    try:
        return Strip(_frames(video), title)
    except (ClipBertError, OSError) as error:
        return Strip([], title, f"no pictures: {error}")


def _explained(entry: dict[str, Any], explainer: Explainer) -> Strip:
    why = explainer.explain(
        entry["video"], entry["question"], choices=entry.get("options"), answer=str(entry["predicted"])
    )
    step = -(-len(why.clips) // _MOST_CLIPS)
    places = sorted({*range(0, len(why.clips), step), why.deciding[0]})
    frames = explainer.frames(why, places)
    thumbnails = [
        Thumbnail(
            _data_url(frame),
            f"{why.clips[place].start:.1f}–{why.clips[place].end:.1f} s",
            100 * why.clips[place].score_of_chosen,
            place in why.deciding,
        )
        for place, frame in zip(places, frames, strict=True)
    ]
    return Strip(thumbnails, note=f"bars: how surely each clip alone says “{why.answer}”")


def _frames(video: Any) -> list[Thumbnail]:
    with open_video(video) as reader:
        places = sorted({int(part * (reader.frames - 1)) for part in (0.15, 0.5, 0.85)})
        frames = reader.read(places).permute(0, 2, 3, 1).numpy()
        seconds = [place / reader.fps for place in places]
    return [Thumbnail(_data_url(frame), f"{second:.1f} s") for frame, second in zip(frames, seconds, strict=True)]


def _data_url(frame: np.ndarray) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
