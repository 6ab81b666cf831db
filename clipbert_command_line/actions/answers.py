"""Running a pipeline over videos, and showing what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import pipeline

from ..errors import CommandError
from ..output import bar, print_json, print_table, span, with_progress
from .models import load

TASKS = {"ask": "video-question-answering", "choose": "video-multiple-choice", "match": "video-text-matching"}


def answer(
    command: str,
    model: str,
    rows: list[dict[str, Any]],
    calls: dict[str, Any],
    *,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    drawn: tuple[Path | None, Path | None] = (None, None),
) -> None:
    """Give rows to a pipeline and show its answers: a JSON line a video, or tables.

    Args:
        command: One of :data:`TASKS`.
        model: See :func:`~clipbert_command_line.actions.models.load`.
        rows: Of the pipeline.
        calls: Options of the pipeline's call.
        device: See there.
        dtype: See there.
        as_json: Whether to print what the pipeline returns as it is.
        drawn: Where the clips along time and the maps of a frame are drawn, of one row with one text.
    """
    for path in drawn:
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"{path}: there is no folder {path.parent}")
    loaded, processor = load(command, model, device=device, dtype=dtype)
    pipe = pipeline(TASKS[command], model=loaded, processor=processor, device=loaded.device)
    results = pipe((row for row in rows), **calls)
    for row, result in zip(rows, with_progress(results, "videos", total=len(rows), shown=not as_json), strict=True):
        if as_json:
            print_json(result)
        else:
            for title, answers in _asked(row, result):
                _show(title if len(rows) == 1 else f"{row['video']}  {title}", answers)
    if any(drawn):
        _draw(loaded, processor, rows[0], calls.get("num_clips"), *drawn)


def _draw(
    model: Any, processor: Any, row: dict[str, Any], num_clips: int | None, plot: Path | None, attention: Path | None
) -> None:
    from clipbert_hf.explanation import Explainer, write_heat_maps, write_timeline

    text, choices = row["text"] if "text" in row else row["question"], row.get("choices")
    if not isinstance(text, str):
        (text,), choices = text, None if choices is None else choices[0]
    options: dict[str, Any] = {} if num_clips is None else {"num_clips": num_clips}
    explainer = Explainer(model, processor)
    why = explainer.explain(row["video"], text, choices=choices, **options)
    if plot is not None:
        write_timeline(explainer, why, plot)
    if attention is not None:
        write_heat_maps(explainer, why, attention)


def _asked(row: dict[str, Any], result: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What was asked, and the answers."""
    if "text" in row:
        yield "", result
    elif isinstance(row["question"], str):
        yield row["question"], result
    else:
        yield from zip(row["question"], result, strict=True)


def _show(title: str, answers: list[dict[str, Any]]) -> None:
    rows = []
    for each in answers:
        text = each["text"] if "text" in each else each["answer"]
        surest = max(each.get("clips", []), key=lambda clip: clip["score"], default=None)
        moment = span(surest["start"], surest["end"]) if surest else ""
        rows.append(["(withheld)" if text is None else text, each["score"], bar(each["score"]), moment])
    name = "text" if answers and "text" in answers[0] else "answer"
    print_table([name, "score", "", "surest"], rows, title=title or None)
