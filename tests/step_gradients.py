"""The gradients of the first step of a script, for steps that are cut into micro-batches and processes differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from script_runs import RECIPES
from torch import nn

from clipbert_hf.training.data.clips import TaskOnPixels
from clipbert_hf.training.data.rows import as_groups
from clipbert_hf.training.data.splits import LOADERS
from clipbert_hf.training.loop import train
from clipbert_hf.training.optimization import PublishedAdamW
from clipbert_hf.training.scripts import multiple_choice, pretraining, retrieval, video_qa
from datasets_scripts.moving_shapes import load_moving_shapes

SAMPLES = 8
SAME = ["--dataset_options", "{}", "--max_steps", "2", "--tracker", "none", "--num_workers", "0", "--threads", "1"]
SAME += ["--model.hidden_dropout_prob", "0.0", "--model.attention_probs_dropout_prob", "0.0", "--max_grad_norm", "null"]
SAME += ["--model.freeze_batch_norm", "true", "--best_metric", "null"]
# Each with samples that hold unequal numbers of labels.
TASKS: dict[str, tuple[Any, str, list[str]]] = {
    "qa": (video_qa, "video_qa", ["--answer_vocabulary_size", "5"]),  # others have no label
    "soft": (video_qa, "video_qa", ["--answer_kind", "soft"]),
    "count": (video_qa, "video_qa", ["--answer_kind", "count", "--model.score_aggregation", "mean"]),
    "multiple_choice": (multiple_choice, "multiple_choice", []),
    "cross_entropy": (retrieval, "retrieval", ["--negatives", "random", "--captions_per_video", "4"]),
    "rank": (
        retrieval,
        "retrieval",
        ["--negatives", "random", "--captions_per_video", "4", "--model.retrieval_loss", "rank"],
    ),
    "contrastive": (
        retrieval,
        "retrieval",
        ["--model.contrastive_size", "16", "--captions_per_video", "4", "--negatives", "random"],
    ),
    "contrastive_alone": (
        retrieval,
        "retrieval",
        ["--model.contrastive_size", "16", "--model.contrastive_pooling", "max", "--matching_weight", "0"],
    ),
    "pretraining": (pretraining, "pretraining", ["--masked_texts", "3", "--matched_texts", "1"]),
    "contrastive_pretraining": (
        pretraining,
        "pretraining",
        ["--model.contrastive_size", "16", "--frames_per_video", "2"],
    ),
    "masked_only": (pretraining, "pretraining", ["--masked_texts", "2", "--matched_texts", "0"]),
    "matched_only": (pretraining, "pretraining", ["--masked_texts", "0", "--matched_texts", "2"]),
}


class StepTakenError(Exception):
    """The step has been recorded."""


def record(
    name: str, data: Path, begin: Path, output: Path, batch_size: int, accumulation: int, dtype: torch.dtype
) -> None:
    """Run a script up to its first step, and save that step's gradients in ``gradients.pt``."""
    script, recipe, options = TASKS[name]
    arguments = [str(RECIPES / f"{recipe}_moving_shapes.yaml"), *SAME, *options, "--batch_size", str(batch_size)]
    arguments += ["--gradient_accumulation_steps", str(accumulation), "--output_dir", str(output)]
    arguments += ["--data_dir", str(data), "--start_from", str(begin)]

    def take_first_step(accelerator: Any, model: nn.Module, processor: Any, recipe: Any, **parts: Any) -> None:
        model.to(dtype)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval().train = lambda mode=True, module=module: module  # type: ignore[method-assign]
        names = {id(parameter): key for key, parameter in model.named_parameters()}
        loader = parts["train_loader"]
        loader.dataset.groups, loader.sampler.length = as_groups(loader.dataset.groups[:SAMPLES]), SAMPLES

        def step(optimizer: PublishedAdamW, closure: Any = None) -> None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            if accelerator.is_main_process:
                output.mkdir(parents=True, exist_ok=True)
                torch.save({names[id(p)]: p.grad for p in parameters if p.grad is not None}, output / "gradients.pt")
            raise StepTakenError

        task = TaskOnPixels(parts["task"], processor.video_processor)
        with patch.object(PublishedAdamW, "step", step):
            train(
                accelerator=accelerator,
                model=model,
                task=task,
                train_loader=loader,
                eval_loader=None,
                settings=recipe,
            )

    loaders = {**LOADERS, "moving_shapes": people_or_numbers(name)} if name in ("soft", "count") else LOADERS
    try:
        with patch.object(script, "train_and_test", take_first_step), patch.dict(LOADERS, loaders):
            script.main(arguments)
    except StepTakenError:
        return
    raise AssertionError("no step was taken")


def people_or_numbers(name: str) -> Any:
    """A loader of the questions, with the answers of people or with numbers."""

    def answers(row: dict[str, Any]) -> dict[str, Any]:
        if name == "soft":
            return {"answers": [{"answer": row["answer"], "score": 1.0}, {"answer": "blue", "score": 0.3}]}
        return {"answer": str(len(row["question"]) % 5), "answer_type": None}

    def load(config: str, folder: str, **options: Any) -> Any:
        return load_moving_shapes("qa", folder, progress=False).map(answers)

    return load


def record_together(rank: int, *arguments: Any) -> None:
    """Do so as one of several processes."""
    record(*arguments)
