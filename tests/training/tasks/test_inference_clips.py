"""Each number of inference clips is evaluated with the clips that it has alone, as published for the task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from script_runs import RECIPES, SHORT
from torch import nn

from clipbert_hf import ClipBertConfig, ClipBertVideoProcessor
from clipbert_hf.errors import InvalidInputError
from clipbert_hf.training.data.clips import ClipSamples, ClipSettings, QuestionSettings, adds_single_clip
from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.tasks.clip_scores import logits_by_clips
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceTask
from clipbert_hf.training.tasks.retrieval import RetrievalTask
from clipbert_hf.training.tasks.video_qa import VideoQATask
from examples import run_multiple_choice, run_retrieval, run_video_qa

# 32 frames at 10 a second, and clips of one frame of half a second: 5 frames, so that starts move in 27.
# Dense clips of 4 start at 0, 6.75, 13.5 and 20.25, of 2 at 0 and 13.5, one at 0; a third into the room is 9.
DENSE = [0, 6, 13, 20]
THIRD = 9
# The mean frame of the clips that each number has.
MEANS = {"dense": {1: 0.0, 2: 6.5, 4: 9.75}, "middle": {1: 9.0, 2: 6.5, 4: 9.75}}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A video whose frames are as grey as their number."""
    path = tmp_path_factory.mktemp("grey") / "video.gif"
    first, *rest = [Image.fromarray(np.full((8, 8), number, np.uint8)) for number in range(32)]
    first.save(path, save_all=True, append_images=rest, duration=100)
    return [{"id": "a", "video": str(path), "question": "q", "answer": 0, "caption": "c", "options": ["x"] * 4}]


def processor() -> Any:
    return SimpleNamespace(video_processor=ClipBertVideoProcessor(size={"longest_edge": 8}, num_frames=1))


def frames_of(pixels: torch.Tensor) -> list[int]:
    return pixels[0, :, 0, 0, 0, 0].int().tolist()


def read(rows: list[dict[str, Any]], counts: Any, single_clip: str, **options: Any) -> torch.Tensor:
    samples = ClipSamples(processor(), clips=counts, training=False, single_clip=single_clip, **options)
    pixels = samples(rows, np.random.default_rng(0))["pixels"]
    assert samples.without_video(rows, np.random.default_rng(0))["pixels"].shape == pixels.shape
    return pixels


@pytest.mark.parametrize(
    ("counts", "single_clip", "frames"),
    [
        ([1, 2, 4], "dense", DENSE),
        ([1, 2, 4], "middle", [*DENSE, THIRD]),
        ([4, 1], "middle", [*DENSE, THIRD]),
        ([2, 4], "middle", DENSE),
        ([4], "middle", DENSE),
        (4, "middle", DENSE),
        ([1], "middle", [THIRD]),
        (1, "middle", [THIRD]),
        ([1], "dense", [0]),
        ([1, 1], "middle", [THIRD]),
    ],
)
def test_which_frames_are_read(counts: Any, single_clip: str, frames: list[int], rows: list[dict[str, Any]]) -> None:
    assert frames_of(read(rows, counts, single_clip)) == frames


def test_training_clips_and_no_video_know_no_single_clip(rows: list[dict[str, Any]]) -> None:
    training = ClipSamples(processor(), clips=1, training=True, training_sampling="dense", single_clip="middle")
    assert frames_of(training(rows, np.random.default_rng(0))["pixels"]) == [0]
    blind = ClipSamples(processor(), clips=[1, 4], training=False, single_clip="middle", text_only=True)
    assert blind(rows, np.random.default_rng(0))["pixels"].shape[:2] == (1, 1)


# --- The tasks, with models whose logits are the numbers of the frames ---


def grey(pixels: torch.Tensor) -> torch.Tensor:
    """(B, K) numbers of frames."""
    return pixels[:, :, 0, 0, 0, 0].float()


class Numbers(nn.Module):
    """Of a video's text, the logit of a match is the number of the clip's frame."""

    config = ClipBertConfig(score_aggregation="mean")

    def get_grid_features(self, pixel_values_videos: torch.Tensor) -> torch.Tensor:
        return grey(pixel_values_videos)

    def forward(self, grid_features: torch.Tensor, texts_per_video: list[int], **inputs: Any) -> Any:
        clips = grid_features.repeat_interleave(torch.tensor(texts_per_video), dim=0)
        return SimpleNamespace(clip_logits=torch.stack([torch.zeros_like(clips), clips], dim=-1))


@pytest.mark.parametrize("counts", [[1], [2], [4], [1, 2], [1, 4], [1, 2, 4]])
def test_numbers_of_clips_do_not_change_each_other(counts: list[int], rows: list[dict[str, Any]]) -> None:
    # Counting: the prediction is the mean.
    qa = VideoQATask([], "mean", counts, "count")
    batch: dict[str, Any] = {"inputs": {"pixel_values_videos": read(rows, counts, qa.single_clip)}, "rows": [rows]}
    model: Any = lambda pixel_values_videos: SimpleNamespace(clip_logits=grey(pixel_values_videos)[..., None])  # noqa: E731
    [[(_, by_clips)]] = qa.predict(model, batch)
    assert by_clips == {count: MEANS["dense"][count] for count in counts}

    # Multiple choice: 2 c x - c c is largest for the centre c that is nearest to x, a mean.
    centres = torch.tensor([0.0, 6.5, 9.0, 9.75])
    choice = MultipleChoiceTask("mean", counts, "choice")
    batch = {
        "inputs": {"pixel_values_videos": read(rows, counts, choice.single_clip)},
        "labels": torch.tensor([0]),
        "questions": [1],
        "firsts": [[0, 1, 2, 3]],
        "rows": [{"id": "0"}],
    }
    model = lambda pixel_values_videos: SimpleNamespace(  # noqa: E731
        clip_logits=2 * centres * grey(pixel_values_videos)[..., None] - centres**2
    )
    [[(_, by_clips)]] = choice.predict(model, batch)
    assert {count: centres[chosen].item() for count, chosen in by_clips.items()} == {
        count: MEANS["middle"][count] for count in counts
    }

    # Retrieval: the score is the mean.
    tokens = {"input_ids": torch.ones(1, 3, dtype=torch.long), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    task = RetrievalTask(lambda text: tokens, rows, counts, eval_pairs=9)  # type: ignore[arg-type]
    batch = {"inputs": {"pixel_values_videos": read(rows, counts, task.single_clip)}, "videos": [rows[0]["video"]]}
    [(_, scores)] = task.predict(Numbers(), batch)
    assert {count: score.tolist() for count, score in scores.items()} == {
        count: [[MEANS["middle"][count]]] for count in counts
    }


def test_a_batch_without_the_single_clip_is_refused() -> None:
    logits = torch.zeros(1, 16, 3)
    assert set(logits_by_clips(logits, "mean", [1, 16])) == {1, 16}
    with pytest.raises(
        InvalidInputError, match=r"16 dense clips and the single clip after them .*\[1, 16\]; got 16 clips"
    ):
        logits_by_clips(logits, "mean", [1, 16], single_clip="middle")
    with pytest.raises(InvalidInputError, match=r"must have 3 dense clips for inference_clips \[3\]; got"):
        logits_by_clips(logits, "mean", [3], single_clip="middle")
    assert adds_single_clip([1, 16], "middle")


@pytest.mark.parametrize("name", ["training_clips", "validation_clips", "questions_per_video"])
def test_numbers_out_of_range(name: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} must be at least 1; got 0"):
        QuestionSettings(**{name: 0})
    assert ClipSettings(validation_clips=1, inference_clips=[1]).inference_clips == [1]


# --- Whole runs ---

SCRIPTS: dict[str, tuple[Any, str]] = {
    "retrieval": (run_retrieval, "retrieval_moving_shapes.yaml"),
    "multiple_choice": (run_multiple_choice, "multiple_choice_moving_shapes.yaml"),
    "video_qa": (run_video_qa, "video_qa_moving_shapes.yaml"),
}


@pytest.mark.parametrize("task", list(SCRIPTS))
def test_one_evaluation_is_as_three(task: str, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    """To the last figure, of the test and of the validation with one clip."""
    script, recipe = SCRIPTS[task]

    def run(start: Path, output: Path, clips: str, *more: str) -> dict[str, Any]:
        options = [str(RECIPES / recipe), "--data_dir", str(small_data), "--dataset_options", "{}"]
        options += ["--start_from", str(start), "--output_dir", str(output), *SHORT, "--tracker", "none"]
        options += ["--num_workers", "0", "--inference_clips", clips, "--model.score_aggregation", "mean"]
        return script.main([*options, *more])

    main = "text_to_video" if task == "retrieval" else "accuracy"
    together = run(pretrained, tmp_path / "trained", "1,2,4", "--max_steps", "4")["test"]
    prefix = "r1" if task == "retrieval" else "accuracy"
    by_clips = together[f"{prefix}_by_inference_clips"]
    for clips in ("1", "2", "4"):
        again = ["--max_steps", "0", "--validation_clips", clips]
        alone = run(tmp_path / "trained", tmp_path / clips, clips, *again)["test"]
        assert (alone[main]["r1"] if task == "retrieval" else alone[main]) == by_clips[clips]
        if clips == "4":
            assert alone[main] == together[main]
