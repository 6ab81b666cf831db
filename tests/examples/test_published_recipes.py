"""Every recipe as it is written finds its data in the published form; the scripts run on it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from published_miniatures import WRITERS
from script_runs import EXAMPLES, RECIPES

from clipbert_hf import ClipBertConfig, ClipBertForPreTraining, ClipBertVideoProcessor
from clipbert_hf.training.data.splits import load_task_splits
from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.recipe_parsing import parse_recipe
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceRecipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe
from clipbert_hf.training.tasks.retrieval_batches import RetrievalRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe
from examples import run_multiple_choice, run_pretraining, run_retrieval, run_video_qa

TASKS: dict[str, Any] = {
    "pretraining": PretrainingRecipe,
    "video_qa": VideoQARecipe,
    "retrieval": RetrievalRecipe,
    "multiple_choice": MultipleChoiceRecipe,
}
THREE = {"train": 2, "validation": 1, "test": 1}
# How many rows the miniatures have; None where the embedded data set is made.
ROWS: dict[str, dict[str, int] | None] = {
    "multiple_choice_custom": THREE,
    "multiple_choice_moving_shapes": None,
    "multiple_choice_msrvtt": {"train": 0, "test": 2},
    "multiple_choice_tgif_action": THREE,
    "multiple_choice_tgif_transition": THREE,
    "pretraining_coco_visual_genome": {"train": 9, "validation": 4},
    "pretraining_moving_shapes": None,
    "retrieval_activitynet_4x2": {"train": 2, "test": 1, "val2": 1},
    "retrieval_custom": THREE,
    "retrieval_didemo_4x1": THREE,
    "retrieval_didemo_8x2": THREE,
    "retrieval_moving_shapes": None,
    "retrieval_search_moving_shapes": None,
    "retrieval_msrvtt_4x1": {"train": 6, "test": 2},
    "retrieval_msrvtt_8x2": {"train": 6, "test": 2},
    "video_qa_custom": THREE,
    "video_qa_moving_shapes": None,
    "video_qa_msrvtt_4x1": {"train": 2, "validation": 1, "test": 2},
    "video_qa_msrvtt_8x2": {"train": 2, "validation": 1, "test": 2},
    "video_qa_tgif_count": THREE,
    "video_qa_tgif_frameqa": THREE,
    "video_qa_vqa_v2": {"train": 2, "validation": 2, "test": 1},
}
FEW_VIDEOS = [f"--dataset_options.{split}={number}" for split, number in THREE.items()]


@pytest.fixture
def data(tmp_path: Path, prepared_rows_in_a_folder: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All data sets in miniature, in the folders below the working directory that the recipes name."""
    for write in WRITERS.values():
        write(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_recipe_is_left_out() -> None:
    assert sorted(ROWS) == sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_recipe_finds_its_data(name: str, data: Path) -> None:
    task = next(task for task in TASKS if name.startswith(task))
    made = ROWS[name] is None
    recipe = parse_recipe(TASKS[task], [str(RECIPES / f"{name}.yaml"), *(FEW_VIDEOS if made else [])])
    splits = load_task_splits(recipe, {"video_qa": "qa"}.get(task, task))
    if made:
        assert set(splits) == {"train", "validation", "test"}
    else:
        assert {split: len(rows) for split, rows in splits.items()} == ROWS[name]
    assert all(Path(row["video"]).is_file() for rows in splits.values() for row in rows)


# --- The overrides of the ablations ---

README = (EXAMPLES / "README.md").read_text("utf-8")
VARIABLES = {f"${name}": value for name, value in re.findall(r'^([A-Z]+)="(.*)"$', README, re.MULTILINE)}
# Table, setting, override without its quotes.
ABLATIONS = re.findall(r"^\| ([1-6]) \| ([^|]+) \| `?([^|`]+)`? \| [\d./ ]+ \| [\d.]+ \|", README, re.MULTILINE)


def test_all_settings_of_the_ablations_are_listed() -> None:
    # Sides; frames and fusions; 1 clip, 4 of mean, 2 of max, 2 of LogSumExp; samplings; starts; parts that train.
    assert Counter(table for table, _, _ in ABLATIONS) == {"1": 4, "2": 9, "3": 9, "4": 4, "5": 6, "6": 3}


@pytest.mark.parametrize("name", ["retrieval_msrvtt_4x1", "video_qa_msrvtt_4x1"])
@pytest.mark.parametrize(("table", "setting", "override"), ABLATIONS)
def test_an_ablation_can_be_set(name: str, table: str, setting: str, override: str) -> None:
    words = override.removeprefix("none").split()
    options = [part for word in words for part in VARIABLES.get(word, word).split()]
    task = next(task for task in TASKS if name.startswith(task))
    recipe = parse_recipe(TASKS[task], [str(RECIPES / f"{name}.yaml"), *options])
    config, video = ClipBertConfig(**recipe.model), ClipBertVideoProcessor(**recipe.processor)
    clips = (recipe.training_clips, recipe.validation_clips, max(recipe.inference_clips))
    assert (clips == (1, 1, 1)) is (table in "1256")
    assert clips[2] == (1 if table in "1256" else 16)
    if table in "12":
        assert clips[0] * video.num_frames / video.target_fps == (1.0 if video.num_frames > 1 else 0.5)
        assert str(video.num_frames) in setting or video.num_frames == 1
        assert str(video.size["longest_edge"]) in setting or video.size["longest_edge"] == 448
        fusions = {"Conv3D": "conv3d", "Conv(2+1)D": "conv2plus1d"}
        assert config.temporal_fusion == fusions.get(setting.split()[0], "mean")
    else:
        assert str(recipe.training_clips) in setting or table in "56"
        last = setting.split()[-1]
        assert config.score_aggregation == (last if last in ("mean", "max") else "lse")


# --- The scripts ---


def run(script: Any, recipe: str, start: Path, output: str, *more: str) -> dict[str, Any]:
    """Two steps of a recipe, with the tiny model and its small frames."""
    small = ["--start_from", str(start), "--processor", "{size: {longest_edge: 64}}", "--model", "{}"]
    quick = ["--mixed_precision", "fp32", "--num_workers", "0", "--tracker", "none", "--threads", "1"]
    steps = ["--max_steps", "2", "--batch_size", "2", "--gradient_accumulation_steps", "1"]
    options = [str(RECIPES / f"{recipe}.yaml"), *small, *quick, *steps, "--output_dir", output, *more]
    results: dict[str, Any] = script.main(options)
    assert json.loads((Path(output) / "results.json").read_text()) == results
    return results


@pytest.mark.parametrize("negatives", ["random", "hard", "in_batch"])
def test_pretraining_on_coco_and_visual_genome(negatives: str, data: Path, pretrained: Path) -> None:
    parts = ["--vision", "null", "--text", "null", "--negatives", negatives]
    results = run(run_pretraining, "pretraining_coco_visual_genome", pretrained, "out", *parts)
    assert results["steps"] == 2
    assert set(results["validation"]) == {"mlm_accuracy", "itm_accuracy", "mean_accuracy"}
    assert results["test"] == {}
    ClipBertForPreTraining.from_pretrained("out")


def test_image_questions(data: Path, pretrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(run_video_qa, "video_qa_vqa_v2", pretrained, "out")
    assert results["steps"] == 2
    # Of the first question "net" has 1; of the second "yes", of 8 people in 10, has 1, and "no", of 2, has 0.6.
    possible = [(first + second) / 2 for first in (0, 1) for second in (0, 0.6, 1)]
    assert any(results["validation"]["vqa_accuracy"] == pytest.approx(score) for score in possible)
    assert set(results["validation"]) == {
        "vqa_accuracy",
        "vqa_accuracy_by_type",
        "vqa_accuracy_by_inference_clips",
        "expected_calibration_error",
    }
    assert results["test"] == {}
    assert "the split 'test' has no answers, and is not evaluated" in capsys.readouterr().err


def test_msrvtt_without_a_validation_split_and_multiple_choice_without_a_training_split(
    data: Path, pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(run_retrieval, "retrieval_msrvtt_4x1", pretrained, "retrieval", "--inference_clips", "2")
    assert (results["steps"], results["best_step"], results["validation"]) == (2, 2, {})
    assert set(results["test"]["text_to_video"]) >= {"r1", "r5", "r10", "median_rank"}
    errors = capsys.readouterr().err
    assert errors.count("no split 'validation'") == 1
    with pytest.raises(
        RecipeError, match="best_metric=text_to_video/r1 chooses a checkpoint by the split 'validation'"
    ):
        run(run_retrieval, "retrieval_msrvtt_4x1", pretrained, "other", "--best_metric", "text_to_video/r1")
    choices = ["--max_steps", "0", "--inference_clips", "2"]
    results = run(run_multiple_choice, "multiple_choice_msrvtt", Path("retrieval"), "choice", *choices)
    assert (results["steps"], results["validation"]) == (0, {})
    assert results["test"]["accuracy"] in {0.0, 0.5, 1.0}
    with pytest.raises(RecipeError, match="training needs a split 'train', and data set msrvtt"):
        run(run_multiple_choice, "multiple_choice_msrvtt", pretrained, "other", "--answer_by", "choice")
    with pytest.raises(
        RecipeError, match="the words of a new model are those of the split 'train', and data set msrvtt"
    ):
        run(run_multiple_choice, "multiple_choice_msrvtt", pretrained, "other", *choices, "--start_from", "null")


def test_questions_without_a_training_split(data: Path, pretrained: Path) -> None:
    run(run_video_qa, "video_qa_msrvtt_4x1", pretrained, "trained", "--inference_clips", "2")
    for split in ("train", "val"):
        Path(f"data/msrvtt/{split}_qa.json").unlink()
    again = ["--max_steps", "0", "--inference_clips", "2"]
    results = run(run_video_qa, "video_qa_msrvtt_4x1", Path("trained"), "tested", *again)
    trained = json.loads(Path("trained/results.json").read_text())
    assert results["test"] == trained["test"]
    with pytest.raises(RecipeError, match="start_from must be a ClipBertForVideoQuestionAnswering; got"):
        run(run_video_qa, "video_qa_msrvtt_4x1", pretrained, "other", *again)
