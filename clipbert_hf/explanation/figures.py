"""Explanations as pictures: the clips along the time of a video, and maps over a frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .explainer import Explainer
from .moments import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#2e6fe4", "#e4572e", "#5b6576"


def draw_timeline(explainer: Explainer, why: Explanation, *, thumbnails: int = 4) -> Figure:
    """The clips along time: how sure each alone is of the answer, which decided, and frames of the best.

    Args:
        explainer: Reads the frames.
        why: Of :meth:`Explainer.explain`.
        thumbnails: How many of the clips with the greatest shares are shown, in order of time.

    Raises:
        ImportError: If matplotlib is missing.
    """
    shares = np.array([clip.share for clip in why.clips])
    best = sorted(np.argsort(-shares, kind="stable")[: max(thumbnails, 1)].tolist())
    frames = explainer.frames(why, best)
    height, width = why.geometry.frame
    tall = min(10 / len(best) * height / width, 6) + 0.3  # inches, with the title
    figure = _figure((10, 2.6 + tall))
    axes = figure.subplot_mosaic([["time"] * len(best), [*map(str, best)]], height_ratios=[2, tall])
    _draw_clips(axes["time"], why)
    for place, frame in zip(best, frames, strict=True):
        clip, picture = why.clips[place], axes[str(place)]
        picture.imshow(frame)
        color = _ORANGE if place in why.deciding else _GREY
        title = f"{clip.start:.1f}–{clip.end:.1f} s: {_short(clip.answer)} {clip.score:.0%}"
        picture.set_title(title, fontsize=9, color=color, parse_math=False)
        _bare(picture)
        for spine in picture.spines.values():
            spine.set(visible=True, color=color, linewidth=2)
    figure.suptitle(f"{_short(why.text, 90)}  {_short(why.answer)} ({why.score:.0%})", fontsize=12, parse_math=False)
    return figure


def _draw_clips(axes: Any, why: Explanation) -> None:
    """A bar a clip, from its start to its end; clips may share seconds."""
    for place, clip in enumerate(why.clips):
        color = _ORANGE if place in why.deciding else _BLUE
        width = max(clip.end - clip.start, 1e-3)
        axes.bar(
            clip.start, clip.score_of_chosen, width=width, align="edge", color=color, alpha=0.55, edgecolor="white"
        )
    axes.set(ylim=(0, 1.02), xlim=(0, max(clip.end for clip in why.clips)), xlabel="seconds")
    axes.set_ylabel(f"alone “{_short(why.answer, 18)}”", parse_math=False)
    axes.set_title(
        f"orange: the clips that decided ({why.aggregation} over clips)", fontsize=9, color=_GREY, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)


def draw_heat_maps(explainer: Explainer, why: Explanation, clip: int | None = None, **options: Any) -> Figure:
    """A frame of a clip, and over it where the model looked and what the answer depends on.

    Args:
        explainer: Makes the maps.
        why: Of :meth:`Explainer.explain`.
        clip: Its place; by default the one that decided most.
        **options: Of :meth:`Explainer.occlusion`.

    Raises:
        ImportError: If matplotlib is missing.
    """
    place = why.deciding[0] if clip is None else clip
    grid = explainer.attention_grid(why, place)
    attention, padding = why.geometry.on_frame(grid), why.geometry.share_on_padding(grid)
    occlusion = explainer.occlusion(why, place, **options)
    frame = explainer.frames(why, [place])[0]
    height, width = frame.shape[:2]
    figure = _figure((10, 10 / 3 * height / width + 0.9))
    pictures = figure.subplots(1, 3)
    moment = f"{why.clips[place].start:.1f}–{why.clips[place].end:.1f} s"
    elsewhere = f", {padding:.0%} on padding" if padding >= 0.005 else ""
    titles = (moment, f"attention of [CLS] (rollout{elsewhere})", f"fall of “{_short(why.answer, 14)}” when covered")
    for picture, title in zip(pictures, titles, strict=True):
        picture.imshow(frame)
        picture.set_title(title, fontsize=9, parse_math=False)
        _bare(picture)
    _lay_over(pictures[1], attention - attention.min())
    _lay_over(pictures[2], np.maximum(occlusion, 0))
    figure.suptitle(f"{_short(why.text, 90)}  {_short(why.answer)} ({why.score:.0%})", fontsize=12, parse_math=False)
    return figure


def _lay_over(axes: Any, heat: np.ndarray) -> None:
    """Colour where a map is high; where it is low the frame stays as it is."""
    strength = heat / heat.max() if heat.max() > 0 else heat
    axes.imshow(strength, cmap="inferno", alpha=0.75 * strength, vmin=0, vmax=1)


def write_timeline(explainer: Explainer, why: Explanation, path: str | os.PathLike[str], **options: Any) -> None:
    """Write :func:`draw_timeline` as PNG.

    Args:
        explainer: See there.
        why: See there.
        path: The file.
        **options: See there.
    """
    draw_timeline(explainer, why, **options).savefig(path, dpi=150, format="png")


def write_heat_maps(explainer: Explainer, why: Explanation, path: str | os.PathLike[str], **options: Any) -> None:
    """Write :func:`draw_heat_maps` as PNG.

    Args:
        explainer: See there.
        why: See there.
        path: The file.
        **options: See there.
    """
    draw_heat_maps(explainer, why, **options).savefig(path, dpi=150, format="png")


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure  # a figure of its own, without pyplot and its windows
    except ModuleNotFoundError as error:
        raise ImportError('pictures need matplotlib: pip install "clipbert_hf[train]"', name="matplotlib") from error
    return Figure(figsize=size, layout="constrained")


def _bare(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])


def _short(text: str, most: int = 30) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
