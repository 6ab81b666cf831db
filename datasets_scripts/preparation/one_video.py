"""Prepares one video: written under a temporary name, compared with the original, and only then named."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from datasets_scripts.execution.record import name_whole, part_of
from datasets_scripts.preparation.encoding import EncodingSettings, Sample, encode
from datasets_scripts.preparation.errors import UnpreparedError
from datasets_scripts.preparation.pictures import PILLOW_ERRORS
from datasets_scripts.preparation.shown import ShownVideo, VideoFile, open_shown

_EQUAL = 100.0  # decibels of frames that are the same


@dataclass(frozen=True)
class Job:
    """A video to prepare.

    Args:
        name: The path of the prepared file below its folder, with slashes.
        source: The path of the original.
        target: The path of the prepared file.
        settings: How.
        lowest_psnr: A frame that is less like its original is an error, in decibels.
    """

    name: str
    source: str
    target: str
    settings: EncodingSettings
    lowest_psnr: float


@dataclass(frozen=True)
class Prepared:
    """What is known of a prepared video: a line of the record.

    Args:
        name: The path below the folder.
        source: The path of the original.
        source_bytes: Its size.
        source_changed: When it was changed last, in nanoseconds; with its size that tells whether it is the same still.
        source_size: Width and height of the original as shown.
        size: Those of the prepared file.
        bytes: The size of the prepared file.
        frames: How many there are.
        seconds: How long it lasts.
        psnr: Of the frames that were compared, in decibels, the mean.
        lowest_psnr: Likewise the lowest.
        work_seconds: CPU time that it took.
    """

    name: str
    source: str
    source_bytes: int
    source_changed: int
    source_size: tuple[int, int]
    size: tuple[int, int]
    bytes: int
    frames: int
    seconds: float
    psnr: float
    lowest_psnr: float
    work_seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def is_up_to_date(self, job: Job) -> bool:
        """Whether the prepared file is there, made from the original as it is now, and as like it as is asked for."""
        try:
            target = os.stat(job.target)
        except OSError:
            return False
        is_good = target.st_size == self.bytes and self.lowest_psnr >= job.lowest_psnr
        return is_good and state_of(job.source) == (self.source_bytes, self.source_changed)


def state_of(path: str) -> tuple[int, int]:
    """The size of a file and when it was changed last; of a folder, those of its files together."""
    if os.path.isdir(path):
        states = [os.stat(entry.path) for entry in os.scandir(path) if entry.is_file()]
        return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


def prepare_one(job: Job) -> Prepared | str:
    """Prepare a video.

    Returns:
        What is known of it; or what is wrong with it, and then no file is left.

    Raises:
        OSError: The disk is full.
    """
    target = Path(job.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    try:
        return _prepare(job, part)
    except (av.FFmpegError, OSError, ValueError, *PILLOW_ERRORS) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(errno.ENOSPC, "the disk is full; run the command again to go on", job.target) from error
        # An earlier run may have made one, of what the original was then or under a lower bound: not what is asked for.
        target.unlink(missing_ok=True)
        return str(error) if isinstance(error, UnpreparedError) else f"{type(error).__name__}: {error}"
    finally:
        part.unlink(missing_ok=True)


def _prepare(job: Job, part: Path) -> Prepared:
    began = time.process_time()
    state = state_of(job.source)
    video = open_shown(job.source)
    source_size, samples = encode(video, part, job.settings)
    written = VideoFile(str(part), probes=False)
    _check_times(video, written)
    similarities = _compare(written, samples)
    if min(similarities) < job.lowest_psnr:
        raise UnpreparedError(
            f"a frame is too unlike its original: {min(similarities):.1f} dB instead of at least {job.lowest_psnr:g}; "
            "a lower --quality stays closer to it, a lower --lowest_psnr lets it pass"
        )
    size = part.stat().st_size
    name_whole(part, Path(job.target))
    return Prepared(
        name=job.name,
        source=job.source,
        source_bytes=state[0],
        source_changed=state[1],
        source_size=source_size,
        size=(written.width, written.height),
        bytes=size,
        frames=len(video.timeline.ticks),
        seconds=video.timeline.seconds,
        psnr=round(float(np.mean(similarities)), 2),
        lowest_psnr=round(min(similarities), 2),
        work_seconds=round(time.process_time() - began, 3),
    )


def _check_times(video: ShownVideo, written: VideoFile) -> None:
    """Make sure that the file that was written has the frames of the original at their times.

    Raises:
        UnpreparedError: It does not.
    """
    if video.timeline != written.timeline:
        names = ("clock", "start", "ticks", "end", "rate")
        wrong = [name for name in names if getattr(video.timeline, name) != getattr(written.timeline, name)]
        raise UnpreparedError(f"the prepared file has other times than the original ({', '.join(wrong)})")


def _compare(written: VideoFile, samples: list[Sample]) -> list[float]:
    """How like their originals some frames are, in decibels, after all of them have been decoded."""
    wanted = {sample.number: sample.pixels for sample in samples}
    found = []
    for number, (frame, _) in enumerate(written.frames()):
        if number in wanted:
            found.append(psnr(frame.to_ndarray(format="rgb24", threads=1), wanted[number]))
    return found


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """The peak signal-to-noise ratio of two pictures of bytes, in decibels.

    Example:
        >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 25.5)), 6)
        20.0
    """
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return _EQUAL if error == 0 else min(10 * float(np.log10(255**2 / error)), _EQUAL)
