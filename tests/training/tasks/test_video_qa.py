from __future__ import annotations

import json
from pathlib import Path

import forked_runs
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from forked_runs import ForkedRun
from script_runs import RECIPES, SHORT, assert_same_weights, finish, launch
from transformers import pipeline

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor
from clipbert_hf.training.checkpoints import checkpoint_path
from clipbert_hf.training.data.clips import ClipSamples, QuestionSettings, check_inference_clips, question_groups
from clipbert_hf.training.data.rows import group_by_video
from clipbert_hf.training.data.splits import LOADERS, load_splits
from clipbert_hf.training.recipe import DataSettings, RecipeError
from clipbert_hf.training.tasks.video_qa import QACollator, VideoQARecipe, VideoQATask, choose_answers
from datasets_scripts import DatasetError
from datasets_scripts.moving_shapes import load_moving_shapes
from examples import run_video_qa

RECIPE = "video_qa_moving_shapes.yaml"
COUNT = ["--answer_kind", "count", "--model.score_aggregation", "mean"]


def qa(small_data: Path, pretrained: Path, output: Path, *overrides: str) -> list[str]:
    recipe = str(RECIPES / RECIPE)
    common = ["--data_dir", str(small_data), "--start_from", str(pretrained), "--output_dir", str(output)]
    return [recipe, *common, *SHORT, "--tracker", "none", "--num_workers", "0", *overrides]


@pytest.mark.slow
def test_train_kill_resume_and_load(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    """What accelerate launches goes on exactly where a run was killed."""
    options = [*SHORT, "--data_dir", small_data, "--start_from", pretrained, "--resume_from_checkpoint", "last"]
    forked_runs.run("run_video_qa.py", RECIPE, *options, "--output_dir", tmp_path / "whole")
    run = ForkedRun("run_video_qa.py", RECIPE, *options, "--output_dir", tmp_path / "parts")
    run.wait_for(checkpoint_path(tmp_path / "parts", 5))
    run.kill()
    finish(launch("run_video_qa.py", RECIPE, *options, "--output_dir", tmp_path / "parts"))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"]
    test = results[0]["test"]
    assert set(test["accuracy_by_inference_clips"]) == {"1", "4", "16"}
    assert test["accuracy"] == test["accuracy_by_inference_clips"]["16"]
    assert set(test["accuracy_by_type"]) == {"color", "shape", "existence"}
    pipe = pipeline("video-question-answering", model=str(tmp_path / "whole"), trust_remote_code=True)
    row = load_splits(DataSettings(data_dir=str(small_data)), "qa")["test"][0]
    answers = pipe(row["video"], row["question"], top_k=2, return_clip_scores=True)
    assert len(answers) == 2
    assert len(answers[0]["clips"]) == 16


def test_text_only_does_not_see_the_video(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    results = run_video_qa.main(qa(small_data, pretrained, tmp_path, "--text_only", "true"))
    assert results["test"]["accuracy_by_inference_clips"] == {"1": results["test"]["accuracy"]}
    processor = ClipBertProcessor.from_pretrained(pretrained)
    read = ClipSamples(processor, clips=4, training=True, text_only=True)
    sample = read([{"video": "/there/is/no.mp4", "question": "what ?"}], np.random.default_rng(0))
    assert sample["pixels"].shape == (1, 1, 1, 3, 64, 64)
    assert sample["pixels"].amin((0, 1, 2, 4, 5)).tolist() == [124, 116, 104]  # the mean colour everywhere
    assert sample["pixels"].amax((0, 1, 2, 4, 5)).tolist() == [124, 116, 104]


def test_trained_head_is_kept_and_only_evaluated_without_epochs(
    small_data: Path, pretrained: Path, tmp_path: Path
) -> None:
    first = run_video_qa.main(qa(small_data, pretrained, tmp_path / "a"))
    options = qa(small_data, tmp_path / "a", tmp_path / "b")
    again = run_video_qa.main([*options, "--max_steps", "0"])
    assert again["test"] == first["test"]
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_without_training_the_answers_are_the_models_own(
    small_data: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order in which answers stand in the data, or how many of them the recipe asks for."""
    first = run_video_qa.main(qa(small_data, pretrained, tmp_path / "a"))

    def backwards(config: str, folder: str, **options: object) -> DatasetDict:
        splits = load_moving_shapes("qa", folder, progress=False)
        rows = splits["train"].to_list()
        common = [row for row in rows for _ in range(1 + 5 * (row["answer"] == "star"))]  # other frequencies
        return DatasetDict({**splits, "train": Dataset.from_list(common[::-1])})

    monkeypatch.setitem(LOADERS, "moving_shapes", backwards)
    options = qa(small_data, tmp_path / "a", tmp_path / "b", "--answer_vocabulary_size", "3", "--epochs", "0")
    again = run_video_qa.main([*options, "--max_steps", "null"])
    assert again["test"] == first["test"]
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    configs = [ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path / name).config for name in ("a", "b")]
    assert configs[0].id2label == configs[1].id2label


def test_training_on_carries_answers_over(
    small_data: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_video_qa.main(qa(small_data, pretrained, tmp_path / "a"))
    capsys.readouterr()
    fewer = ["--answer_vocabulary_size", "3", "--max_steps", "2", "--learning_rate", "0.0"]
    run_video_qa.main(qa(small_data, tmp_path / "a", tmp_path / "b", *fewer))
    assert "3 answers carried over, 0 new, " in capsys.readouterr().err
    one, two = (ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path / name) for name in ("a", "b"))
    assert two.config.num_labels == 3
    for label, place in two.config.label2id.items():
        assert torch.equal(two.classifier[2].weight[place], one.classifier[2].weight[one.config.label2id[label]])


def test_clips_of_one_pass_are_those_of_separate_passes(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    results = run_video_qa.main(qa(small_data, pretrained, tmp_path, "--inference_clips", "1,2,4"))
    by_clips = results["test"]["accuracy_by_inference_clips"]
    for clips in ("1", "2", "4"):
        options = qa(small_data, tmp_path, tmp_path / clips, "--inference_clips", clips, "--max_steps", "0")
        assert run_video_qa.main(options)["test"]["accuracy"] == by_clips[clips]


def test_one_pass_reads_the_same_frames(small_data: Path, pretrained: Path) -> None:
    video = load_splits(DataSettings(data_dir=str(small_data)), "qa")["test"][0]["video"]
    processor = ClipBertProcessor.from_pretrained(pretrained).video_processor
    pixels = {n: processor(video, num_clips=n, sampling_strategy="dense")["pixel_values_videos"] for n in (1, 4, 16)}
    assert torch.equal(pixels[4], pixels[16][:, ::4])
    assert torch.equal(pixels[1], pixels[16][:, ::16])


def test_batches(small_data: Path, pretrained: Path) -> None:
    processor = ClipBertProcessor.from_pretrained(pretrained)
    groups = group_by_video(load_splits(DataSettings(data_dir=str(small_data)), "qa")["train"])
    training = ClipSamples(processor, clips=3, training=True, most_rows=2)
    samples = [training(group, np.random.default_rng(index)) for index, group in enumerate(groups[:2])]
    batch = QACollator(processor, ["red", "yes"])(samples)
    assert batch["inputs"]["pixel_values_videos"].shape == (2, 3, 1, 3, 64, 64)
    assert batch["inputs"]["texts_per_video"].tolist() == [2, 2]
    expected = [{"red": 0, "yes": 1}.get(row["answer"], -100) for rows in batch["rows"] for row in rows]
    assert batch["labels"].tolist() == expected
    again = training(groups[0], np.random.default_rng(0))
    other = training(groups[0], np.random.default_rng(7))
    assert torch.equal(samples[0]["pixels"], again["pixels"])
    assert samples[0]["rows"] == again["rows"]
    assert not torch.equal(samples[0]["pixels"], other["pixels"])
    everything = ClipSamples(processor, clips=3, training=False, most_rows=2)(groups[0], np.random.default_rng(0))
    assert everything["rows"] == groups[0]


def test_metrics_table() -> None:
    def record(answer: str, kind: str, one: str, two: str) -> tuple[dict[str, str], dict[int, str]]:
        return {"id": "x", "answer": answer, "answer_type": kind}, {1: one, 2: two}

    task = VideoQATask(["red", "blue", "yes"], "lse", [2, 1])
    videos = [
        [record("red", "color", "red", "red"), record("yes", "existence", "red", "yes")],
        [record("blue", "color", "red", "red"), record("green", "color", "blue", "yes")],
    ]
    assert task.metrics(videos) == {
        "accuracy_by_inference_clips/1": 0.25,
        "accuracy_by_inference_clips/2": 0.5,
        "accuracy": 0.5,
        "upper_bound": 0.75,
        "accuracy_by_type/color": pytest.approx(1 / 3),
        "accuracy_by_type/existence": 1.0,
    }


@pytest.mark.parametrize("counts", [[], [0], [3, 16], [-4, 16]])
def test_inference_clips_that_do_not_fit(counts: list[int]) -> None:
    with pytest.raises(RecipeError, match=r"inference_clips must be .* divide the largest; got"):
        check_inference_clips(counts)


def test_counting(small_data: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: str, folder: str, **options: object) -> DatasetDict:
        splits = load_moving_shapes("qa", small_data, progress=False)
        return splits.map(lambda row: {"answer": str(len(row["question"]) % 5), "answer_type": None})

    monkeypatch.setitem(LOADERS, "moving_shapes", load)
    results = run_video_qa.main(qa(small_data, pretrained, tmp_path, *COUNT, "--best_metric", "mse"))
    assert set(results["test"]) == {"mse_by_inference_clips", "mse", "mse_unrounded", "accuracy"}
    assert results["test"]["mse_by_inference_clips"]["16"] == results["test"]["mse"]


@pytest.mark.parametrize("scored", [False, True])
def test_soft_answers(
    scored: bool, small_data: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def people(row: dict[str, str]) -> dict[str, object]:
        if scored:
            return {"answers": [{"answer": row["answer"], "score": 1.0}, {"answer": "blue", "score": 0.3}]}
        return {"answers": [row["answer"]] * 9 + ["blue"]}

    def load(config: str, folder: str, **options: object) -> DatasetDict:
        return load_moving_shapes("qa", small_data, progress=False).map(people, remove_columns=["answer"])

    monkeypatch.setitem(LOADERS, "moving_shapes", load)
    name = "soft_score" if scored else "vqa_accuracy"
    results = run_video_qa.main(qa(small_data, pretrained, tmp_path, "--answer_kind", "soft", "--best_metric", name))
    assert 0 <= results["test"][name] <= 1
    assert set(results["test"]) - {"expected_calibration_error_uncalibrated"} == {
        name,
        f"{name}_by_inference_clips",
        "expected_calibration_error",
        *([] if scored else ["vqa_accuracy_by_type"]),
    }
    assert results["test"][f"{name}_by_inference_clips"]["16"] == results["test"][name]
    # The pipeline scores each answer by itself, as it was trained.
    config = next(path for path in tmp_path.rglob("config.json") if "checkpoints" not in path.parts)
    assert json.loads(config.read_text())["problem_type"] == "multi_label_classification"
    checkpoints = next(tmp_path.rglob("checkpoints"))
    assert any(checkpoints.iterdir())
    # What a run resumes from is no repository; the model that it ends with is one.
    assert not any(checkpoints.rglob("*.py"))
    assert (config.parent / "modeling_clipbert.py").is_file()


def test_soft_labels() -> None:
    collate = QACollator(None, ["red", "blue"], "soft")  # type: ignore[arg-type]
    rows = [{"answers": ["red"] * 2 + ["Red."] + ["blue", "pink"]}, {"answers": [{"answer": "blue", "score": 0.3}]}]
    assert collate._labels(rows).tolist() == [[1.0, pytest.approx(1 / 3)], [0.0, pytest.approx(0.3)]]
    metric = VideoQATask(["red", "blue"], "mean", [1], "soft")
    records = [[({"answers": row["answers"], "answer_type": None}, {1: "blue"})] for row in rows[1:]]
    assert metric.metrics(records)["soft_score"] == pytest.approx(0.3)


def test_soft_answers_need_answers(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="rows with 'answers'"):
        run_video_qa.main(qa(small_data, pretrained, tmp_path, "--answer_kind", "soft"))


def test_count_table() -> None:
    task = VideoQATask([], "mean", [1], "count")
    rows = [({"answer": answer, "answer_type": None}, {1: number}) for answer, number in (("2", 2.4), ("3", 5.0))]
    assert task.metrics([rows])["mse"] == 2.0
    assert task.metrics([rows])["mse_by_inference_clips/1"] == 2.0


def test_an_epoch_of_questions(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "qa")["test"]
    settings = QuestionSettings(questions_per_video=4, epoch_of="questions")
    groups = question_groups(rows, settings, training=True)
    assert [row for group in groups for row in group] == list(rows)
    assert [len(group) for group in groups[:3]] == [4, 2, 4]
    assert list(question_groups(rows, settings, training=False)) == list(group_by_video(rows))


def test_answers_out_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ans2label.json"
    file.write_text('{"red": 1, "blue": 0}')
    settings = {"output_dir": "x", "data_dir": "y"}
    assert choose_answers(VideoQARecipe(answers=str(file), **settings), [{"answer": "green"}]) == ["blue", "red"]
    for more in ({"answer_kind": "count"}, {"answer_vocabulary_size": 3}):
        with pytest.raises(RecipeError, match="answers "):
            VideoQARecipe(answers=str(file), **settings, **more)
    file.write_text('{"red": 2}')
    with pytest.raises(DatasetError, match=r"ans2label.json, key 'red': the labels must be 0 to 0, each once"):
        choose_answers(VideoQARecipe(answers=str(file), **settings), [])
