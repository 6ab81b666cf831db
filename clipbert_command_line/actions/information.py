"""Facts about a model or about videos."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from clipbert_hf import ClipBertConfig, ClipBertProcessor, InvalidInputError, probe_video
from clipbert_hf.model import modeling_clipbert

from ..output import print_facts, print_json, print_table
from .models import CLASSES, loading, read_config


def show_model(model: str, *, as_json: bool) -> None:
    """Tell what a model is, from its configuration and its processor.

    Args:
        model: A folder or a repository.
        as_json: Whether to print JSON.
    """
    config = read_config(model)
    with loading(model):
        processor = ClipBertProcessor.from_pretrained(model)
    facts = {"model": model, **_of_model(model, config), **_of_processor(processor)}
    if as_json:
        print_json(facts)
        return
    answers = facts.pop("answers")
    if answers:
        more = f" … ({len(answers):,})" if len(answers) > 10 else ""
        facts["answers"] = ", ".join(answers[:10]) + more
    print_facts((name.replace("_", " "), value) for name, value in facts.items() if value is not None)


def show_videos(videos: list[str], *, as_json: bool) -> None:
    """Tell length, rate and size of videos.

    Args:
        videos: Files and URLs.
        as_json: Whether to print a JSON line for each.
    """
    rows = []
    for video in videos:
        found = dataclasses.asdict(probe_video(video))
        if as_json:
            print_json({"video": video, **found})
        rows.append([video, *found.values()])
    if not as_json:
        print_table(["video", "frames", "frames/s", "seconds", "height", "width"], rows)


def _of_model(model: str, config: ClipBertConfig) -> dict[str, Any]:
    name = (config.architectures or ["none"])[0]
    model_class = getattr(modeling_clipbert, name, None)
    if model_class is None:
        raise InvalidInputError(f"--model {model}: config.json names the class {name}, which there is not")
    commands = [command for command, each in CLASSES.items() if each is model_class]
    with torch.device("meta"):  # parameters without their numbers
        parameters = model_class(config).num_parameters()
    is_qa = model_class is CLASSES["ask"]
    return {
        "class": name,
        "command": f"clipbert {commands[0]}" if commands else None,
        "parameters": parameters,
        "answers": [config.id2label[place] for place in sorted(config.id2label)] if is_qa else None,
        "score_aggregation": config.score_aggregation,
        "calibration_temperature": config.calibration_temperature,
        "backbone": config.backbone,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "contrastive_size": config.contrastive_size or None,
        "dtype": str(config.dtype).removeprefix("torch.") if config.dtype else None,
        "transformers_version": config.transformers_version,
    }


def _of_processor(processor: ClipBertProcessor) -> dict[str, Any]:
    video = processor.video_processor
    return {
        "clips": video.num_clips,
        "frames_a_clip": video.num_frames,
        "frames_a_second": video.target_fps,
        "longest_edge": video.size["longest_edge"],
        "sampling": video.sampling_strategy,
        "words": len(processor.tokenizer),
    }
