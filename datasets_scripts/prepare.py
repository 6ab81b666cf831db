"""Re-encodes the videos of a data set once, so that training reads them many times faster.

::

    python -m datasets_scripts.prepare msrvtt retrieval --annotation_dir data/msrvtt --video_dir data/msrvtt/videos \
        --output data/msrvtt/prepared

Then ``data/msrvtt/prepared`` takes the place of the folder of the videos (``video_dir``): each name or id leads to the
prepared file. Each video that the annotations name becomes small H.264 in mp4 with a keyframe every few frames,
upright, without sound, and with **the same number of frames at the same times**, so that each index and each moment
means the same picture. GIFs, animated images and folders of frames become mp4 too, and a still image among videos
becomes a video of one frame. Data sets of images have nothing to prepare, and are refused.

The originals stay as they are. A run that was stopped goes on where it was when the command is given again; a folder
made with other settings is an error. Each file gets its name only after it has been decoded again: frames and times
are those of the original, and a few frames are compared with it (PSNR). What cannot be prepared like that is not
written but listed, also in ``prepared_report.json``, and the exit status is 1; 0 if everything was prepared.

``cat.avi`` becomes ``cat.avi.mp4``, which ``cat.avi`` and ``cat`` both lead to; ``cat.gif`` beside it is another video.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.annotations.command_line import data_set_parser, loader_arguments, run
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.annotations.plan import survey
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import add_execution, choose_executor
from datasets_scripts.execution.record import write_whole
from datasets_scripts.loading import builder_class
from datasets_scripts.preparation.record import REPORT
from datasets_scripts.schemas import media_column

if TYPE_CHECKING:
    from datasets_scripts.execution.executor import Executor
    from datasets_scripts.preparation.all_videos import Outcome
    from datasets_scripts.preparation.encoding import EncodingSettings

_SHOWN = 10


@dataclass
class PreparationReport:
    """What became of a data set.

    Args:
        folder: Of the prepared videos.
        outcome: Of the videos that are there.
        missing: The names of those that are not, and where each is named first.
    """

    folder: Path
    outcome: Outcome
    missing: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**self.outcome.to_json(), "missing": self.missing}

    def summary(self) -> str:
        """All of it in a few lines."""
        outcome, totals = self.outcome, self.outcome.totals()
        lines = [f"{self.folder}: {len(outcome.videos):,} videos prepared, {outcome.done:,} of them by this run"]
        if totals:
            lines.append(
                f"{totals['hours']:,.2f} hours; {totals['megabytes_before']:,.1f} MB before, "
                f"{totals['megabytes_after']:,.1f} after; {totals['cpu_minutes_per_hour']:.1f} CPU minutes an hour; "
                f"PSNR {totals['psnr']:.1f} dB, lowest {totals['lowest_psnr']:.1f} ({totals['lowest_psnr_of']})"
            )
        bad = [f"missing       {name} ({place})" for name, place in self.missing.items()]
        bad += [f"not prepared  {path}: {reason}" for path, reason in outcome.failed.items()]
        if bad:
            lines.append(f"{len(self.missing):,} missing, {len(outcome.failed):,} not prepared")
            lines += [f"  {line}" for line in bad[:_SHOWN]]
            if len(bad) > _SHOWN:
                lines.append(f"  and {len(bad) - _SHOWN:,} more, all of them in {self.folder / REPORT}")
        return "\n".join(lines) + "\n"


def prepare(
    name: str,
    config: str | None = None,
    *,
    annotation_dir: str,
    output: str | os.PathLike[str],
    media_dir: str | None = None,
    settings: EncodingSettings | None = None,
    lowest_psnr: float | None = None,
    executor: Executor | None = None,
    progress: bool = True,
    **options: Any,
) -> PreparationReport:
    """Prepare every video that the annotations name, and write ``prepared_report.json``.

    Args:
        name: The data set, as in :func:`datasets_scripts.load`.
        config: Likewise.
        annotation_dir: Likewise.
        output: The folder of the prepared videos.
        media_dir: The folder of the videos, by default that of the annotations.
        settings: How to encode.
        lowest_psnr: A compared frame that is less like its original is an error of that video, in decibels.
        executor: What does the work; by default a process a core.
        progress: Whether to show a progress bar.
        options: Options of the data set.

    Raises:
        DatasetError: The annotations are not as expected, the data set is one of images, a setting is out of range, or
            ``output`` holds something else.
    """
    from datasets_scripts.preparation.all_videos import LOWEST_PSNR, prepare_videos

    loader = builder_class(name)
    configuration = loader.make_config(config, options)
    plan = loader.make_plan(configuration, AnnotationFolder(annotation_dir))
    if media_column(plan.schema) != "video":
        raise DatasetError(f"{name} {configuration.name} has images, which are read as they are: nothing to prepare")
    media = MediaFolder(annotation_dir if media_dir is None else media_dir, "video")
    found = survey(plan, media)
    outcome = prepare_videos(
        (path for path in found.paths.values() if path is not None),
        media.folder,
        output,
        settings,
        lowest_psnr=LOWEST_PSNR if lowest_psnr is None else lowest_psnr,
        executor=executor,
        progress=progress,
    )
    missing = {key if isinstance(key, str) else key[0]: place for key, place in found.places.items()}
    report = PreparationReport(Path(os.path.abspath(output)), outcome, dict(sorted(missing.items())))
    write_whole(report.folder / REPORT, report.to_json())
    return report


def main(arguments: list[str] | None = None, program: str = "python -m datasets_scripts.prepare") -> int:
    """Run the command line, under the name that its help gives it; returns the exit status."""
    parser = data_set_parser(program, __doc__ or "")
    parser.add_argument("--output", required=True, help="the folder of the prepared videos")
    parser.add_argument("--longest_edge", type=int, default=448, help="of larger videos, in pixels (default: 448)")
    parser.add_argument("--keyframe_every", type=int, default=8, help="frames from keyframe to keyframe (default: 8)")
    parser.add_argument(
        "--quality", type=float, default=23.0, help="x264's constant rate factor; lower is better (default: 23)"
    )
    parser.add_argument(
        "--lowest_psnr", type=float, help="decibels below which a frame is too unlike its original (default: 20)"
    )
    parser.add_argument("--report", help="also write prepared_report.json here")
    add_execution(parser)
    options = parser.parse_args(arguments)

    def work() -> int:
        from datasets_scripts.preparation.encoding import EncodingSettings

        given = loader_arguments(options)
        report = prepare(
            options.name,
            options.config,
            annotation_dir=given["annotation_dir"],
            media_dir=given["video_dir"],
            output=options.output,
            settings=EncodingSettings(options.longest_edge, options.keyframe_every, options.quality),
            lowest_psnr=options.lowest_psnr,
            executor=choose_executor(options.ray, options.workers),
            progress=not options.no_progress,
            **given["options"],
        )
        if options.report:
            Path(options.report).write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n", "utf-8")
        sys.stdout.write(report.summary())
        return 1 if report.missing or report.outcome.failed else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
