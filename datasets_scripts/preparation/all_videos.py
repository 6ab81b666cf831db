"""Prepares many videos into a folder, and goes on where an earlier run was stopped."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import Executor, choose_executor
from datasets_scripts.execution.record import RecordWriter, remove_parts
from datasets_scripts.preparation.encoding import EncodingSettings
from datasets_scripts.preparation.one_video import Job, Prepared, prepare_one
from datasets_scripts.preparation.record import LINES, RECORD, claim, read_lines

_ENDING = ".mp4"
_SMALLEST, _LARGEST = 16, 8192
LOWEST_PSNR = 20.0


@dataclass
class Outcome:
    """What became of the videos.

    Args:
        settings: How they were prepared.
        videos: What is known of each that is prepared, also by earlier runs.
        done: How many of these were prepared by this run.
        failed: The paths of originals that were not prepared, and why.
    """

    settings: EncodingSettings
    videos: list[Prepared] = field(default_factory=list)
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def totals(self) -> dict[str, Any]:
        """Sums over the prepared videos, and the frames least like their originals."""
        videos = self.videos
        if not videos:
            return {}
        seconds = sum(video.seconds for video in videos)
        worst = min(videos, key=lambda video: video.lowest_psnr)
        return {
            "hours": round(seconds / 3600, 4),
            "megabytes_before": round(sum(video.source_bytes for video in videos) / 1e6, 3),
            "megabytes_after": round(sum(video.bytes for video in videos) / 1e6, 3),
            "cpu_minutes_per_hour": round(sum(video.work_seconds for video in videos) / seconds * 60, 2),
            "psnr": round(sum(video.psnr for video in videos) / len(videos), 2),
            "lowest_psnr": worst.lowest_psnr,
            "lowest_psnr_of": worst.source,
        }

    def to_json(self) -> dict[str, Any]:
        """As plain data, without a line for each video."""
        counts = {"prepared": len(self.videos), "by_this_run": self.done}
        return {"settings": asdict(self.settings), **counts, **self.totals(), "failed": self.failed}


def check_settings(settings: EncodingSettings, lowest_psnr: float) -> None:
    """Refuse settings that no video can be prepared with, and a bound that would never or always hold.

    Raises:
        DatasetError: One is out of range.
    """
    if settings.longest_edge % 2 or not _SMALLEST <= settings.longest_edge <= _LARGEST:
        raise DatasetError(
            f"longest_edge must be an even number from {_SMALLEST} to {_LARGEST}, not {settings.longest_edge}"
        )
    if settings.keyframe_every < 1:
        raise DatasetError(f"keyframe_every must be at least 1, not {settings.keyframe_every}")
    if not 0 <= settings.quality <= 51:
        raise DatasetError(f"quality must be from 0 (lossless) to 51, not {settings.quality:g}")
    if not 0 <= lowest_psnr < math.inf:
        raise DatasetError(f"lowest_psnr must be a number of decibels of at least 0, not {lowest_psnr:g}")


def prepare_videos(
    paths: Iterable[str],
    media_dir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: EncodingSettings | None = None,
    *,
    lowest_psnr: float = LOWEST_PSNR,
    executor: Executor | None = None,
    progress: bool = True,
) -> Outcome:
    """Re-encode videos; see :mod:`datasets_scripts.prepare`.

    Args:
        paths: Of the originals, files or folders of frames, in ``media_dir``.
        media_dir: Their folder.
        output: The folder of the prepared ones: a new one, or one that was made with the same settings.
        settings: How; by default as :class:`EncodingSettings` has it.
        lowest_psnr: A compared frame that is less like its original is an error of that video, in decibels.
        executor: What does the work; by default a process a core.
        progress: Whether to show a progress bar.

    Raises:
        DatasetError: A setting is out of range, the folder is that of something else, an original lies outside
            ``media_dir``, or two originals would get one name.
        OSError: The disk is full.
    """
    import av
    from tqdm.auto import tqdm

    settings = settings or EncodingSettings()
    check_settings(settings, lowest_psnr)
    if "libx264" not in av.codecs_available:
        raise DatasetError("preparing videos needs the encoder libx264, which the installed PyAV lacks")
    originals, folder = Path(os.path.abspath(media_dir)), Path(os.path.abspath(output))
    jobs = _jobs(sorted({os.path.abspath(path) for path in paths}), originals, folder, settings, lowest_psnr)
    claim(folder, settings, originals)
    outcome = Outcome(settings)
    lines = RecordWriter(folder / LINES, f"another run is preparing videos into {folder}")
    try:
        remove_parts(folder)
        known, todo = read_lines(folder), []
        for job in jobs:
            line = known.get(job.name)
            if line is not None and line.is_up_to_date(job):
                outcome.videos.append(line)
            else:
                todo.append(job)
        results = (executor or choose_executor()).run(prepare_one, todo)
        bar = tqdm(results, "prepare", len(jobs), unit="video", disable=not progress, initial=len(outcome.videos))
        for job, result in bar:
            if isinstance(result, str):
                outcome.failed[job.source] = result
                continue
            lines.write(result.to_json())
            outcome.videos.append(result)
            outcome.done += 1
    except BaseException:
        remove_parts(folder)
        raise
    finally:
        lines.close()
    outcome.failed = dict(sorted(outcome.failed.items()))
    return outcome


def prepared_name(name: str) -> str:
    """What a prepared video is called: as the original, with ``.mp4`` at the end.

    The ending of the original stays, so that ``cat.avi`` and ``cat.gif`` are two videos still.

    Example:
        >>> prepared_name("train/cat.avi"), prepared_name("dog.MP4"), prepared_name("frames_1.5")
        ('train/cat.avi.mp4', 'dog.MP4', 'frames_1.5.mp4')
    """
    return name if name.lower().endswith(_ENDING) else name + _ENDING


def _jobs(paths: list[str], originals: Path, folder: Path, settings: EncodingSettings, lowest_psnr: float) -> list[Job]:
    sources: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        if not Path(path).is_relative_to(originals):
            raise DatasetError(f"{path} is not in media_dir, {originals}")
        name = Path(path).relative_to(originals).as_posix()
        # A folder of frames may be called as if it were a file.
        sources[name + _ENDING if os.path.isdir(path) else prepared_name(name)].append(path)
    for name, same in sources.items():
        if len(same) > 1:
            raise DatasetError(f"{' and '.join(same)} would both be prepared as {name}: rename one of them")
        if name == RECORD:
            raise DatasetError(f"{same[0]} has the name of the record of prepared videos: rename it")
    return [Job(name, path, str(folder / name), settings, lowest_psnr) for name, (path,) in sources.items()]
