"""ClipBERT (CVPR 2021) for the Hugging Face ecosystem.

Importing the package registers its classes with the Auto classes and the pipelines of transformers.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForVisualQuestionAnswering,
    AutoProcessor,
    AutoVideoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .data_collator import ClipBertDataCollator
from .errors import ClipBertError, InvalidInputError, VideoDecodeError
from .model.configuration_clipbert import ClipBertConfig
from .model.modeling_clipbert import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertModel,
    aggregate_clip_logits,
)
from .model.pipeline_clipbert import (
    VideoMultipleChoicePipeline,
    VideoQuestionAnsweringPipeline,
    VideoTextMatchingPipeline,
)
from .model.processing_clipbert import ClipBertProcessor
from .model.video_processing_clipbert import ClipBertVideoProcessor
from .video.limits import DecodingLimits
from .video.reading import VideoInfo, open_video, probe_video, read_video_frames
from .video.sampling import sample_clip_indices

__version__ = "0.1.0"

AutoConfig.register("clipbert", ClipBertConfig)
AutoModel.register(ClipBertConfig, ClipBertModel)
AutoModelForVisualQuestionAnswering.register(ClipBertConfig, ClipBertForVideoQuestionAnswering)
AutoModelForMultipleChoice.register(ClipBertConfig, ClipBertForMultipleChoice)
AutoModelForPreTraining.register(ClipBertConfig, ClipBertForPreTraining)
AutoModelForNextSentencePrediction.register(ClipBertConfig, ClipBertForVideoTextRetrieval)
AutoModelForSequenceClassification.register(ClipBertConfig, ClipBertForVideoRegression)
AutoProcessor.register(ClipBertConfig, ClipBertProcessor)
AutoVideoProcessor.register(ClipBertConfig, ClipBertVideoProcessor)
for _task, _pipeline, _auto_class in (
    ("video-question-answering", VideoQuestionAnsweringPipeline, AutoModelForVisualQuestionAnswering),
    ("video-multiple-choice", VideoMultipleChoicePipeline, AutoModelForMultipleChoice),
    ("video-text-matching", VideoTextMatchingPipeline, AutoModelForNextSentencePrediction),
):
    PIPELINE_REGISTRY.register_pipeline(_task, pipeline_class=_pipeline, pt_model=_auto_class, type="multimodal")

__all__ = [
    "ClipBertConfig",
    "ClipBertDataCollator",
    "ClipBertError",
    "ClipBertForMultipleChoice",
    "ClipBertForPreTraining",
    "ClipBertForVideoQuestionAnswering",
    "ClipBertForVideoRegression",
    "ClipBertForVideoTextRetrieval",
    "ClipBertModel",
    "ClipBertProcessor",
    "ClipBertVideoProcessor",
    "DecodingLimits",
    "InvalidInputError",
    "VideoDecodeError",
    "VideoInfo",
    "VideoMultipleChoicePipeline",
    "VideoQuestionAnsweringPipeline",
    "VideoTextMatchingPipeline",
    "aggregate_clip_logits",
    "open_video",
    "probe_video",
    "read_video_frames",
    "sample_clip_indices",
]
