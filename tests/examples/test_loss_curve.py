"""The scripts' loss curves are those of the published procedure, written naively, step for step."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from naive_training import NaiveClipBert, Question, batches, cross_entropy, load_weights, question_losses, read_clips
from naive_training import train as train_naively
from safetensors.torch import load_file, save_file
from script_runs import RECIPES
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoTokenizer

from clipbert_hf.training.tasks.pretraining import PretrainingTask
from datasets_scripts.moving_shapes import load_moving_shapes
from examples import run_multiple_choice, run_pretraining, run_retrieval, run_video_qa

STEPS = 20
TOLERANCE = 1e-4

# The published architecture, small: a ResNet of bottlenecks with frozen batch norm, frames of 128 px, a grid of 2 x 2.
SIZES = {
    "backbone": "resnet50",
    "backbone_kwargs": "{layers: [1, 1, 1, 1], channels: [4, 8, 8, 16]}",
    "hidden_size": "48",
    "num_hidden_layers": "2",
    "num_attention_heads": "4",
    "intermediate_size": "96",
    "max_position_embeddings": "40",
    "hidden_dropout_prob": "0.0",
    "attention_probs_dropout_prob": "0.0",
    "initializer_range": "0.2",
    # As published; by default nothing of random weights is frozen.
    "freeze_batch_norm": "true",
    "freeze_backbone_stages": "2",
}
# The published recipe, faster: steps that are large enough for every part of it to show within 20 of them.
SETTINGS = {
    "max_steps": str(STEPS),
    "batch_size": "4",
    "learning_rate": "2e-3",
    "cnn_learning_rate": "5e-4",
    "weight_decay": "0.5",
    "max_grad_norm": "5.0",
    "mixed_precision": "fp32",
    "threads": "1",
    "num_workers": "0",
    "evaluate_every": str(STEPS),
    "log_every": "1",
    "dataset": "moving_shapes",
    "dataset_options": "{}",
    "processor.size": "{longest_edge: 128}",
    "processor.exact_resize": "true",
}


def run(script: ModuleType, recipe: str, output: Path, settings: dict[str, str]) -> None:
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
    script.main([str(RECIPES / recipe), "--output_dir", str(output), *arguments])


def run_from_new_weights(script: ModuleType, recipe: str, settings: dict[str, str], folder: Path) -> tuple[Path, Path]:
    """Make a model with random weights, and train it; returns the folders of both."""
    start, output = folder / "start", folder / "run"
    new = {f"model.{name}": value for name, value in SIZES.items()}
    # Two steps that change nothing, since a run without training evaluates a model that is there.
    still = {"max_steps": "2", "evaluate_every": "2", "learning_rate": "0.0", "cnn_learning_rate": "0.0"}
    run(script, recipe, start, settings | new | {"processor.image_std": "[58.0, 58.0, 58.0]"} | still)
    shake(start)
    run(script, recipe, output, settings | {"start_from": str(start)})
    return start, output


def shake(start: Path) -> None:
    """Give the constants of batch norm, and whatever starts as 0 or 1, values that a mistake would show in."""
    generator = torch.Generator().manual_seed(0)
    state = load_file(start / "model.safetensors")
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            state[name] = 1 + 0.3 * noise.abs()
        elif tensor.ndim == 1:
            state[name] = tensor + 0.1 * noise
    save_file(state, start / "model.safetensors", metadata={"format": "pt"})


def read_curve(run_folder: Path, name: str) -> np.ndarray:
    """A curve of a run, as its tracker has drawn it."""
    (events,) = (run_folder / "curves").glob("events.*")
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    scalars = accumulator.Scalars(f"train/{name}")
    assert [scalar.step for scalar in scalars] == list(range(1, STEPS + 1))
    return np.array([scalar.value for scalar in scalars])


def assert_same_curves(
    run_folder: Path, start: Path, outputs: int | None, samples: list[Any], batch_loss: Callable[..., torch.Tensor]
) -> None:
    """Train naively from the same weights and compare.

    Args:
        run_folder: Of the script.
        start: The model that both start from.
        outputs: Of its classifier.
        samples: What each step of the naive version sees.
        batch_loss: From the naive model and these to a loss.
    """
    recipe = yaml.safe_load((run_folder / "recipe.yaml").read_text())
    model, untrained = (load_naively(start, outputs) for _ in range(2))
    naive = train_naively(model, samples, lambda batch: batch_loss(model, batch), recipe)
    curve = read_curve(run_folder, "loss")
    difference = np.abs(curve - naive.losses)
    assert difference.max() < TOLERANCE, f"largest difference {difference.max():.1e} in step {difference.argmax() + 1}"
    # The log shows the learning rate that the next step will have. That of the last step is 0, or as published 1e-8.
    np.testing.assert_allclose(
        read_curve(run_folder, "learning_rate/other")[:-1], naive.rates[1:], rtol=1e-6, atol=1e-8
    )
    # There is something to agree about: the steps have moved the loss, and clipping has shortened some of them.
    with torch.no_grad():
        at_rest = [float(batch_loss(untrained, batch)) for batch in samples[-3:]]
    assert np.abs(at_rest - curve[-3:]).max() > 100 * TOLERANCE
    assert min(naive.norms) < recipe["max_grad_norm"] < max(naive.norms)


def load_naively(start: Path, outputs: int | None) -> NaiveClipBert:
    model = NaiveClipBert(json.loads((start / "config.json").read_text()), outputs)
    load_weights(model, load_file(start / "model.safetensors"))
    return model


# --- Questions, captions and choices: each row gives texts, of which one output is right ---

Draw = Callable[[dict[str, Any], np.random.Generator], list[tuple[list[str], int]]]


def qa_texts(rows: list[dict[str, Any]], labels: dict[str, int]) -> Draw:
    return lambda row, generator: [([row["question"]], labels[row["answer"]])]


def retrieval_texts(rows: list[dict[str, Any]], labels: dict[str, int]) -> Draw:
    own: dict[str, set[str]] = {}
    for row in rows:
        own.setdefault(row["video"], set()).add(row["caption"])

    def draw(row: dict[str, Any], generator: np.random.Generator) -> list[tuple[list[str], int]]:
        """A random caption of another video for each right one."""
        wrong = row["caption"]
        while wrong in own[row["video"]]:
            wrong = rows[generator.integers(len(rows))]["caption"]
        return [([row["caption"]], 1), ([wrong], 0)]

    return draw


def choice_texts(rows: list[dict[str, Any]], labels: dict[str, int]) -> Draw:
    return lambda row, generator: [([f"{row['question']} {option}" for option in row["options"]], row["answer"])]


def rows_of_videos(rows: list[dict[str, Any]], most: int) -> list[list[dict[str, Any]]]:
    """Rows of one video, at most so many, in order."""
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        if groups and groups[-1][0]["video"] == row["video"] and len(groups[-1]) < most:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


TASKS = [
    pytest.param(
        run_video_qa,
        "video_qa_msrvtt_8x2.yaml",
        qa_texts,
        {"dataset_config": "qa", "questions_per_video": "2"},
        id="question answering",
    ),
    pytest.param(
        run_retrieval,
        "retrieval_msrvtt_8x2.yaml",
        retrieval_texts,
        {"dataset_config": "retrieval", "max_grad_norm": "2.0"},
        id="retrieval",
    ),
    pytest.param(
        run_multiple_choice,
        "multiple_choice_tgif_action.yaml",
        choice_texts,
        {"dataset_config": "multiple_choice", "max_grad_norm": "2.0"},
        id="multiple choice",
    ),
]


@pytest.mark.parametrize(("script", "recipe_file", "texts_of", "more"), TASKS)
def test_fine_tuning(
    script: ModuleType,
    recipe_file: str,
    texts_of: Callable[..., Draw],
    more: dict[str, str],
    small_data: Path,
    tmp_path: Path,
) -> None:
    settings = SETTINGS | {"data_dir": str(small_data), "processor.num_frames": "2"} | more
    settings |= {"training_clips": "2", "validation_clips": "1", "inference_clips": "1"}
    start, output = run_from_new_weights(script, recipe_file, settings | {"start_from": "null"}, tmp_path)

    recipe = yaml.safe_load((output / "recipe.yaml").read_text())
    rows = load_moving_shapes(recipe["dataset_config"], small_data, progress=False)["train"].to_list()
    groups = rows_of_videos(rows, recipe.get("questions_per_video") or recipe["captions_per_video"])
    labels = json.loads((start / "config.json").read_text()).get("label2id", {})
    outputs = {"qa": len(labels), "retrieval": 2, "multiple_choice": 1}[recipe["dataset_config"]]
    draw = texts_of(rows, labels)
    tokenizer = AutoTokenizer.from_pretrained(start)
    options = json.loads((start / "processor_config.json").read_text())["video_processor"]

    def encode(text: str) -> list[int]:
        return tokenizer(text, truncation=True, max_length=recipe["max_text_length"])["input_ids"]

    def batch_loss(model: NaiveClipBert, batch: list[tuple[int, int]]) -> torch.Tensor:
        losses = []
        for epoch, index in batch:
            generator = np.random.default_rng([recipe["seed"], epoch, index])
            clips = read_clips(groups[index][0]["video"], recipe["training_clips"], options, generator)
            drawn = [question for row in groups[index] for question in draw(row, generator)]
            questions: list[Question] = [([encode(text) for text in texts], label) for texts, label in drawn]
            losses += question_losses(model, clips, questions, recipe["model"]["score_aggregation"])
        return sum(losses) / len(losses)

    samples = list(islice(batches(len(groups), recipe), STEPS))
    assert_same_curves(output, start, outputs, samples, batch_loss)


def pretraining_loss(model: NaiveClipBert, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean over the masked tokens, and mean over the texts that may match, frame by frame and text by text."""
    texts = iter(range(len(inputs["input_ids"])))
    masked, matching = [], []
    for clips, number in zip(inputs["pixel_values_videos"], inputs["texts_per_video"].tolist(), strict=True):
        (visual,) = (model.look(clip) for clip in clips)
        for text in islice(texts, number):
            length = int(inputs["attention_mask"][text].sum())
            words, match = model.guess(inputs["input_ids"][text, :length].tolist(), visual)
            for place, token in enumerate(inputs["mlm_labels"][text, :length].tolist()):
                if token != -100:
                    masked.append(cross_entropy(words[place], token))
            if (label := int(inputs["itm_labels"][text])) != -100:
                matching.append(cross_entropy(match, label))
    return sum(masked) / len(masked) + sum(matching) / len(matching)


def test_pretraining(small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn for a sample is recorded from the script; test_pretraining_samples is about that."""
    samples: list[dict[str, torch.Tensor]] = []
    original = PretrainingTask.loss

    def record(task: PretrainingTask, model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        samples.append(batch["inputs"])
        return original(task, model, batch)

    monkeypatch.setattr(PretrainingTask, "loss", record)
    settings = SETTINGS | {"data_dir": str(small_data), "vision": "null", "text": "null"}
    settings |= {"gradient_accumulation_steps": "1", "more_data": "[]", "dataset_config": "null"}
    start, output = run_from_new_weights(run_pretraining, "pretraining_coco_visual_genome.yaml", settings, tmp_path)
    assert_same_curves(output, start, None, samples[-STEPS:], pretraining_loss)  # those before changed nothing
