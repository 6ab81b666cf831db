"""transformers' ``Trainer`` on our models: its losses and steps, what it gathers, and our loop beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from reference_inputs import tiny_config
from script_runs import ROOT
from torch import nn
from transformers import BertTokenizer, Trainer, TrainingArguments
from video_files import write_video

from clipbert_hf import (
    ClipBertDataCollator,
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    ClipBertVideoProcessor,
)
from clipbert_hf.training.data.loaders import create_loader
from clipbert_hf.training.loop import train
from clipbert_hf.training.optimization import create_optimizer, create_schedule
from clipbert_hf.training.recipe import ScriptSettings
from clipbert_hf.training.starting_points import is_cnn_parameter

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "red", "?", "blue", "circle"]
ROWS = 16
STEPS = 6


class OrderedTrainer(Trainer):
    """Takes the rows in their order, as a loop beside it does."""

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)


@pytest.fixture(scope="module")
def processor() -> ClipBertProcessor:
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    return ClipBertProcessor(ClipBertVideoProcessor(size={"longest_edge": 64}, num_clips=2, num_frames=1), tokenizer)


def rows_of(number: int = ROWS, **columns: Any) -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    videos = generator.integers(0, 256, (number, 6, 48, 64, 3), dtype=np.uint8)
    texts = [" ".join(generator.choice(WORDS[5:], size=1 + place % 4)) for place in range(number)]
    rows = [
        {"video": video, "text": text, "label": n % 5}
        for n, (video, text) in enumerate(zip(videos, texts, strict=True))
    ]
    return [{**row, **{name: value(n) for name, value in columns.items()}} for n, row in enumerate(rows)]


def make_model(model_class: Any = ClipBertForVideoQuestionAnswering, **options: Any) -> Any:
    torch.manual_seed(0)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return model_class(tiny_config(initializer_range=0.2, **dropout, **options))


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    defaults = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
    return TrainingArguments(str(folder), remove_unused_columns=False, **{**defaults, **options})


def curve_of(trainer: Trainer) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_accumulation_changes_neither_loss_nor_step(processor: ClipBertProcessor, tmp_path: Path) -> None:
    """One step over all rows, whatever the micro-batches: the loss is their mean, and so is the gradient."""
    collator, rows, losses, gradients = ClipBertDataCollator(processor), rows_of(), [], []
    for steps in (1, 2, 4, 8):
        model = make_model()
        # Gradient descent at rate 1 shows the gradient as what the step takes off.
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        options = {"gradient_accumulation_steps": steps, "per_device_train_batch_size": ROWS // steps}
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        trainer = OrderedTrainer(
            model,
            arguments(tmp_path, max_steps=1, max_grad_norm=1e9, **options),
            train_dataset=rows,
            data_collator=collator,
            optimizers=(optimizer, schedule),
        )
        trainer.train()
        losses += curve_of(trainer)
        gradients.append({name: before[name] - p.detach() for name, p in model.named_parameters()})
    assert len(losses) == 4
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-6)
    assert max(float(gradient.abs().max()) for gradient in gradients[0].values()) > 1e-2
    for other in gradients[1:]:
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model_class", "columns", "outputs"),
    [
        (ClipBertForVideoQuestionAnswering, {}, [(ROWS, 5)]),
        (ClipBertForVideoRegression, {"label": float}, [(ROWS, 1)]),
        (ClipBertForMultipleChoice, {"label": lambda n: n % 2, "choices": lambda n: ["red", "blue"]}, [(ROWS, 2)]),
        (ClipBertForVideoTextRetrieval, {"label": lambda n: n % 2}, [(ROWS, 2), (ROWS,)]),
    ],
)
def test_predict_gathers_what_metrics_need(
    model_class: Any,
    columns: dict[str, Any],
    outputs: list[tuple[int, ...]],
    processor: ClipBertProcessor,
    tmp_path: Path,
) -> None:
    model, rows = make_model(model_class), rows_of(**columns)
    model.set_attn_implementation("eager")
    model.config.output_hidden_states = model.config.output_attentions = True
    trainer = Trainer(
        model, arguments(tmp_path, per_device_eval_batch_size=6), data_collator=ClipBertDataCollator(processor)
    )
    result = trainer.predict(rows)
    predictions = result.predictions if isinstance(result.predictions, tuple) else (result.predictions,)
    assert [prediction.shape for prediction in predictions] == outputs
    assert result.label_ids.tolist() == [row["label"] for row in rows]
    batch = ClipBertDataCollator(processor, pixel_dtype="float32")(rows)
    with torch.no_grad():
        np.testing.assert_allclose(predictions[0], model.eval()(**batch).logits, rtol=1e-4, atol=1e-5)


def test_predict_leaves_out_the_words_of_pretraining(processor: ClipBertProcessor, tmp_path: Path) -> None:
    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = ClipBertDataCollator(processor)(rows)
        return {**batch, "itm_labels": batch.pop("labels"), "mlm_labels": batch["input_ids"]}

    trainer = Trainer(make_model(ClipBertForPreTraining), arguments(tmp_path), data_collator=collate)
    result = trainer.predict(rows_of(label=lambda n: n % 2))
    assert result.predictions.shape == (ROWS, 2)
    assert np.isfinite(result.metrics["test_loss"])


def test_without_remove_unused_columns_false_the_error_says_so(processor: ClipBertProcessor, tmp_path: Path) -> None:
    options = arguments(tmp_path, max_steps=1)
    options.remove_unused_columns = True
    trainer = Trainer(make_model(), options, train_dataset=rows_of(), data_collator=ClipBertDataCollator(processor))
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        trainer.train()


def test_bf16_trains(processor: ClipBertProcessor, tmp_path: Path) -> None:
    losses = []
    for bf16 in (False, True):
        options = arguments(tmp_path, max_steps=3, bf16=bf16, per_device_train_batch_size=4)
        trainer = OrderedTrainer(
            make_model(), options, train_dataset=rows_of(), data_collator=ClipBertDataCollator(processor)
        )
        trainer.train()
        losses.append(curve_of(trainer))
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


class AnswerTask:
    """Questions and answers for our loop; remembers each micro-batch."""

    metric_names = ()

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.losses: list[float] = []

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        self.batches.append(batch)
        loss = model(**batch).loss
        self.losses.append(loss.item())
        return loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        return len(batch["labels"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_curve_of_our_loop(accumulation: int, processor: ClipBertProcessor, tmp_path: Path) -> None:
    """The same batches, the same optimizer and schedule: the same losses, and the same weights after them."""
    settings = ScriptSettings(
        output_dir=str(tmp_path / "loop"),
        data_dir="x",
        num_workers=0,
        batch_size=4,
        max_steps=STEPS,
        learning_rate=2e-3,
        cnn_learning_rate=5e-4,
        weight_decay=0.5,
        warmup_ratio=0.5,
        max_grad_norm=1.0,
        gradient_accumulation_steps=accumulation,
        tracker="none",
    )
    task = AnswerTask()
    loop_model, model = make_model(), make_model()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(
        accelerator=Accelerator(cpu=True, gradient_accumulation_steps=accumulation),
        model=loop_model,
        task=task,  # type: ignore[arg-type]
        train_loader=create_loader(
            [[row] for row in rows_of()],
            lambda rows, generator: rows[0],
            ClipBertDataCollator(processor),
            settings,
            training=True,
        ),
        eval_loader=None,
        settings=settings,
        is_cnn=is_cnn_parameter,
    )
    optimizer = create_optimizer(model, settings, is_cnn_parameter)
    options = arguments(
        tmp_path / "trainer",
        max_steps=STEPS,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=settings.max_grad_norm,
    )
    trainer = OrderedTrainer(
        model,
        options,
        train_dataset=task.batches,
        data_collator=lambda batches: batches[0],
        optimizers=(optimizer, create_schedule(optimizer, settings, STEPS)),
    )
    trainer.train()
    curve = np.array(task.losses).reshape(STEPS, accumulation).mean(1)
    assert np.abs(curve - curve_of(trainer)).max() < 1e-6
    for name, tensor in loop_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-6, rtol=0)
    # There is something to agree about.
    with torch.no_grad():
        untrained = make_model().train()
        at_rest = np.array([untrained(**batch).loss.item() for batch in task.batches]).reshape(STEPS, -1).mean(1)
    assert np.abs(at_rest - curve)[-3:].max() > 1e-2
    assert any(
        not torch.equal(start[name], tensor) for name, tensor in model.state_dict().items() if "grid_backbone" in name
    )


def test_what_the_readme_says(processor: ClipBertProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "README.md").read_text("utf-8").split("**Fine-tune** on videos of your own")[1]
    code = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "bikes.mp4", np.zeros((8, 48, 64, 3), dtype=np.uint8), fps=8)
    model = make_model(id2label={0: "horses", 1: "bikes"}, label2id={"horses": 0, "bikes": 1})
    before = model.classifier[2].bias.detach().clone()
    model.save_pretrained(tmp_path / "runs/demo/model")
    processor.save_pretrained(tmp_path / "runs/demo/model")
    names: dict[str, Any] = {}
    exec(code, names)
    step = (names["model"].classifier[2].bias - before).tolist()
    assert step[0] < 0 < step[1]
