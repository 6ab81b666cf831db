"""The official score of VQA v2 through loader, collator, task and metric, by hand; and what is reported without it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from miniature_files import write_json, write_jsonl, write_media
from published_miniatures import annotation, question

from clipbert_hf import ClipBertProcessor
from clipbert_hf.training.data.answer_checks import soft_metric
from clipbert_hf.training.data.splits import load_task_splits
from clipbert_hf.training.recipe import DataSettings, RecipeError, StartSettings
from clipbert_hf.training.starting_points import create_processor
from clipbert_hf.training.tasks.video_qa import QACollator, VideoQARecipe, VideoQATask, prepare_answers

# What ten people said, the answer that is predicted, and its score. The official one leaves out one person at a time:
# of n who agree, n times min((n - 1) / 3, 1) and 10 - n times min(n / 3, 1), over 10. The soft one is min(n / 3, 1).
TABLE: list[tuple[dict[str, int], str, str, float, float]] = [
    ({"net": 9, "bag": 1}, "bag", "other", 0.3, 1 / 3),
    ({"net": 8, "bag": 2}, "bag", "other", 0.6, 2 / 3),
    ({"3": 7, "two": 2, "2": 1}, "2", "number", 0.9, 1.0),
    ({"no": 6, "yes": 3, "Yes.": 1}, "yes", "yes/no", 1.0, 1.0),
    ({"yes": 10}, "no", "yes/no", 0.0, 0.0),
]
OFFICIAL = {"other": 0.45, "number": 0.9, "yes_no": 0.5}
ANSWERS = ["2", "3", "bag", "net", "no", "yes"]


@pytest.fixture
def official(tmp_path: Path, prepared_rows_in_a_folder: None) -> Path:
    write_media(tmp_path, *(f"{part}/COCO_{part}_{9:012d}.jpg" for part in ("train2014", "val2014")))
    for part in ("train2014", "val2014"):
        questions = [question(number, 9, "what ?") for number in range(len(TABLE))]
        answers = [annotation(number, 9, people, kind) for number, (people, _, kind, _, _) in enumerate(TABLE)]
        write_json(tmp_path / f"v2_OpenEnded_mscoco_{part}_questions.json", {"questions": questions})
        write_json(tmp_path / f"v2_mscoco_{part}_annotations.json", {"annotations": answers})
    return tmp_path


@pytest.fixture
def released(tmp_path: Path, prepared_rows_in_a_folder: None) -> Path:
    """The jsonl files of the paper have scores alone."""
    write_media(tmp_path, *(f"{part}/COCO_{part}_{9:012d}.jpg" for part in ("train2014", "val2014")))
    rows = []
    for number, (people, answer, kind, _, soft) in enumerate(TABLE):
        labels = {answer: soft} if soft else dict.fromkeys(people, 1.0)
        rows.append(question(number, 9, "what ?") | {"labels": labels, "answer_type": kind})
    for split in ("train", "val"):
        write_jsonl(tmp_path / f"vqa_k_{split}.jsonl", rows)
    return tmp_path


SIGMOID_OF_1 = 0.7310585786300049


def recipe_of(folder: Path, **settings: Any) -> VideoQARecipe:
    return VideoQARecipe(output_dir="x", dataset="vqa_v2", data_dir=str(folder), answer_kind="soft", **settings)


def evaluated(folder: Path, some: slice = slice(None)) -> dict[str, float]:
    """The metrics of a model that predicts the answers of the table."""
    recipe = recipe_of(folder)
    splits = load_task_splits(recipe, "qa")
    prepare_answers(recipe, splits)
    rows = splits["validation"][some]
    options = {"size": {"longest_edge": 64}, "num_frames": 1}
    processor: ClipBertProcessor = create_processor(
        StartSettings(), DataSettings(data_dir="x", processor=options), rows, num_clips=2
    )
    batch = QACollator(processor, ANSWERS, "soft")([{"pixels": torch.zeros(1, 2, 1, 3, 64, 64), "rows": rows}])
    chosen = torch.tensor([ANSWERS.index(TABLE[int(row["id"])][1]) for row in rows])
    clip_logits = torch.nn.functional.one_hot(chosen, len(ANSWERS)).float()[:, None].repeat(1, 2, 1)
    task = VideoQATask(ANSWERS, "mean", [1, 2], "soft")
    model: Any = lambda **inputs: SimpleNamespace(clip_logits=clip_logits)  # noqa: E731
    metrics = task.metrics(task.predict(model, batch))
    assert all(any(fnmatchcase(name, pattern) for pattern in task.metric_names) for name in metrics)
    return metrics


@pytest.mark.parametrize("number", range(len(TABLE)))
def test_the_score_of_a_question(number: int, official: Path) -> None:
    metrics = evaluated(official, slice(number, number + 1))
    score = pytest.approx(TABLE[number][3])
    assert metrics["vqa_accuracy"] == metrics["vqa_accuracy_by_inference_clips/1"] == score
    assert [name for name in metrics if "soft" in name or name == "score"] == []


def test_the_score_of_a_split(official: Path) -> None:
    assert evaluated(official) == pytest.approx(
        {
            "vqa_accuracy": (0.3 + 0.6 + 0.9 + 1.0 + 0.0) / 5,
            "vqa_accuracy_by_inference_clips/1": 0.56,
            "vqa_accuracy_by_inference_clips/2": 0.56,
            **{f"vqa_accuracy_by_type/{kind}": score for kind, score in OFFICIAL.items()},
            "expected_calibration_error": SIGMOID_OF_1 - 0.56,  # each answer is as sure
        }
    )


def test_scores_alone_never_give_the_official_score(released: Path) -> None:
    soft = (1 / 3 + 2 / 3 + 1 + 1 + 0) / 5
    names = ("soft_score", "soft_score_by_inference_clips/1", "soft_score_by_inference_clips/2")
    expected = dict.fromkeys(names, soft) | {"expected_calibration_error": SIGMOID_OF_1 - soft}
    assert evaluated(released) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("form", "wrong"), [("official", "soft_score"), ("official", "score"), ("released", "vqa_accuracy")]
)
def test_best_metric_is_checked_before_training(form: str, wrong: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(form)
    right = {"official": "vqa_accuracy", "released": "soft_score"}[form]
    for name in (right, f"{right}_by_inference_clips/4"):
        recipe = recipe_of(folder, best_metric=name)
        prepare_answers(recipe, load_task_splits(recipe, "qa"))
    recipe = recipe_of(folder, best_metric=wrong)
    with pytest.raises(
        RecipeError, match=f"best_metric={wrong}: the split 'validation' of vqa_v2 .* by {right}, as its"
    ):
        prepare_answers(recipe, load_task_splits(recipe, "qa"))


SCORED = {"answers": [{"answer": "red", "score": 1.0}], "people_answers": []}
SAID = {"answers": [{"answer": "red", "score": 1.0}], "people_answers": ["red"] * 10}
NOTHING: dict[str, Any] = {"answers": [], "people_answers": []}


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        ([SAID, SAID], "vqa_accuracy"),
        ([SCORED, SCORED], "soft_score"),
        ([SCORED, NOTHING], "soft_score"),  # as published, where all answers are outside of the vocabulary
        ([{"answers": ["red", "blue"]}], "vqa_accuracy"),  # rows of a task of one's own
        ([SAID, SCORED], ": question 0 has 'people_answers', .* question 1 has scores alone"),
        ([NOTHING, SAID], ": question 1 has 'people_answers', .* question 0 has no answer"),
        ([NOTHING, NOTHING], " cannot be evaluated: no row has 'answers' or 'people_answers'"),
    ],
)
def test_what_soft_answers_are_scored_by(rows: list[dict[str, Any]], result: str) -> None:
    rows = [{"id": str(number), "answer_type": "", **row} for number, row in enumerate(rows)]
    if " " not in result:
        assert soft_metric(rows, "validation") == result
        return
    with pytest.raises(RecipeError, match=f"the split 'validation'{result}"):
        soft_metric(rows, "validation")
    with pytest.raises(RecipeError):
        VideoQATask(["red"], "mean", [1], "soft").metrics([[(row, {1: "red"}) for row in rows]])


def test_a_mixture_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    def splits(*rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        return {"train": [{"id": "t", **SCORED}], "validation": [{"id": str(n), **row} for n, row in enumerate(rows)]}

    recipe = VideoQARecipe(output_dir="x", data_dir="y", answer_kind="soft")
    with pytest.raises(RecipeError, match=r"the split 'validation': question 0 has .* question 1 has scores alone"):
        prepare_answers(recipe, splits(SAID, SCORED))
    # What is only trained on may have labels from wherever.
    prepare_answers(recipe, {"train": [{"id": "a", **SAID}, {"id": "b", **SCORED}]})
    assert capsys.readouterr().err == ""
    prepare_answers(recipe, splits(SCORED, NOTHING))
    assert "the split 'validation' has 1 questions without any answer, such as 1" in capsys.readouterr().err
