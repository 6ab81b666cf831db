"""The script for transformers' Trainer, as it is run from the command line: all of a model, and a LoRA."""

from __future__ import annotations

import re
from pathlib import Path

import forked_runs
import pytest
import torch
from script_runs import EXAMPLES, weights

from clipbert_hf import ClipBertDataCollator, ClipBertForVideoQuestionAnswering, ClipBertProcessor
from datasets_scripts.moving_shapes import load_moving_shapes

OPTIONS = ["--max_steps", "3", "--per_device_train_batch_size", "4", "--learning_rate", "5e-3", "--use_cpu", "True"]
OPTIONS += ["--training_clips", "2", "--inference_clips", "4", "--gradient_accumulation_steps", "2"]
OPTIONS += ["--logging_steps", "1", "--disable_tqdm", "True", "--save_steps", "2"]


@pytest.mark.parametrize("rank", [0, 4])
def test_it_trains_evaluates_and_saves(rank: int, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    if rank:
        pytest.importorskip("peft")
    folders = ["--data_dir", small_data, "--start_from", pretrained, "--output_dir", tmp_path]
    status, output = forked_runs.run_module("examples.train_with_trainer", *folders, *OPTIONS, "--lora_rank", str(rank))
    assert status == 0, output
    losses = [float(number) for number in re.findall(r"'loss': '?([\d.]+)", output)]
    assert len(losses) == 3
    assert max(losses) < 5  # not multiplied by the accumulation steps: log(18 answers) is 2.9
    assert (tmp_path / "checkpoint-3").is_dir()

    # The saved folder is a whole model, which answers as it did when it was evaluated.
    model, loaded = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    processor = ClipBertProcessor.from_pretrained(tmp_path)
    rows = load_moving_shapes("qa", small_data, progress=False)["validation"]
    collator = ClipBertDataCollator(processor, label2id=model.config.label2id, num_clips=4)
    with torch.no_grad():
        chosen = model(**collator(rows.to_list())).logits.argmax(-1).tolist()
    right = [model.config.id2label[label] == answer for label, answer in zip(chosen, rows["answer"], strict=True)]
    (printed,) = re.findall(r"eval_accuracy\s+=\s+([\d.]+)", output)
    assert float(printed) == pytest.approx(sum(right) / len(right), abs=1e-4)

    start, end = weights(pretrained), weights(tmp_path)
    changed = {name for name in start.keys() & end.keys() if not torch.equal(start[name], end[name])}
    adapted = {name for name in changed if re.search(r"attention\.self\.(query|value)\.weight$", name)}
    statistics = {name for name in changed if "running_" in name or "num_batches" in name}
    assert adapted
    assert (changed - statistics == adapted) == bool(rank)


def test_it_is_as_short_as_promised() -> None:
    assert len((EXAMPLES / "train_with_trainer.py").read_text("utf-8").splitlines()) <= 80
