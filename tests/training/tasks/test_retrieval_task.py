from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forked_runs
import numpy as np
import pytest
import torch
from forked_runs import ForkedRun
from script_runs import RECIPES, SHORT, assert_same_weights

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.model.pair_scoring_clipbert import ranking_scores
from clipbert_hf.training.checkpoints import checkpoint_path
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings, RecipeError
from clipbert_hf.training.tasks.multiple_choice import ChoiceCollator, MultipleChoiceTask, check_options
from clipbert_hf.training.tasks.retrieval import RetrievalTask
from examples import run_multiple_choice, run_retrieval

SCRIPTS = [
    ("run_retrieval.py", "retrieval_moving_shapes.yaml"),
    pytest.param("run_multiple_choice.py", "multiple_choice_moving_shapes.yaml", marks=pytest.mark.long),
]
QUICK = ["--tracker", "none", "--num_workers", "0", "--dataset_options", "{}"]


def options(recipe: str, data: Path, start: Path, output: Path, *more: str) -> list[str]:
    path = str(RECIPES / recipe)
    return [path, "--data_dir", str(data), "--start_from", str(start), "--output_dir", str(output), *SHORT, *more]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "recipe"), SCRIPTS)
def test_train_kill_resume(script: str, recipe: str, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    common = [*SHORT, "--dataset_options", "{}", "--data_dir", small_data, "--start_from", pretrained]
    common += ["--resume_from_checkpoint", "last", "--keep_checkpoints", "9"]
    forked_runs.run(script, recipe, *common, "--output_dir", tmp_path / "whole")
    run = ForkedRun(script, recipe, *common, "--output_dir", tmp_path / "parts")
    run.wait_for(checkpoint_path(tmp_path / "parts", 3))
    run.kill()
    forked_runs.run(script, recipe, *common, "--output_dir", tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"]


@pytest.mark.parametrize("loss", ["cross_entropy", "rank"])
def test_retrieval_scores_are_those_of_single_pairs(
    loss: str, small_data: Path, pretrained: Path, tmp_path: Path
) -> None:
    more = [*QUICK, "--model.retrieval_loss", loss, "--inference_clips", "2,4", "--max_steps", "2"]
    results = run_retrieval.main(options("retrieval_moving_shapes.yaml", small_data, pretrained, tmp_path, *more))
    model = ClipBertForVideoTextRetrieval.from_pretrained(tmp_path).eval()
    processor = ClipBertProcessor.from_pretrained(tmp_path)
    rows = load_splits(DataSettings(data_dir=str(small_data)), "retrieval")["test"]
    scores = np.empty((len(rows), len(rows)))
    for column, of_video in enumerate(rows):
        pixels = processor.video_processor(of_video["video"], num_clips=4)["pixel_values_videos"]
        for line, of_text in enumerate(rows):
            with torch.no_grad():
                output = model(**processor(text=[of_text["caption"]]), pixel_values_videos=pixels)
            scores[line, column] = output.scores.logit().item()
    task = RetrievalTask(processor, rows, [2, 4], eval_pairs=5)
    pixels = [processor.video_processor(row["video"], num_clips=4)["pixel_values_videos"] for row in rows]
    with torch.inference_mode():
        records = [
            record
            for start in (0, 4)
            for record in task.predict(
                model,
                {
                    "inputs": {"pixel_values_videos": torch.cat(pixels[start : start + 4])},
                    "videos": [r["video"] for r in rows[start : start + 4]],
                },
            )
        ]
    assert np.stack([by_clips[4][0] for _, by_clips in records], 1) == pytest.approx(scores, abs=1e-4)
    order = np.argsort(np.argsort(-scores, 1), 1)
    r1 = float((np.diag(order) == 0).mean())
    assert results["test"]["text_to_video"]["r1"] == pytest.approx(r1)
    assert set(results["test"]["r1_by_inference_clips"]) == {"2", "4"}
    entries = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert [entry["id"] for entry in entries] == [row["id"] for row in rows]
    assert [entry["rank"] for entry in entries] == (1 + np.diag(order)).tolist()
    for entry, row, line in zip(entries, rows, scores, strict=True):
        assert (entry["text"], entry["video"]) == (row["caption"], row["video"])
        best = np.argsort(-line)[:5]
        assert [one["video"] for one in entry["found"]] == [rows[place]["video"] for place in best]
        assert [one["score"] for one in entry["found"]] == pytest.approx(line[best], abs=1e-4)


def test_several_captions_of_a_video() -> None:
    rows = [{"video": name, "caption": f"{name} {number}"} for number, name in enumerate("aab")]
    task = RetrievalTask(None, rows, [1], eval_pairs=9, dual_softmax_scale=1.0)  # type: ignore[arg-type]
    columns = {"a": [3.0, 1.0, 0.0], "b": [2.0, 2.0, 1.0]}
    # In whatever order the processes return the videos.
    metrics = task.metrics([(name, {1: np.array(columns[name])}) for name in "ba"])
    assert metrics["text_to_video/r1"] == pytest.approx(2 / 3)
    assert metrics["video_to_text/r1"] == 0.5
    assert metrics["video_to_text/mean_rank"] == 2.0
    assert "dual_softmax/text_to_video/r1" in metrics
    entries = task.predictions([(name, {1: np.array(columns[name])}) for name in "ba"])
    # The second text fits the other video better.
    assert [
        (entry["text"], entry["video"], entry["rank"], entry["predicted"], entry["correct"]) for entry in entries
    ] == [
        ("a 0", "a", 1.0, "a", 1.0),
        ("a 1", "a", 2.0, "b", 0.0),
        ("b 2", "b", 1.0, "b", 1.0),
    ]
    assert entries[1]["found"] == [{"video": "b", "score": 2.0}, {"video": "a", "score": 1.0}]
    assert "id" not in entries[0]  # rows without
    assert task.predictions([]) == []


def test_a_tie_for_the_first_place_is_not_right() -> None:
    rows = [{"id": "x", "video": name, "caption": name} for name in "ab"]
    task = RetrievalTask(None, rows, [1], eval_pairs=9)  # type: ignore[arg-type]
    first, second = task.predictions([(name, {1: np.array([[1.0, 0.0]])}) for name in "ab"])
    assert (first["id"], first["rank"], first["correct"]) == ("x", 1.5, 0.0)
    assert second["rank"] == 1.5


def test_scores_do_not_saturate() -> None:
    logits = torch.tensor([[0.0, 40.0], [0.0, 50.0]])
    assert logits.softmax(-1)[:, 1].tolist() == [1.0, 1.0]
    assert ranking_scores(logits).tolist() == [40.0, 50.0]
    assert ranking_scores(logits[:, 1:]).tolist() == [40.0, 50.0]


def test_multiple_choice_trains_and_counts(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    recipe = "multiple_choice_moving_shapes.yaml"
    results = run_multiple_choice.main(
        options(recipe, small_data, pretrained, tmp_path, *QUICK, "--inference_clips", "2")
    )
    model = ClipBertForMultipleChoice.from_pretrained(tmp_path).eval()
    processor = ClipBertProcessor.from_pretrained(tmp_path)
    right = []
    for row in load_splits(DataSettings(data_dir=str(small_data)), "multiple_choice")["test"]:
        inputs = processor(text=row["question"], choices=[row["options"]], videos=row["video"], num_clips=2)
        with torch.no_grad():
            right.append(model(**inputs).logits.argmax().item() == row["answer"])
    assert results["test"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_a_retrieval_model_chooses(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    more = [*QUICK, "--max_steps", "2"]
    run_retrieval.main(options("retrieval_moving_shapes.yaml", small_data, pretrained, tmp_path / "a", *more))
    recipe = "multiple_choice_moving_shapes.yaml"
    more = [*QUICK, "--answer_by", "retrieval", "--max_steps", "0", "--inference_clips", "2"]
    results = run_multiple_choice.main(options(recipe, small_data, tmp_path / "a", tmp_path / "b", *more))
    model = ClipBertForVideoTextRetrieval.from_pretrained(tmp_path / "a").eval()
    processor = ClipBertProcessor.from_pretrained(tmp_path / "a")
    right = []
    for row in load_splits(DataSettings(data_dir=str(small_data)), "multiple_choice")["test"]:
        inputs = processor(text=[row["options"]], videos=[row["video"]], num_clips=2)
        with torch.no_grad():
            right.append(model(**inputs).scores.argmax().item() == row["answer"])
    assert results["test"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_a_retrieval_model_is_not_trained_on_choices(small_data: Path, tmp_path: Path) -> None:
    recipe = "multiple_choice_moving_shapes.yaml"
    with pytest.raises(RecipeError, match="give --epochs 0"):
        run_multiple_choice.main(
            options(recipe, small_data, tmp_path, tmp_path / "b", *QUICK, "--answer_by", "retrieval")
        )


def test_choice_table() -> None:
    task = MultipleChoiceTask("mean", [2, 1], "choice")
    records: list[Any] = [
        [({"answer": 0}, {1: 1, 2: 0}), ({"answer": 3}, {1: 3, 2: 3})],
        [({"answer": 1}, {1: 0, 2: 0})],
    ]
    assert task.metrics(records) == {
        "accuracy": pytest.approx(2 / 3),
        "accuracy_by_inference_clips/1": pytest.approx(1 / 3),
        "accuracy_by_inference_clips/2": pytest.approx(2 / 3),
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"options": ["x", "y"], "answer": 2}], r"the answer to question a0 .*index of its 2 options, from 0; got 2"),
        ([{"options": ["x", "y"], "answer": "1"}], r"the answer to question a0 .*index of its 2 options, .*; got '1'"),
        (
            [{"options": ["x", "y"], "answer": 0}, {"options": ["x", "y", "z"], "answer": 0}],
            "same number of options; got 2 of question a0 and 3 of question a1",
        ),
        ([{"options": ["x"], "answer": 0}], r"question a0 .*must have at least two options; got \['x'\]"),
        ([{"options": ["x", " "], "answer": 0}], "option 1 of question a0 .*not blank; got ' '"),
        (
            [{"question": " ", "options": ["x", "y"], "answer": 0}],
            "question a0 .*not blank; got ' '.*--answer_by retri",
        ),
        ([{"question": None, "options": ["x", "y"], "answer": 0}], "question a0 .*not blank; got None"),
    ],
)
def test_options_that_do_not_fit(rows: list[dict[str, Any]], message: str) -> None:
    rows = [{"id": f"a{number}", "question": "which ?", **row} for number, row in enumerate(rows)]
    with pytest.raises(RecipeError, match=message) as caught:
        check_options(rows, "choice", "validation")
    assert "of the split 'validation'" in str(caught.value)


def test_options_need_no_question_where_they_are_captions(capsys: pytest.CaptureFixture[str]) -> None:
    check_options([{"id": "a", "question": "", "options": ["x", "y"], "answer": 0}], "retrieval", "test")
    assert capsys.readouterr().err == ""


def test_the_right_option_twice(pretrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": "a", "question": "which ?", "options": ["x", "red", "y", "red"], "answer": 3},
        {"id": "b", "question": "which ?", "options": ["x", "x", "red", "y"], "answer": 3},
    ]
    check_options(rows, "choice", "test")
    written = capsys.readouterr().err
    assert written == "1 questions of the split 'test' have their right option twice, such as a: either counts\n"
    sample = {"pixels": torch.zeros(1, 2, 1, 3, 64, 64), "rows": rows}
    batch = ChoiceCollator(ClipBertProcessor.from_pretrained(pretrained), "choice")([sample])
    assert batch["labels"].tolist() == [1, 3]
    for logits, chosen in (([0.0, 0.0, 0.0, 1.0], [1, 3]), ([0.0, 1.0, 0.0, 0.0], [1, 0])):
        clip_logits = torch.tensor(logits).expand(2, 2, 4)
        task = MultipleChoiceTask("mean", [2], "choice")
        records = task.predict(lambda clip_logits=clip_logits, **_: SimpleNamespace(clip_logits=clip_logits), batch)  # type: ignore[arg-type]
        assert [by_clips[2] for _, by_clips in records[0]] == chosen


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("negatives_per_caption", "0", "must be at least 1; got 0"),
        ("candidates", "10,0", r"must be at least 1 each; got \[10, 0\]"),
        ("dual_softmax_scale", "0", r"must be above 0; got 0\.0"),
    ],
)
def test_settings_out_of_range(name: str, value: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} {message}"):
        run_retrieval.main(["--output_dir", "x", "--data_dir", "y", f"--{name}", value])
