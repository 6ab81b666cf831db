"""Runs calibrate what they train, and tell what they predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from script_runs import RECIPES
from torch import nn

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering, ClipBertProcessor
from clipbert_hf.metrics import expected_calibration_error
from clipbert_hf.training.calibration import CalibrationTask, rows_to_calibrate
from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe
from clipbert_hf.training.temperature import fit_temperature
from datasets_scripts.moving_shapes import load_moving_shapes
from examples import run_multiple_choice, run_video_qa

QUICK = ["--threads", "1", "--batch_size", "4", "--max_steps", "3", "--tracker", "none", "--num_workers", "0"]


def run(script: Any, recipe: str, data: Path, start: Path, output: Path, *overrides: str) -> dict[str, Any]:
    options = ["--data_dir", str(data), "--start_from", str(start), "--output_dir", str(output)]
    return script.main([str(RECIPES / recipe), *options, *QUICK, "--inference_clips", "1,2", *overrides])


def entries(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text("utf-8").splitlines()]


def validation_logits(folder: Path, data: Path, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """What the saved model says about each question of the validation split, one by one."""
    model = ClipBertForVideoQuestionAnswering.from_pretrained(folder)
    processor = ClipBertProcessor.from_pretrained(folder)
    logits, labels = [], []
    for row in load_moving_shapes("qa", data, progress=False)["validation"]:
        with torch.no_grad():
            inputs = processor(text=row["question"], videos=row["video"], num_clips=clips)
            logits.append(model(**inputs).logits[0].numpy())
        labels.append(model.config.label2id.get(row["answer"], -100))
    return np.stack(logits), np.array(labels)


def test_a_run_calibrates_what_it_trained(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    results = run(run_video_qa, "video_qa_moving_shapes.yaml", small_data, pretrained, tmp_path)
    found = results["calibration"]
    logits, labels = validation_logits(tmp_path, small_data, clips=2)
    expected = fit_temperature(logits, labels)
    assert expected.problem is None  # otherwise this says little
    assert found["temperature"] == pytest.approx(expected.temperature, rel=1e-3)
    assert found["questions"] == len(labels)
    assert found["negative_log_likelihood"]["before"] == pytest.approx(expected.nll_before, rel=1e-4)
    assert found["negative_log_likelihood"]["after"] < found["negative_log_likelihood"]["before"]
    assert ClipBertConfig.from_pretrained(tmp_path).calibration_temperature == found["temperature"]

    environment = results["environment"]
    assert (environment["num_workers"], environment["prefetch"]) == (0, None)
    assert {"python", "torch", "transformers"} <= environment["versions"].keys()
    model = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path)
    assert environment["parameters"] == sum(parameter.numel() for parameter in model.parameters())

    test = results["test"]
    rows = entries(tmp_path)
    assert [row["id"] for row in rows] == [row["id"] for row in load_moving_shapes("qa", small_data)["test"]]
    assert np.mean([row["correct"] for row in rows]) == pytest.approx(test["accuracy"])
    assert all(row["correct"] == (row["predicted"] == row["answer"]) for row in rows)
    for metric, score in (("", "score"), ("_uncalibrated", "uncalibrated_score")):
        error = expected_calibration_error([row[score] for row in rows], [row["correct"] for row in rows])
        assert test[f"expected_calibration_error{metric}"] == pytest.approx(error)

    # Weights that train on are others: their temperature is found anew, or is 1.
    again = run(
        run_video_qa, "video_qa_moving_shapes.yaml", small_data, tmp_path, tmp_path / "b", "--calibration_rows", "null"
    )
    assert "calibration" not in again
    assert "expected_calibration_error_uncalibrated" not in again["test"]
    assert ClipBertConfig.from_pretrained(tmp_path / "b").calibration_temperature == 1
    # And without training what was found stays.
    kept = run(run_video_qa, "video_qa_moving_shapes.yaml", small_data, tmp_path, tmp_path / "c", "--max_steps", "0")
    assert ClipBertConfig.from_pretrained(tmp_path / "c").calibration_temperature == found["temperature"]
    for name in ("accuracy", "expected_calibration_error", "expected_calibration_error_uncalibrated"):
        assert kept["test"][name] == pytest.approx(test[name])


def test_choices_are_calibrated_too(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    results = run(run_multiple_choice, "multiple_choice_moving_shapes.yaml", small_data, pretrained, tmp_path)
    assert ClipBertConfig.from_pretrained(tmp_path).calibration_temperature == results["calibration"]["temperature"]
    rows = entries(tmp_path)
    assert np.mean([row["correct"] for row in rows]) == pytest.approx(results["test"]["accuracy"])
    assert all(row["predicted"] in row["options"] and 0.2 <= row["score"] <= 1 for row in rows)
    error = expected_calibration_error([row["score"] for row in rows], [row["correct"] for row in rows])
    assert results["test"]["expected_calibration_error"] == pytest.approx(error)


class Fixed:
    """Answers with logits that are known."""

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.logits, self.labels = logits, labels

    def logits_and_labels(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.logits[batch["places"]], self.labels[batch["places"]]

    def answer_scores(self, batch: Any, chosen: list[int]) -> list[float]:
        return [float(self.labels[place] == choice) for place, choice in zip(batch["places"], chosen, strict=True)]


def test_calibration_by_hand() -> None:
    # Each is 98 % sure and 3 of 4 are right: T = 4 / ln 3 makes it 75 %.
    task = CalibrationTask(Fixed(torch.tensor([[4.0, 0.0]] * 4), torch.tensor([0, 0, 1, 0])))
    model = nn.Linear(1, 1)
    records = task.predict(model, {"places": [0, 1, 2], "questions": [2, 1]})
    assert [len(logits) for logits, _, _ in records] == [2, 1]
    metrics = task.metrics(records + task.predict(model, {"places": [3], "rows": [["a"]]}))
    assert metrics == {
        "temperature": pytest.approx(4 / np.log(3)),
        "questions": 4,
        "expected_calibration_error/before": pytest.approx(1 / (1 + np.exp(-4)) - 0.75),
        "expected_calibration_error/after": pytest.approx(0, abs=1e-9),
        "negative_log_likelihood/before": pytest.approx(np.log(1 + np.exp(-4)) + 1),
        "negative_log_likelihood/after": pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))),
    }


def test_what_cannot_be_calibrated_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    task = CalibrationTask(Fixed(torch.tensor([[4.0, 0.0]] * 2), torch.tensor([0, 0])))
    metrics = task.metrics(task.predict(nn.Linear(1, 1), {"places": [0, 1], "questions": [2]}))
    assert metrics["temperature"] == 1
    assert capsys.readouterr().err.startswith("no calibration: the right answers have the highest logits throughout")


def test_which_rows_calibrate() -> None:
    rows = [{"video": str(place // 3), "id": place} for place in range(30)]
    splits: dict[str, Any] = {"train": [], "validation": rows, "test": rows}
    settings: dict[str, Any] = {"data_dir": "data", "output_dir": "runs"}
    assert list(rows_to_calibrate(VideoQARecipe(**settings), splits)) == rows
    assert len(rows_to_calibrate(VideoQARecipe(**settings, calibration_rows=7), splits)) == 9  # whole videos
    assert list(rows_to_calibrate(VideoQARecipe(**settings, calibration_rows=None), splits)) == []
    assert list(rows_to_calibrate(VideoQARecipe(**settings, epochs=0), splits)) == []
    assert list(rows_to_calibrate(VideoQARecipe(**settings, answer_kind="count"), splits)) == []
    assert list(rows_to_calibrate(VideoQARecipe(**settings), {"train": rows})) == []
    retrieval = MultipleChoiceRecipe(**settings, answer_by="retrieval", epochs=0)
    assert list(rows_to_calibrate(retrieval, splits)) == []
    with pytest.raises(RecipeError, match="calibration_rows must be at least 1; got 0"):
        VideoQARecipe(**settings, calibration_rows=0)
