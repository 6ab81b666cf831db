"""Two processes do what one does with twice the batch, and evaluate every sample once."""

from __future__ import annotations

import json
from pathlib import Path

import forked_runs
import pytest
import torch
from script_runs import TINY, weights

# Batch statistics would differ between a batch and its halves. With an epsilon this large a step follows the gradient,
# where Adam would blow rounding errors up; and a second step would meet units that these have pushed over a kink.
SAME = [
    *TINY,
    "--model.hidden_dropout_prob",
    "0.0",
    "--model.attention_probs_dropout_prob",
    "0.0",
    "--model.freeze_batch_norm",
    "true",
    "--adam_eps",
    "1e-2",
]
SETTINGS = ["--dataset_options", "{}", "--max_steps", "2", "--evaluate_every", "9", "--tracker", "none"]
SETTINGS += ["--start_from", "null", "--processor.size", "{longest_edge: 64}", "--processor.num_frames", "1"]
SETTINGS += ["--num_workers", "0", "--learning_rate", "1e-2", "--warmup_ratio", "0.0"]
SIZES = ["--model.backbone", "resnet18", "--model.backbone_stride_in_1x1", "false", "--model.num_hidden_layers", "2"]
SIZES += ["--model.num_attention_heads", "4", "--model.freeze_backbone_stages", "0", "--processor.image_std"]
SIZES += ["[58.0, 58.0, 58.0]"]
SCRIPTS = [
    ("run_retrieval.py", "retrieval_moving_shapes.yaml", ["--negatives", "random", "--negatives_per_caption", "1"]),
    ("run_multiple_choice.py", "multiple_choice_moving_shapes.yaml", []),
    ("run_video_qa.py", "video_qa_moving_shapes.yaml", []),
]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "recipe", "more"), SCRIPTS)
def test_same_weights_and_metrics(script: str, recipe: str, more: list[str], small_data: Path, tmp_path: Path) -> None:
    options = [*SAME, *SETTINGS, *SIZES, *more, "--data_dir", small_data]
    # 5 validation and 6 test videos: the last batch of two processes is filled up with samples of the first.
    for name, batch, processes in (("one", "8", 1), ("two", "4", 2)):
        batches = ["--batch_size", batch, "--eval_batch_size", "4", "--output_dir", tmp_path / name]
        forked_runs.run(script, recipe, *options, *batches, processes=processes)
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in first:
        torch.testing.assert_close(
            # A step is about 1e-2; sums in another order differ in their last bits.
            first[name],
            second[name],
            atol=1e-4,
            rtol=1e-3,
            msg=lambda text, n=name: f"{n}: {text}",
        )
    # The same weights, since those bits would turn answers of which a hardly trained model is not sure.
    again = ["--start_from", tmp_path / "one", "--max_steps", "0", "--eval_batch_size", "4"]
    forked_runs.run(script, recipe, *options, *again, "--output_dir", tmp_path / "again", processes=2)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "again")]
    assert results[0]["test"] == results[1]["test"]
