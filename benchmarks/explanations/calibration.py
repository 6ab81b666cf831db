"""The calibration of a model with each number of clips, and what is won by leaving unsure answers out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor
from clipbert_hf.metrics import accuracy_by_coverage, expected_calibration_error
from clipbert_hf.model.modeling_clipbert import aggregate_clip_logits
from clipbert_hf.training.data.rows import group_by_video
from clipbert_hf.training.temperature import confidences, fit_temperature
from datasets_scripts.moving_shapes import load_moving_shapes

COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)


def measure_calibration(model: Path, data: Path, *, counts: Sequence[int]) -> dict[str, Any]:
    """Fit a temperature on the validation split for each number of clips, and try each on the test split.

    Args:
        model: The folder of a model that answers questions.
        data: The data set's folder.
        counts: Numbers of clips, which divide the largest.
    """
    splits = {split: _clip_logits(model, data, split, max(counts)) for split in ("validation", "test")}
    config = ClipBertForVideoQuestionAnswering.config_class.from_pretrained(model)
    aggregated: dict[str, dict[int, np.ndarray]] = {}
    for split, (clip_logits, _) in splits.items():
        aggregated[split] = {
            count: aggregate_clip_logits(clip_logits[:, :: max(counts) // count], config.score_aggregation).numpy()
            for count in counts
        }
    temperatures = {
        count: fit_temperature(aggregated["validation"][count], splits["validation"][1]).temperature for count in counts
    }
    found: dict[str, Any] = {"temperature_of_the_model": config.calibration_temperature, "by_clips": {}}
    labels = splits["test"][1]
    for count in counts:
        logits = aggregated["test"][count]
        right = logits.argmax(-1) == labels
        by_temperature = {"1": 1.0, **{f"of {of} clips": temperature for of, temperature in temperatures.items()}}
        calibrated = confidences(logits, temperatures[count])
        found["by_clips"][count] = {
            "accuracy": float(right.mean()),
            "temperature": temperatures[count],
            "expected_calibration_error_at_temperature": {
                name: expected_calibration_error(confidences(logits, each), right)
                for name, each in by_temperature.items()
            },
            "accuracy_at_coverage": accuracy_at(calibrated, right),
        }
    return found


def accuracy_at(confidence: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """The accuracy of the surest answers that are at least so much of all."""
    curve = accuracy_by_coverage(confidence, right)
    places = [int(np.searchsorted(curve["coverage"], coverage - 1e-12)) for coverage in COVERAGES]
    return {str(coverage): float(curve["accuracy"][place]) for coverage, place in zip(COVERAGES, places, strict=True)}


@torch.inference_mode()
def _clip_logits(folder: Path, data: Path, split: str, clips: int) -> tuple[torch.Tensor, np.ndarray]:
    """Of all questions of a split, (N, K, L), and the right labels (N,)."""
    model = ClipBertForVideoQuestionAnswering.from_pretrained(folder)
    processor = ClipBertProcessor.from_pretrained(folder)
    logits, labels = [], []
    for rows in group_by_video(load_moving_shapes("qa", data, progress=False)[split].to_list()):
        inputs = processor(text=[[row["question"] for row in rows]], videos=[rows[0]["video"]], num_clips=clips)
        logits.append(model(**inputs).clip_logits)
        labels += [model.config.label2id.get(row["answer"], -100) for row in rows]
    return torch.cat(logits), np.array(labels)
