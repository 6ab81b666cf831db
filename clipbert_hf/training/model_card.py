"""The model card of a fine-tuned model: README.md of its folder, filled from what the run left there.

Everything in it comes from ``results.json``, ``recipe.yaml``, ``config.json`` and the versions of the packages; nothing
is claimed that the run did not measure. Where the data lie on this machine stays out of it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import math
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

logger = logging.getLogger(__name__)

_MARK = "<!-- Filled by clipbert_hf from this folder; without this line it is left as it is. -->"
_PACKAGES = ("clipbert_hf", "torch", "transformers", "timm", "accelerate", "datasets", "av")
# What a reader wants to know of a recipe, where it has it; none of these is a path.
_SETTINGS = (
    *("dataset", "dataset_config", "max_steps", "epochs", "batch_size", "gradient_accumulation_steps"),
    *("learning_rate", "cnn_learning_rate", "weight_decay", "mixed_precision", "seed", "frozen"),
    *("training_clips", "training_sampling", "inference_clips", "text_only", "max_text_length", "processor"),
)
# The name of a task for people, its pipeline and the arguments of a call, by the class of the model.
_TASKS = {
    "ClipBertForVideoQuestionAnswering": (
        "video question answering",
        "video-question-answering",
        '"video.mp4", "what is shown ?", top_k=3',
    ),
    "ClipBertForMultipleChoice": (
        "multiple choice about videos",
        "video-multiple-choice",
        '"video.mp4", "what happens ?", choices=["this", "that"]',
    ),
    "ClipBertForVideoTextRetrieval": (
        "text-to-video retrieval",
        "video-text-matching",
        '"video.mp4", ["one text", "another text"]',
    ),
    "ClipBertForVideoRegression": ("numbers about videos", None, None),
    "ClipBertForPreTraining": ("pre-training on videos and texts", None, None),
}
_OTHER_TASK = ("video and language", None, None)
_ANSWERS_QUESTIONS = {
    "ClipBertForVideoQuestionAnswering",
    "ClipBertForMultipleChoice",
    "ClipBertForVideoRegression",
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Marks of CommonMark within a line, and what the Hub makes links, formulas and mentions of.
_SPECIAL = re.compile(r"([\\`*_\[\]#|~$:@]|(?<=www)\.)", flags=re.IGNORECASE)
_ANSWERS_SHOWN = 12


def write_model_card(folder: Path) -> None:
    """Write README.md into the folder of a run; one that somebody else wrote stays, and a warning says so.

    Args:
        folder: With ``results.json``, ``recipe.yaml`` and ``config.json``.
    """
    path = folder / "README.md"
    if path.exists() and _MARK not in path.read_text("utf-8", errors="replace"):
        logger.warning("%s was not written by a run and stays as it is; the model has no new card", path)
        return
    model_card(folder).save(path)


def model_card(folder: Path) -> ModelCard:
    """Make the card of a run.

    Args:
        folder: See :func:`write_model_card`.

    Returns:
        The card. A value that is no number (NaN) is in its table, and not in its metadata.
    """
    results = json.loads((folder / "results.json").read_text("utf-8"))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    head = (config.get("architectures") or [""])[0]
    name = folder.resolve().name
    parts = ["", _MARK, f"# {escape(name)}", "", _introduction(head, recipe)]
    parts += ["", "## Use", "", _usage(head)]
    parts += ["", "## Results", "", *_results(results)]
    parts += ["", "## Training", "", *_training(recipe, results)]
    parts += ["", "## Limits", "", *_limits(head, config), ""]
    return ModelCard(f"---\n{_metadata(name, head, recipe, results).to_yaml()}\n---\n" + "\n".join(parts))


def escape(text: object) -> str:
    r"""Text of somebody else for a line or a table cell of Markdown: it shows as it is, and makes no markup.

    Example:
        >>> print(escape("a | <b>*c*</b>\n# d"))
        a \| &lt;b&gt;\*c\*&lt;/b&gt; \# d
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    return _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def measured(results: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """The split that was evaluated last, and its metrics, levels joined by slashes.

    Example:
        >>> measured({"validation": {}, "test": {"accuracy": 0.5, "accuracy_by_type": {"color": 0.25}}})
        ('test', {'accuracy': 0.5, 'accuracy_by_type/color': 0.25})
    """
    split = "test" if results.get("test") else "validation"
    return split, dict(_flat(results.get(split) or {}, ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def _metadata(name: str, head: str, recipe: Mapping[str, Any], results: Mapping[str, Any]) -> ModelCardData:
    split, metrics = measured(results)
    task = _TASKS.get(head, _OTHER_TASK)[0]
    data = _data_sets(recipe)
    evaluations = [
        EvalResult(
            task_type="visual-question-answering" if head in _ANSWERS_QUESTIONS else task.replace(" ", "-"),
            task_name=task,
            dataset_type=data,
            dataset_name=data,
            dataset_split=split,
            metric_type=metric.rpartition("/")[2],
            metric_name=f"{metric.replace('/', ', ')} (measured by this run)",
            metric_value=value,
        )
        for metric, value in metrics.items()
        if math.isfinite(value) and "_by_" not in metric
    ]
    starts = (recipe.get(key) for key in ("start_from", "vision", "text"))
    base = [start for start in starts if start and _HUB_ID.fullmatch(start) and not Path(start).exists()]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="visual-question-answering" if head in _ANSWERS_QUESTIONS else None,
        tags=["clipbert", "video", "clipbert_hf"],
        base_model=base or None,
        model_name=name if evaluations else None,
        eval_results=evaluations or None,
    )


def _data_sets(recipe: Mapping[str, Any]) -> str:
    """The names of all data sets of a run; a recipe of one's own may have none."""
    sources = [recipe, *(recipe.get("more_data") or [])]
    return ", ".join(source["dataset"] for source in sources if source.get("dataset")) or "data of one's own"


def _introduction(head: str, recipe: Mapping[str, Any]) -> str:
    task = _TASKS.get(head, _OTHER_TASK)[0]
    return (
        f"ClipBERT (Lei et al., *Less is More*, CVPR 2021) for {task}, trained with clipbert_hf on "
        f"{escape(_data_sets(recipe))}. This card was filled from the run's own files. Say here what the model is "
        "meant for, and under which licence it comes: the data and the weights it started from decide that."
    )


def _usage(head: str) -> str:
    known = head in _TASKS
    _, task, arguments = _TASKS.get(head, _OTHER_TASK)
    lines = ["```python"]
    if task:
        lines += [
            "from transformers import pipeline",
            "",
            f'pipe = pipeline("{task}", model=FOLDER_OR_REPO, trust_remote_code=True)',
            f"print(pipe({arguments}))",
        ]
    else:
        lines += [
            "from clipbert_hf import ClipBertProcessor" + (f", {head}" if known else ""),
            "",
            "processor = ClipBertProcessor.from_pretrained(FOLDER_OR_REPO)",
            *([f"model = {head}.from_pretrained(FOLDER_OR_REPO)"] if known else []),
        ]
    return "\n".join([*lines, "```"])


def _results(results: Mapping[str, Any]) -> list[str]:
    split, metrics = measured(results)
    if not metrics:
        return ["This run evaluated nothing."]
    return [
        f"Measured by this run on the split `{split}`; nobody else has checked them.",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {escape(metric.replace('/', ', '))} | {value:.4g} |" for metric, value in metrics.items()),
    ]


def _training(recipe: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    steps, seconds = results.get("steps", 0), results.get("seconds", 0)
    begun = f"{steps} steps in {seconds} seconds." if steps else "This run evaluated, and did not train."
    left_out = {"epochs"} if recipe.get("max_steps") is not None else set()
    shown = {key: recipe[key] for key in _SETTINGS if recipe.get(key) not in (None, [], {}) and key not in left_out}
    return [
        f"{begun} The complete settings are in `recipe.yaml`.",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {escape(key)} | {escape(value)} |" for key, value in shown.items()),
        "",
        f"{escape(', '.join(_versions()))}.",
    ]


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield f"{package} {importlib.metadata.version(package)}"


def _limits(head: str, config: Mapping[str, Any]) -> list[str]:
    limits = []
    if head == "ClipBertForVideoQuestionAnswering":
        answers = list((config.get("id2label") or {}).values())
        listed = ", ".join(map(escape, answers[:_ANSWERS_SHOWN])) + (", …" if len(answers) > _ANSWERS_SHOWN else "")
        limits.append(f"- It knows {len(answers)} answers and always gives one of them: {listed}.")
    limits += [
        "- The results hold for data like those it was evaluated on; other videos and ways of asking were not tried.",
        "- What its data say of people, it may repeat. Do not judge people by it.",
    ]
    return limits
