"""What a saved folder needs so that the Hub's ``trust_remote_code`` loads it without clipbert_hf installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # transformers reads a file's relative imports as text and fetches those files with it. The files that AUTO_MAP
    # names import this one, so naming here what leads to all others lets each Auto class bring the whole repository:
    # a model that was loaded from the Hub can then be saved as a complete one again.
    from .modeling_clipbert import ClipBertModel  # noqa: F401
    from .pair_scoring_clipbert import ClipBertPairScorer  # noqa: F401
    from .pipeline_clipbert import VideoQuestionAnsweringPipeline  # noqa: F401
    from .processing_clipbert import ClipBertProcessor  # noqa: F401
    from .video_processing_clipbert import ClipBertVideoProcessor  # noqa: F401

AUTO_MAP: dict[str, str] = {
    "AutoConfig": "configuration_clipbert.ClipBertConfig",
    "AutoModel": "modeling_clipbert.ClipBertModel",
    "AutoModelForVisualQuestionAnswering": "modeling_clipbert.ClipBertForVideoQuestionAnswering",
    "AutoModelForMultipleChoice": "modeling_clipbert.ClipBertForMultipleChoice",
    "AutoModelForPreTraining": "modeling_clipbert.ClipBertForPreTraining",
    # No Auto class is made for retrieval or regression; these two are the nearest: does this text go with
    # this video, and a value for the pair.
    "AutoModelForNextSentencePrediction": "modeling_clipbert.ClipBertForVideoTextRetrieval",
    "AutoModelForSequenceClassification": "modeling_clipbert.ClipBertForVideoRegression",
    "AutoProcessor": "processing_clipbert.ClipBertProcessor",
    "AutoVideoProcessor": "video_processing_clipbert.ClipBertVideoProcessor",
}

PROCESSOR_AUTO_MAP: dict[str, str] = {name: AUTO_MAP[name] for name in ("AutoProcessor", "AutoVideoProcessor")}

# Task → the class of its pipeline and the Auto class of its models.
_PIPELINES = {
    "video-question-answering": ("VideoQuestionAnsweringPipeline", "AutoModelForVisualQuestionAnswering"),
    "video-multiple-choice": ("VideoMultipleChoicePipeline", "AutoModelForMultipleChoice"),
    "video-text-matching": ("VideoTextMatchingPipeline", "AutoModelForNextSentencePrediction"),
}


def pipelines_of(architecture: str) -> dict[str, dict[str, Any]]:
    """What the configuration of a model says of its pipeline, ``custom_pipelines``; empty if there is none for it."""
    return {
        task: {"impl": f"pipeline_clipbert.{pipeline}", "pt": [auto_class], "type": "multimodal"}
        for task, (pipeline, auto_class) in _PIPELINES.items()
        if AUTO_MAP[auto_class] == f"modeling_clipbert.{architecture}"
    }


_HERE = Path(__file__).resolve().parent
# A relative import, at the beginning of a line as transformers looks for it.
_RELATIVE_IMPORT = re.compile(r"^([ \t]*from )(\.+)([\w.]+)( import\b)", flags=re.MULTILINE)


_repository: ContextVar[Path | None] = ContextVar("repository", default=None)


@contextmanager
def saving_repository(save_directory: str | os.PathLike) -> Iterator[None]:
    """Within this context the JSON files of a folder bring the code along: the folder is to be a whole repository.

    Args:
        save_directory: What ``save_pretrained`` of a configuration or processor is given.
    """
    token = _repository.set(Path(save_directory).resolve())
    try:
        yield
    finally:
        _repository.reset(token)


def add_model_code(json_file_path: str | os.PathLike) -> None:
    """Write every file that ``trust_remote_code`` needs beside a JSON file, if it lies in a repository being saved.

    For ``to_json_file``: a JSON file that somebody writes anywhere is left alone. In ``save_pretrained`` it would be
    too early: an upload takes the files that changed after that began.

    Args:
        json_file_path: Such as ``config.json``. The folder of the code itself is left as it is.
    """
    target = Path(json_file_path).resolve().parent
    if target == _repository.get() and target != _HERE:
        for name, text in model_code().items():
            (target / name).write_text(text, "utf-8")


def model_code() -> dict[str, str]:
    """Collect the code of the model, and of reading videos, as the Hub takes it: flat, in files that import siblings.

    In the package it lies in the folders ``model`` and ``video`` beside ``errors.py``. transformers finds remote code
    in one folder only, so files are renamed (``video/reading.py`` becomes ``video_reading_clipbert.py``) and their
    relative imports with them. A model that came from the Hub has its code in a flat folder already, and hands it on.

    Returns:
        The content of each file, by its name.
    """
    if (_HERE / "errors_clipbert.py").exists():
        return {path.name: path.read_text("utf-8") for path in sorted(_HERE.glob("*_clipbert.py"))}
    package = _HERE.parent
    paths = [package / "errors.py", *sorted(_HERE.glob("*_clipbert.py")), *sorted(package.glob("video/[!_]*.py"))]
    modules = {path.relative_to(package).with_suffix("").parts: path for path in paths}
    names = {module: _flat_name(module) for module in modules}
    return {f"{names[module]}.py": _flatten(path.read_text("utf-8"), module, names) for module, path in modules.items()}


def _flat_name(module: tuple[str, ...]) -> str:
    name = "_".join(part for part in module if part != "model")
    return name if name.endswith("_clipbert") else f"{name}_clipbert"


def _flatten(text: str, module: tuple[str, ...], names: dict[tuple[str, ...], str]) -> str:
    """Point the relative imports of a module's text at flat names."""

    def point(match: re.Match[str]) -> str:
        begin, dots, path, end = match.groups()
        target = (*module[: len(module) - len(dots)], *path.split("."))
        return f"{begin}.{names[target]}{end}"

    return _RELATIVE_IMPORT.sub(point, text)
