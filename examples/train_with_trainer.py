"""Question answering with transformers' Trainer: the whole model, or a LoRA by peft. A script to copy and change.

    python examples/train_with_trainer.py --data_dir data/moving_shapes --start_from runs/pretraining \
        --output_dir runs/trainer --num_train_epochs 10 --learning_rate 5e-4 --lora_rank 8

The fields of ``TrainingArguments`` are options too. It saves a whole model, a LoRA merged into it, and its processor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import EvalPrediction, HfArgumentParser, Trainer, TrainingArguments

from clipbert_hf import ClipBertDataCollator, ClipBertForVideoQuestionAnswering, ClipBertProcessor
from clipbert_hf.metrics import qa_accuracy
from datasets_scripts.moving_shapes import load_moving_shapes


@dataclass
class Options:
    """What is no option of Trainer."""

    data_dir: str  # the embedded data set, which is drawn on first use
    start_from: str  # a model folder or Hub id, with its processor
    training_clips: int = 4  # drawn at random, anew each time
    inference_clips: int = 16
    lora_rank: int = 0  # 0: all of the model trains


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Rows, processor and model; training; what is evaluated and saved."""
    parser = HfArgumentParser((Options, TrainingArguments))
    # The collator needs the columns of the rows, none of which is an argument of the model.
    parser.set_defaults(remove_unused_columns=False, logging_steps=10, report_to="none")
    options, training = parser.parse_args_into_dataclasses(arguments)
    rows = load_moving_shapes("qa", options.data_dir)  # or any rows with video, question and answer
    answers = sorted(set(rows["train"]["answer"]))
    label2id = {answer: label for label, answer in enumerate(answers)}
    processor = ClipBertProcessor.from_pretrained(options.start_from)
    model = ClipBertForVideoQuestionAnswering.from_pretrained(
        options.start_from,
        label2id=label2id,
        id2label=dict(enumerate(answers)),
        ignore_mismatched_sizes=True,  # the head may be one of another task
        dtype=torch.float32,
    )
    if options.lora_rank:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=options.lora_rank, target_modules=["query", "value"], modules_to_save=["classifier"])
        model = get_peft_model(model, lora)

    def accuracy(predicted: EvalPrediction) -> dict[str, float]:
        chosen = [answers[label] for label in predicted.predictions.argmax(-1)]
        return {"accuracy": qa_accuracy(chosen, rows["validation"]["answer"])["accuracy"]}

    trainer = Trainer(
        model,
        training,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=ClipBertDataCollator(
            processor, label2id=label2id, num_clips=options.training_clips, sampling_strategy="random"
        ),
        compute_metrics=accuracy,
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.data_collator = ClipBertDataCollator(processor, label2id=label2id, num_clips=options.inference_clips)
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)  # prints them
    if trainer.is_world_process_zero():
        (model.merge_and_unload() if options.lora_rank else model).save_pretrained(training.output_dir)
        processor.save_pretrained(training.output_dir)
    return metrics


if __name__ == "__main__":
    main()
