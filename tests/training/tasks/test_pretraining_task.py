from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forked_runs
import numpy as np
import pytest
import torch
from forked_runs import ForkedRun
from script_runs import RECIPES, SHORT, TINY, assert_same_weights
from transformers import AutoModelForPreTraining

from clipbert_hf import ClipBertForPreTraining, ClipBertProcessor
from clipbert_hf.training.checkpoints import checkpoint_path
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings, RecipeError
from clipbert_hf.training.recipe_parsing import parse_recipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe, PretrainingTask, create_pretraining_loader
from examples import run_pretraining

RECIPE = "pretraining_moving_shapes.yaml"


@pytest.mark.slow
def test_train_kill_resume(small_data: Path, tmp_path: Path) -> None:
    options = [*TINY, *SHORT, "--data_dir", small_data, "--keep_checkpoints", "9", "--resume_from_checkpoint", "last"]
    output = forked_runs.run("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "whole")
    assert "mlm_accuracy" in output
    run = ForkedRun("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "parts")
    run.wait_for(checkpoint_path(tmp_path / "parts", 3))
    run.kill()
    forked_runs.run("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"]
    assert results[0]["steps"] == results[1]["steps"] == 8
    assert set(results[0]["test"]) == {"mlm_accuracy", "itm_accuracy", "mean_accuracy"}
    assert list((tmp_path / "whole" / "curves").iterdir())
    AutoModelForPreTraining.from_pretrained(tmp_path / "whole")


def test_learns_in_process(small_data: Path, tmp_path: Path) -> None:
    options = [*TINY, "--data_dir", str(small_data), "--tracker", "none", "--num_workers", "0", "--batch_size", "4"]
    run_pretraining.main([str(RECIPES / RECIPE), *options, "--output_dir", str(tmp_path), "--max_steps", "24"])
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]


def test_evaluations_do_not_depend_on_the_batch(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    """With negatives of the batch either, which evaluations draw from the whole split."""
    options = ["--data_dir", str(small_data), "--start_from", str(pretrained), "--tracker", "none", "--max_steps", "0"]
    options += ["--num_workers", "0", "--threads", "1", "--model", "{}"]
    tests = []
    for negatives, size in (("in_batch", 1), ("in_batch", 4), ("random", 4), ("hard", 4)):
        output = tmp_path / f"{negatives}_{size}"
        more = ["--negatives", negatives, "--eval_batch_size", str(size), "--output_dir", str(output)]
        tests.append(run_pretraining.main([str(RECIPES / RECIPE), *options, *more])["test"])
    assert tests[0] == tests[1] == tests[2]
    assert tests[2] != tests[3]


def test_accuracy_table() -> None:
    def record(mlm: list[tuple[int, int]], itm: list[tuple[int, int]]) -> dict[str, np.ndarray]:
        """Pairs of what was guessed and what is right."""
        return {"mlm": np.array(mlm).reshape(-1, 2).T, "itm": np.array(itm).reshape(-1, 2).T}

    task = PretrainingTask()
    records = [record([(7, 7), (8, 9), (5, 5)], [(1, 1)]), record([(3, 4)], [(0, 1), (0, 0), (1, 1)])]
    assert task.metrics(records) == {"mlm_accuracy": 0.5, "itm_accuracy": 0.75, "mean_accuracy": 0.625}
    assert task.metrics([record([], [(1, 0), (1, 1)])]) == {"itm_accuracy": 0.5, "mean_accuracy": 0.5}


def test_only_matches(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    options = ["--data_dir", str(small_data), "--start_from", str(pretrained), "--tracker", "none", "--max_steps", "2"]
    options += ["--num_workers", "0", "--threads", "1", "--model", "{}", "--batch_size", "4", "--masked_texts", "0"]
    options += ["--captions_per_video", "2", "--output_dir", str(tmp_path)]
    results = run_pretraining.main([str(RECIPES / RECIPE), *options])
    assert set(results["test"]) == {"itm_accuracy", "mean_accuracy"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masked_texts": 0, "matched_texts": 0}, "masked_texts and matched_texts are both 0"),
        ({"matched_texts": -1}, "matched_texts must be at least 0; got -1"),
        ({"frames_per_video": 0}, "frames_per_video must be at least 1; got 0"),
        ({"captions_per_video": 0}, "captions_per_video must be at least 1; got 0"),
        ({"hard_candidates": 0}, "hard_candidates must be at least 1; got 0"),
        ({"hard_negatives": 1.5}, r"hard_negatives must be from 0 to 1; got 1\.5"),
        ({"mask_probability": 15}, r"mask_probability must be from 0 to 1; got 15\.0"),
        ({"key_word_mask_probability": -0.5}, r"key_word_mask_probability must be from 0 to 1; got -0\.5"),
        ({"negatives": "easy"}, "negatives must be random or hard or in_batch; got 'easy'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        run_pretraining.main(["--output_dir=x", "--data_dir=y", *(f"--{name}={n}" for name, n in settings.items())])


@pytest.mark.parametrize(("pooling", "weight"), [("maxsim", "1"), ("mean", "0")])
def test_a_contrastive_head_trains_beside(pooling: str, weight: str, small_data: Path, tmp_path: Path) -> None:
    options = [*TINY, "--data_dir", str(small_data), "--tracker", "none", "--num_workers", "0", "--batch_size", "4"]
    options += ["--model.contrastive_size", "16", "--model.contrastive_pooling", pooling, "--matching_weight", weight]
    options += ["--best_metric", "null", "--output_dir", str(tmp_path), "--max_steps", "3", "--learning_rate", "1e-3"]
    results = run_pretraining.main([str(RECIPES / RECIPE), *options])
    model = ClipBertForPreTraining.from_pretrained(tmp_path).eval()
    processor = ClipBertProcessor.from_pretrained(tmp_path)
    rows = load_splits(DataSettings(data_dir=str(small_data)), "pretraining")["test"]
    # The metric by hand: the first caption that an evaluation's sample uses, against the frames that it shows.
    videos = list(dict.fromkeys(row["video"] for row in rows))
    recipe = parse_recipe(PretrainingRecipe, [str(tmp_path / "recipe.yaml")])
    loader = create_pretraining_loader(rows, recipe, processor, contrasts=True)
    assert loader.dataset.groups[0][0]["video"] == videos[0]
    ranks = []
    texts, clips = [], []
    for place in range(len(videos)):
        sample, _ = loader.dataset[0, place]
        pixels = processor.video_processor.normalize_clips(sample["pixels"])
        with torch.no_grad():
            vectors, kept = model.embed_texts(**processor(text=[sample["captions"][0]["caption"]]))
            texts.append(vectors[0][kept[0]])
            clips.append(model.embed_videos(model.get_grid_features(pixels)).flatten(0, 1))
    for place, text in enumerate(texts):
        cosines = [text @ of_video.T for of_video in clips]
        scores = [float(each.amax(1).mean() if pooling == "maxsim" else each.mean()) for each in cosines]
        ranks.append(sum(score > scores[place] for score in scores))
    assert results["test"]["contrastive_r1"] == pytest.approx(sum(rank == 0 for rank in ranks) / len(ranks))
    assert 0 <= results["validation"]["contrastive_r1"] <= 1
