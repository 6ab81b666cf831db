"""What every run does around the loop: open it, train and test, and leave a folder that others can use."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader
from transformers.utils.logging import disable_progress_bar

from datasets_scripts.errors import DatasetError

from ..errors import ClipBertError
from ..model.processing_clipbert import ClipBertProcessor
from .calibration import AnswerTask, CalibrationTask
from .data.clips import TaskOnPixels
from .dry_run import try_out
from .evaluation import Task, adopt, evaluate, predictions_of
from .faults import KEY, PreemptedError, StopRequest, UnreadableVideos
from .loop import Summary, train
from .model_card import write_model_card
from .recipe import LoopSettings, RecipeError, ScriptSettings
from .recipe_parsing import write_yaml
from .sharding import deepspeed_plugin, fsdp_plugin
from .starting_points import is_cnn_parameter
from .tracking import installed_tracker, start_tracker


def run_script(main: Callable[[], object]) -> None:
    """Run a script; an error that tells the user all there is to know ends it without a traceback.

    A run that was asked to stop, and has saved what it needs to go on, did what it should: its status is 0.
    """
    try:
        main()
    except PreemptedError as error:
        sys.stderr.write(f"{error}\n")
    except (ClipBertError, DatasetError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error


def open_run(recipe: LoopSettings) -> Accelerator:
    """Seed everything and connect the processes. Nothing is written before :func:`train_and_test` has checked all."""
    # The workers of the loaders are forked after the tokenizer has been used.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    disable_progress_bar()  # of loading and saving weights, which tears up the loop's own
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    accelerator = Accelerator(
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        mixed_precision="no" if recipe.mixed_precision == "fp32" else recipe.mixed_precision,
        log_with=installed_tracker(recipe.tracker),
        project_dir=recipe.output_dir,
        deepspeed_plugin=deepspeed_plugin(recipe),
        fsdp_plugin=fsdp_plugin(),
        step_scheduler_with_optimizer=False,
    )
    set_seed(recipe.seed)
    return accelerator


def begin_run(accelerator: Accelerator, recipe: LoopSettings) -> None:
    """Make the output folder, write the complete recipe into it and start the tracker."""
    output = Path(recipe.output_dir)
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        write_yaml(recipe, output / "recipe.yaml")
    start_tracker(accelerator, recipe)
    accelerator.wait_for_everyone()


def train_and_test(
    accelerator: Accelerator,
    model: nn.Module,
    processor: ClipBertProcessor,
    recipe: ScriptSettings,
    *,
    task: Task,
    train_loader: DataLoader[Any],
    validation_loader: DataLoader[Any] | None,
    test_task: Task,
    test_loader: DataLoader[Any] | None,
    calibration_task: AnswerTask | None = None,
    calibration_loader: DataLoader[Any] | None = None,
) -> dict[str, Any]:
    """Train, evaluate on the test split if there is one, and close the run; without training evaluate what there is.

    Args:
        accelerator: Of the run.
        model: The model, not prepared yet.
        processor: Its processor.
        recipe: The settings.
        task: For training and validation.
        train_loader: See :func:`clipbert_hf.training.loop.train`.
        validation_loader: Likewise.
        test_task: For the test.
        test_loader: Not prepared yet.
        calibration_task: Whose confidences are to be calibrated after training.
        calibration_loader: Of validation data, not prepared yet; None: nothing is calibrated.

    Returns:
        The content of results.json. A slash in the name of a metric becomes a level.

    Raises:
        PreemptedError: If the run was asked to stop; everything is saved.
        RecipeError: If there is nothing to train and nothing to evaluate.
    """
    if not recipe.trains and validation_loader is None and test_loader is None:
        raise RecipeError(
            "there is nothing to do: no training, and neither a split 'validation' nor 'test' to evaluate"
        )
    task, test_task = (TaskOnPixels(each, processor.video_processor) for each in (task, test_task))
    calibrating = None
    if calibration_task is not None and calibration_loader is not None:
        calibrating = TaskOnPixels(CalibrationTask(calibration_task), processor.video_processor)
    if recipe.dry_run:
        evaluations = [("validation", task, validation_loader), ("test", test_task, test_loader)]
        if calibrating is not None:
            evaluations.insert(1, ("calibration", calibrating, calibration_loader))
        return try_out(accelerator, model, recipe, (task, train_loader), evaluations)
    unreadable = UnreadableVideos(accelerator, skip=recipe.on_unreadable_video == "skip", output_dir=recipe.output_dir)
    try:
        with StopRequest(accelerator) as should_stop:
            watched: dict[str, Any] = {"unreadable": unreadable, "should_stop": should_stop}
            trained, summary = train(
                accelerator=accelerator,
                model=model,
                task=task,
                train_loader=train_loader,
                eval_loader=validation_loader,
                settings=recipe,
                is_cnn=is_cnn_parameter,
                begin=lambda: begin_run(accelerator, recipe),
                **watched,
            )
            evaluate_split: Callable[..., dict[str, float]] = partial(_evaluate_split, accelerator, trained, **watched)
            validation = summary.metrics
            if not recipe.trains:  # otherwise it was evaluated in training
                validation = evaluate_split("validation", validation_loader, task)
            calibration = {} if calibrating is None else evaluate_split("calibration", calibration_loader, calibrating)
            if calibrating is not None:
                adopt(calibrating, trained, calibration)
            adopt(test_task, trained, validation)
            records: list[Any] = []
            test = evaluate_split("test", test_loader, test_task, on_records=records.extend)
    except PreemptedError:
        accelerator.end_training()
        raise
    loaders = [train_loader] if recipe.trains else [test_loader, validation_loader]
    results = {
        **_of_training(summary),
        "validation": nest(validation),
        **({"calibration": nest(calibration)} if calibration else {}),
        "test": nest(test),
        "environment": {**environment_of(accelerator, model), **_reading(*loaders)},
        **nest(unreadable.counts()),
    }
    write_predictions(accelerator, recipe, predictions_of(test_task, records))
    close_run(accelerator, trained, processor, recipe, results)
    return results


def _of_training(summary: Summary) -> dict[str, Any]:
    return {
        "steps": summary.steps,
        "seconds": round(summary.seconds, 1),
        "stall_share": None if summary.stall_share is None else round(summary.stall_share, 3),
        "best_step": summary.best_step,
    }


_PACKAGES = ("clipbert_hf", "torch", "transformers", "timm", "accelerate", "datasets", "av")


def environment_of(accelerator: Accelerator, model: nn.Module) -> dict[str, Any]:
    """What a run was made with: versions, where it ran, and the parameters of its model."""
    return {
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        # DeepSpeed's third stage leaves no element of a parameter in its place, but its number.
        "parameters": sum(getattr(each, "ds_numel", each.numel()) for each in model.parameters()),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _reading(*loaders: DataLoader[Any] | None) -> dict[str, int | None]:
    """How the first of the loaders read, which may have been chosen by the machine."""
    first = next(each for each in loaders if each is not None)
    return {"num_workers": first.num_workers, "prefetch": first.prefetch_factor}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # code that is run where it lies
        return "not installed"


def _evaluate_split(
    accelerator: Accelerator, model: nn.Module, name: str, loader: DataLoader[Any] | None, task: Task, **options: Any
) -> dict[str, float]:
    """Evaluate a split, if there is one; its loader is not prepared yet."""
    if loader is None:
        return {}
    return evaluate(accelerator, model, accelerator.prepare(loader), task, name=name, **options)


def write_predictions(accelerator: Accelerator, recipe: LoopSettings, predictions: list[dict[str, Any]]) -> None:
    """Write what the test predicted, a line a question, into predictions.jsonl, for reports and for reading.

    Args:
        accelerator: Of the run; its main process writes.
        recipe: The settings.
        predictions: What a task told; with none of them, a file of an earlier run in the same folder goes.
    """
    path = Path(recipe.output_dir) / "predictions.jsonl"
    if not accelerator.is_main_process:
        return
    path.unlink(missing_ok=True)
    if predictions:
        path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in predictions), "utf-8")


def close_run(
    accelerator: Accelerator,
    model: nn.Module,
    processor: ClipBertProcessor,
    recipe: LoopSettings,
    results: dict[str, Any],
) -> None:
    """Save model, processor, results.json and the model's card, and say where.

    Args:
        accelerator: Of the run.
        model: The trained model, prepared.
        processor: Its processor.
        recipe: The settings.
        results: The content of results.json.
    """
    output = Path(recipe.output_dir)
    accelerator.wait_for_everyone()
    unwrapped = accelerator.unwrap_model(model)
    state = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        unwrapped.save_pretrained(output, state_dict=state)
        processor.save_pretrained(output)
        (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")
        write_model_card(output)
        shown: dict[str, Any] = {**(results["test"] or results["validation"])}
        if KEY in results:
            shown[KEY] = {**results[KEY], "named in": str(output / "unreadable_videos.json")}
        sys.stdout.write(json.dumps(shown, indent=2) + f"\nsaved in {output}\n")
    accelerator.end_training()


def nest(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Turn names with slashes into levels.

    Example:
        >>> nest({"accuracy": 0.5, "by_type/color": 0.25})
        {'accuracy': 0.5, 'by_type': {'color': 0.25}}
    """
    nested: dict[str, Any] = {}
    for name, value in metrics.items():
        *levels, last = name.split("/")
        place = nested
        for level in levels:
            place = place.setdefault(level, {})
        place[last] = value
    return nested
