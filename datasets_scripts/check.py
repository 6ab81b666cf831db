"""Checks a data set before training: which videos or images are missing, and which cannot be read.

::

    python -m datasets_scripts.check msrvtt retrieval --annotation_dir data/msrvtt --video_dir data/msrvtt/videos \
        --report check.json

It looks at the structure and the first frame of each video; with ``--full`` at every frame. It says which.

The exit status is 0 if every file is there and can be read, else 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.command_line import data_set_parser, loader_arguments, run
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.annotations.plan import LoadReport, survey
from datasets_scripts.annotations.readable import LOOKED_AT_ALL, LOOKED_QUICKLY, find_unreadable
from datasets_scripts.execution.executor import Executor, add_execution, choose_executor
from datasets_scripts.loading import builder_class
from datasets_scripts.schemas import media_column

_SHOWN = 10


def check(
    name: str,
    config: str | None = None,
    *,
    annotation_dir: str,
    media_dir: str | None = None,
    full: bool = False,
    executor: Executor | None = None,
    progress: bool = True,
    **options: Any,
) -> LoadReport:
    """Look for every file that the annotations name and open it.

    Args:
        name: The data set, as in :func:`datasets_scripts.load`.
        config: Likewise.
        annotation_dir: Likewise.
        media_dir: The folder of the videos or images, by default that of the annotations.
        full: Whether to decode every frame, rather than the first of each video.
        executor: What opens the files; by default two processes a core, since most of their time is waiting for a disk.
        progress: Whether to show a progress bar.
        options: Options of the data set.

    Returns:
        For each split the names of missing files, and the paths of unreadable ones with reasons.

    Raises:
        DatasetError: The annotations are not as expected.
    """
    loader = builder_class(name)
    settings = loader.make_config(config, options)
    plan = loader.make_plan(settings, AnnotationFolder(annotation_dir))
    media = MediaFolder(annotation_dir if media_dir is None else media_dir, media_column(plan.schema))
    found = survey(plan, media)
    paths = sorted({path for path in found.paths.values() if path is not None})
    executor = executor or choose_executor(per_core=2)
    unreadable = find_unreadable(paths, media.kind, full=full, executor=executor, progress=progress)
    return LoadReport(
        name=name,
        config=settings.name,
        form=plan.form,
        files=[str(path) for path in plan.files],
        media_dir=str(media.folder),
        splits={split: found.report(split, unreadable) for split in plan.splits},
        notes=[*plan.notes, *media.notes(found.paths.values()), LOOKED_AT_ALL if full else LOOKED_QUICKLY],
    )


def write_report(report: LoadReport, path: str | Path) -> None:
    """Write a report as JSON."""
    Path(path).write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _text(report: LoadReport) -> str:
    lines = [report.summary()]
    for split, found in report.splits.items():
        bad = [f"missing     {name} ({place})" for name, place in found.missing.items()]
        bad += [f"unreadable  {path}: {reason}" for path, reason in found.unreadable.items()]
        lines.append(f"{split}: {len(found.missing):,} missing, {len(found.unreadable):,} unreadable")
        lines += [f"  {line}" for line in bad[:_SHOWN]]
        if len(bad) > _SHOWN:
            lines.append(f"  and {len(bad) - _SHOWN:,} more")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None, program: str = "python -m datasets_scripts.check") -> int:
    """Run the command line, under the name that its help gives it; returns the exit status."""
    parser = data_set_parser(program, __doc__ or "")
    parser.add_argument("--report", help="also write everything that was found as JSON")
    parser.add_argument("--full", action="store_true", help="decode every frame, not only the first of each video")
    add_execution(parser, default="two a core")
    options = parser.parse_args(arguments)

    def work() -> int:
        given = loader_arguments(options)
        report = check(
            options.name,
            options.config,
            annotation_dir=given["annotation_dir"],
            media_dir=given["video_dir"],
            full=options.full,
            executor=choose_executor(options.ray, options.workers, per_core=2),
            progress=not options.no_progress,
            **given["options"],
        )
        if options.report:
            write_report(report, options.report)
        sys.stdout.write(_text(report))
        return 1 if report.dropped_rows else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
