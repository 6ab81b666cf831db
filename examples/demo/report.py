"""The report of the demo: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from clipbert_hf import probe_video, read_video_frames
from clipbert_hf.training.tracking import read_log

matplotlib.use("Agg")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2433; background: #f6f7f9; margin: 0 auto; max-width: 1080px;
  padding: 2rem; }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
.cards { display: flex; gap: 1rem; flex-wrap: wrap; margin-top: 1.2rem }
.card, .panel { background: #fff; border: 1px solid #dfe3ea; border-radius: 10px; padding: 1rem 1.2rem }
.card { flex: 1; min-width: 9rem } .card b { display: block; font-size: 1.8rem; line-height: 1.2 }
.card span, .note { color: #5b6576; font-size: .9rem }
.panel { margin-bottom: 1rem } .panel img.plot { width: 100% }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 3px; margin-top: .6rem; align-items: end }
.strip img { width: 100%; display: block; border-radius: 3px; outline: 2px solid transparent }
.strip .best img { outline-color: #e4572e }
.bar { background: #2e6fe4; border-radius: 2px 2px 0 0 } .best .bar { background: #e4572e }
.time { font-size: .68rem; color: #5b6576; text-align: center; white-space: nowrap }
.right { color: #1b7f3b } .wrong { color: #b3261e }
table { border-collapse: collapse } td, th { padding: .25rem 1.2rem .25rem 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
"""


@dataclass(frozen=True)
class Answered:
    """A question about a video, and what the pipeline said.

    Args:
        video: Path.
        question: The question.
        truth: The right answer.
        answers: The output of the pipeline, with clip scores.
    """

    video: str
    question: str
    truth: str
    answers: list[dict[str, Any]]

    @property
    def deciding_clip(self) -> dict[str, float]:
        """The clip that alone gives the chosen answer its highest score."""
        return max(self.answers[0]["clips"], key=lambda clip: clip["score"])


def write_report(
    path: Path, summary: Mapping[str, Any], answered: Sequence[Answered], runs: Mapping[str, Path]
) -> None:
    """Write the report.

    Args:
        path: The HTML file.
        summary: The content of ``summary.json``.
        answered: Questions and answers to show.
        runs: Output folders of the steps, by name.
    """
    cards = {
        "test accuracy": f"{summary['test_accuracy']:.1%}",
        "blind baseline, text only": f"{summary['blind_accuracy']:.1%}",
        "seconds in all": f"{summary['seconds']:.0f}",
    }
    body = [
        "<h1>ClipBERT on moving shapes</h1>",
        '<p class="note">Held-out videos of several scenes; one clip sees only part of a video.</p>',
        '<div class="cards">',
        *(f'<div class="card"><b>{value}</b><span>{name}</span></div>' for name, value in cards.items()),
        "</div><h2>More inference clips see more of the video</h2>",
        f'<div class="panel"><img class="plot" alt="accuracy by number of clips" src="{_clips_plot(summary)}"></div>',
        "<h2>Accuracy by type of answer</h2>",
        f'<div class="panel">{_table(summary["accuracy_by_type"])}</div>',
        "<h2>Three questions about one held-out video</h2>",
        *(_question_panel(one) for one in answered),
        "<h2>Training</h2>",
        f'<div class="panel"><img class="plot" alt="training curves" src="{_curves_plot(runs)}"></div>',
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>ClipBERT demo</title><style>{_STYLE}</style>'
    path.write_text(f"{page}<body>{''.join(body)}</body></html>\n", "utf-8")


def _table(accuracies: Mapping[str, float]) -> str:
    rows = (
        f'<tr><td>{html.escape(name)}</td><td class="number">{value:.1%}</td></tr>'
        for name, value in accuracies.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _question_panel(one: Answered) -> str:
    best = one.answers[0]
    verdict = "right" if best["answer"] == one.truth else "wrong"
    others = ", ".join(f"{answer['answer']} {answer['score']:.0%}" for answer in one.answers[1:])
    return (
        f'<div class="panel"><b>{html.escape(one.question)}</b> — '
        f'<span class="{verdict}">{html.escape(best["answer"])} ({best["score"]:.0%}, {verdict})</span> '
        f'<span class="note">then {html.escape(others)}. Bars: how surely each clip alone says '
        f"“{html.escape(best['answer'])}”.</span>{_strip(one)}</div>"
    )


def _strip(one: Answered) -> str:
    clips = one.answers[0]["clips"]
    info = probe_video(one.video)
    indices = [min(round((clip["start"] + clip["end"]) / 2 * info.fps), info.frames - 1) for clip in clips]
    frames = read_video_frames(one.video, indices)
    cells = []
    for clip, frame in zip(clips, frames, strict=True):
        kind = "best" if clip is one.deciding_clip else ""
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        cells.append(
            f'<div class="{kind}"><div class="bar" style="height:{2 + 70 * clip["score"]:.0f}px" '
            f'title="{clip["score"]:.1%}"></div><img alt="" src="{_data_url(image)}">'
            f'<div class="time">{clip["start"]:.1f}–{clip["end"]:.1f} s</div></div>'
        )
    return f'<div class="strip">{"".join(cells)}</div>'


def _clips_plot(summary: Mapping[str, Any]) -> str:
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    axes = figure.subplots()
    names = [f"{clips} clips" if clips != "1" else "1 clip" for clips in summary["accuracy_by_inference_clips"]]
    values = [*summary["accuracy_by_inference_clips"].values(), summary["blind_accuracy"]]
    bars = axes.barh([*names, "blind"], [100 * value for value in values], color=["#2e6fe4"] * len(names) + ["#9aa3b2"])
    axes.bar_label(bars, fmt="%.1f %%", padding=4)
    axes.invert_yaxis()
    axes.set(xlim=(0, 112), xlabel="test accuracy (%)")
    axes.spines[["top", "right"]].set_visible(False)
    return _figure_url(figure)


def _curves_plot(runs: Mapping[str, Path]) -> str:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    for name, folder in runs.items():
        lines = read_log(folder / "log.jsonl")
        steps = [line["step"] for line in lines]
        loss_axes.plot(steps, [line["loss"] for line in lines], label=name, marker=".")
        for metric in ("accuracy", "mlm_accuracy", "itm_accuracy"):
            points = [(line["step"], 100 * line[metric]) for line in lines if metric in line]
            if points:
                label = name if metric == "accuracy" else f"{name}, {metric[:3].upper()}"
                accuracy_axes.plot(*zip(*points, strict=True), label=label, marker=".")
    loss_axes.set(xlabel="step", ylabel="training loss")
    accuracy_axes.set(xlabel="step", ylabel="validation accuracy (%)", ylim=(0, 102))
    for axes in (loss_axes, accuracy_axes):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return _figure_url(figure)


def _figure_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
