"""``pipeline("video-question-answering")``: questions about videos in, answers out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import Pipeline

from ..errors import InvalidInputError

# Lists of these are lists of videos; a list of anything else is the frames of one video.
_ONE_VIDEO = (str, Path, bytes, dict)


class VideoQuestionAnsweringPipeline(Pipeline):
    """Answers questions about videos.

    Args of a call:
        video: Path, ``Path``, URL, bytes, file object, array of frames (n, height, width, 3) or (n, 3, height,
            width), or list of PIL images. A list of paths, URLs or bytes is several videos. Or, instead of video and
            question: a list, generator or data set of ``{"video": …, "question": …}``.
        question: A question, or a list of questions about the video. With several videos: one question for all, or
            one each.
        top_k: How many answers, best first; 5 by default.
        num_clips: How many clips, spread over the video; by default the processor's.
        return_clip_scores: Add ``"clips"`` to each answer: the score of that answer in each clip alone, with the
            clip's start and end in seconds, which shows the moment that decided.
        batch_size: How many videos at once.
        **video_options: Other options of the video processor, such as ``num_frames`` or ``decoding_backend``.

    Returns:
        ``[{"answer": "red", "score": 0.93}, …]``, a list of such lists for several questions or videos, or an
        iterator over them for a generator or a data set.

    Example:
        >>> pipe = pipeline("video-question-answering", model="my-model", trust_remote_code=True)  # doctest: +SKIP
        >>> pipe("bikes.mp4", "what are they riding ?", top_k=1)  # doctest: +SKIP
        [{'answer': 'bike', 'score': 0.93}]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise InvalidInputError("the pipeline needs processor=…, a ClipBertProcessor; the model folder holds none")
        # The base class asks for a tokenizer before it makes batches.
        self.tokenizer = self.processor.tokenizer

    def _sanitize_parameters(
        self, top_k: int | None = None, return_clip_scores: bool | None = None, **video_options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        options = {"top_k": top_k, "return_clip_scores": return_clip_scores}
        if top_k is not None and top_k < 1:
            raise InvalidInputError(f"top_k must be at least 1; got {top_k}")
        return video_options, {}, {name: value for name, value in options.items() if value is not None}

    def __call__(self, video: Any = None, question: str | list[str] | None = None, **kwargs: Any) -> Any:
        """Answer; see the class."""
        return super().__call__(_as_inputs(video, question), **kwargs)

    def preprocess(self, inputs: dict[str, Any], **video_options: Any) -> dict[str, Any]:
        """Decode and prepare one video and its questions."""
        if not isinstance(inputs, dict) or not {"video", "question"} <= inputs.keys():
            raise InvalidInputError(f"each input must be {{'video': …, 'question': …}}; got {type(inputs).__name__}")
        question = inputs["question"]
        questions = [question] if isinstance(question, str) else list(question)
        sample = self.processor(text=[questions], videos=[inputs["video"]], return_metadata=True, **video_options)
        # A list is passed through the collator of the base class as it is.
        return {"sample": [dict(sample), isinstance(question, str)]}

    def _forward(self, model_inputs: dict[str, Any], **forward_options: Any) -> dict[str, Any]:
        samples = model_inputs["sample"]
        batched = isinstance(samples[0], list)  # a batch of [sample, is single question], or one of these
        outputs = self._answer(samples if batched else [samples])
        return {"output": outputs if batched else outputs[0]}

    def _answer(self, samples: list[list[Any]]) -> list[list[Any]]:
        features = [sample for sample, _ in samples]
        rows = [
            {name: sample[name][index] for name in ("input_ids", "attention_mask")}
            for sample in features
            for index in range(len(sample["input_ids"]))
        ]
        tokens = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
        counts = [len(sample["input_ids"]) for sample in features]
        outputs = self.model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            # Clips of a short video share frames.
            grid_features=self.model.get_grid_features(
                torch.cat([sample["pixel_values_videos"] for sample in features]),
                torch.cat([sample["frame_indices"] for sample in features]),
            ),
            texts_per_video=counts,
        )
        return [
            [logits, clip_logits, sample["clip_seconds"][0], is_single]
            for logits, clip_logits, (sample, is_single) in zip(
                outputs.logits.split(counts), outputs.clip_logits.split(counts), samples, strict=True
            )
        ]

    def postprocess(
        self, model_outputs: dict[str, Any], top_k: int = 5, return_clip_scores: bool = False
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """Turn logits into answers with scores."""
        logits, clip_logits, clip_seconds, is_single = model_outputs["output"]
        answers = []
        for scores, clip_scores in zip(self._scores(logits), self._scores(clip_logits), strict=True):
            best = scores.topk(min(top_k, len(scores)))
            ranked = [
                {"answer": self.model.config.id2label[index], "score": score}
                for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
            if return_clip_scores:
                for answer, index in zip(ranked, best.indices.tolist(), strict=True):
                    answer["clips"] = [
                        {"start": start, "end": end, "score": score}
                        for (start, end), score in zip(
                            clip_seconds.tolist(), clip_scores[:, index].tolist(), strict=True
                        )
                    ]
            answers.append(ranked)
        return answers[0] if is_single else answers

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        # Soft labels (image VQA) train one independent score an answer.
        is_multi_label = self.model.config.problem_type == "multi_label_classification"
        return logits.sigmoid() if is_multi_label else logits.softmax(-1)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model, processor and the code that the Hub needs.

        Args:
            save_directory: The folder.
            **kwargs: As for a model's ``save_pretrained``.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def _as_inputs(video: Any, question: Any) -> Any:
    """One input, a list of inputs, or an iterable of inputs for the base class."""
    if question is None:
        if video is None or isinstance(video, _ONE_VIDEO[:-1]):
            raise InvalidInputError("question is missing: call pipe(video, question)")
        return video
    if not isinstance(video, (list, tuple)) or not video or not all(isinstance(one, _ONE_VIDEO) for one in video):
        return {"video": video, "question": question}
    questions = [question] * len(video) if isinstance(question, str) else list(question)
    if len(questions) != len(video):
        raise InvalidInputError(
            f"question must be one for all or one for each of {len(video)} videos; got {len(questions)}"
        )
    return [{"video": one, "question": about} for one, about in zip(video, questions, strict=True)]


__all__ = ["VideoQuestionAnsweringPipeline"]
