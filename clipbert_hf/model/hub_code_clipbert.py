"""What a saved folder needs so that the Hub's ``trust_remote_code`` loads it without clipbert_hf installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # transformers reads a file's relative imports as text and fetches those files with it. Every file of the
    # room imports this one in the end, so naming all of them here lets each Auto class bring the whole room:
    # a model that was loaded from the Hub can then be saved as a complete repository again.
    from .clip_aggregation_clipbert import aggregate_clip_logits  # noqa: F401
    from .modeling_clipbert import ClipBertModel  # noqa: F401
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

CUSTOM_PIPELINES: dict[str, dict[str, Any]] = {
    "video-question-answering": {
        "impl": "pipeline_clipbert.VideoQuestionAnsweringPipeline",
        "pt": ["AutoModelForVisualQuestionAnswering"],
        "type": "multimodal",
    }
}


def copy_model_code(save_directory: str | os.PathLike) -> None:
    """Copy every file of the model's room into a folder.

    Args:
        save_directory: The folder of ``config.json``. A folder that already is the room is left as it is.
    """
    room = Path(__file__).resolve().parent
    target = Path(save_directory or ".").resolve()
    if target == room:
        return
    for source in sorted(room.glob("*_clipbert.py")):
        shutil.copyfile(source, target / source.name)
