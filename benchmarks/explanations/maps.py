"""How often the maximum of a map lies on the object that a question is about.

The embedded data set knows where its shapes are. Of each question that names one scene of its video, the clip that
decided is taken, and of its frame the place where a map is largest. Attention has one value a cell of the grid, whose
place is the middle of the cell; that of an occlusion map is a pixel, or in its mean over cells the middle of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from clipbert_hf.explanation import Explainer, Explanation, peak
from clipbert_hf.explanation.explainer import AttentionMethod, Measure
from datasets_scripts.moving_shapes import load_moving_shapes, read_plans
from datasets_scripts.moving_shapes.generation import read_manifest
from datasets_scripts.moving_shapes.rendering import render_coverage
from datasets_scripts.moving_shapes.scenes import COLORS, SHAPES, Scene, VideoPlan

NEAR = 3  # pixels
ATTENTION: tuple[AttentionMethod, ...] = get_args(AttentionMethod)
OCCLUSION: tuple[Measure, ...] = get_args(Measure)


def scene_of(question: str, plan: VideoPlan) -> Scene | None:
    """The scene that a question is about; None where no scene fits, so that the answer is no."""
    words = set(question.split())
    colors, shapes = words & set(COLORS), words & set(SHAPES)
    fitting = [scene for scene in plan.scenes if colors <= {scene.color} and shapes <= {scene.shape}]
    return fitting[0] if len(fitting) == 1 else None


def measure_maps(model: Path, data: Path, *, videos: int, num_clips: int, **occlusion: Any) -> dict[str, Any]:
    """Look at the questions about the first test videos.

    Args:
        model: Its folder.
        data: The data set's folder.
        videos: How many.
        num_clips: Clips of a video.
        **occlusion: Options of the occlusion map.
    """
    explainer, seed = Explainer.from_pretrained(model), read_manifest(data).seed
    plans = {str(data / plan.file): plan for plan in read_plans(data, "test")[:videos]}
    rows = [row for row in load_moving_shapes("qa", data, progress=False)["test"] if row["video"] in plans]
    coverage = {video: render_coverage(plan, seed=seed) for video, plan in plans.items()}
    found = []
    for row in rows:
        scene = scene_of(row["question"], plans[row["video"]])
        if scene is None:
            continue
        why = explainer.explain(row["video"], row["question"], num_clips=num_clips)
        frame = why.clips[why.deciding[0]].frame
        record = {"right": why.answer == row["answer"], "shown": scene.start <= frame < scene.stop}
        if record["shown"]:
            record |= _hits(explainer, why, coverage[row["video"]][frame] >= 0.5, **occlusion)
        found.append(record)
    return _summary(found)


def _hits(explainer: Explainer, why: Explanation, covered: np.ndarray, **occlusion: Any) -> dict[str, float]:
    """Whether each map's maximum lies on the object, or near it; and how often any pixel, or cell, does."""
    grids = {f"attention_{method}": explainer.attention_grid(why, method=method) for method in ATTENTION}
    rows, columns = next(iter(grids.values())).shape
    places = {}
    for measure in OCCLUSION:
        heat = explainer.occlusion(why, measure=measure, **occlusion)
        places[f"occlusion_{measure}"] = peak(heat)
        # The same in the mean over each cell, to be compared with attention.
        height, width = (side // cells * cells for side, cells in zip(heat.shape, (rows, columns), strict=True))
        cells = heat[:height, :width].reshape(rows, height // rows, columns, width // columns)
        grids[f"occlusion_{measure}_by_cell"] = cells.mean((1, 3))
    middles = [
        ((np.arange(cells) + 0.5) / cells * side).astype(int)
        for cells, side in zip((rows, columns), covered.shape, strict=True)
    ]
    for name, grid in grids.items():
        row, column = np.unravel_index(int(grid.argmax()), grid.shape)
        places[name] = int(middles[0][row]), int(middles[1][column])
    hits: dict[str, float] = {}
    for ending, values in (("", covered), ("_near", _grown(covered, NEAR))):
        hits |= {f"{name}{ending}": float(values[place]) for name, place in places.items()}
        hits[f"chance_of_a_pixel{ending}"] = float(values.mean())
        hits[f"chance_of_a_cell{ending}"] = float(values[np.ix_(*middles)].mean())
    return hits


def _grown(covered: np.ndarray, distance: int) -> np.ndarray:
    """Also the pixels within a distance of it."""
    rows, columns = np.nonzero(covered)
    grid = np.indices(covered.shape)
    squared = (grid[0][..., None] - rows) ** 2 + (grid[1][..., None] - columns) ** 2  # (H, W, covered)
    return squared.min(-1, initial=2**30) <= distance**2


def _summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    shown = [record for record in found if record["shown"]]
    names = [name for name in shown[0] if name not in ("right", "shown")]
    return {
        "questions": len(found),
        "right": sum(record["right"] for record in found) / len(found),
        "deciding_clip_shows_the_object": len(shown) / len(found),
        "share_of_maxima_on_the_object": {name: sum(record[name] for record in shown) / len(shown) for name in names},
    }
