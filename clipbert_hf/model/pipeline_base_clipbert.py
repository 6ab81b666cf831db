"""What the pipelines have in common: texts about videos in, scores of the whole video and of its clips out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from transformers import Pipeline

from ..errors import InvalidInputError
from ..video.reading_ahead import ReadAhead
from .modeling_clipbert import calibrate_logits
from .pair_scoring_clipbert import ClipBertPairScorer
from .pipeline_inputs_clipbert import as_rows


class VideoScores(NamedTuple):
    """What a model says about one video.

    Args:
        row: The row that the pipeline was given.
        is_single: Whether that row asks one thing, not a list of them.
        logits: (texts, labels), (questions, choices), in fp32 and calibrated, as the next.
        clip_logits: The same of each clip, (texts, clips, labels).
        clip_seconds: Start and end of each clip, (clips, 2).
    """

    row: dict[str, Any]
    is_single: bool
    logits: torch.Tensor
    clip_logits: torch.Tensor
    clip_seconds: torch.Tensor


class ClipBertPipeline(Pipeline):
    """Base of the pipelines: decodes and samples videos, and scores batches of them.

    A subclass names the columns of its rows and turns :class:`VideoScores` into answers.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False

    # The columns of a row beside the video; the first of them is what the processor calls text.
    columns: ClassVar[tuple[str, ...]]
    # Whether one answer is given, which can be withheld.
    can_abstain: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise InvalidInputError("the pipeline needs processor=…, a ClipBertProcessor; the model folder holds none")
        # The base class asks for a tokenizer before it makes batches.
        self.tokenizer = self.processor.tokenizer
        self._scorer: ClipBertPairScorer | None = None

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        return_clip_scores: bool | None = None,
        abstain_below: float | None = None,
        **video_options: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        options = {"top_k": top_k, "return_clip_scores": return_clip_scores, "abstain_below": abstain_below}
        if top_k is not None and top_k < 1:
            raise InvalidInputError(f"top_k must be at least 1; got {top_k}")
        if abstain_below is not None:
            self._check_abstaining(abstain_below)
        return video_options, {}, {name: value for name, value in options.items() if value is not None}

    def _check_abstaining(self, abstain_below: float) -> None:
        if not self.can_abstain:
            raise InvalidInputError(
                "abstain_below is for pipelines that give an answer; this one gives the probability that a text "
                "matches a video, which a threshold of yours can be compared with"
            )
        if not 0 <= abstain_below <= 1:
            raise InvalidInputError(f"abstain_below must be a probability, from 0 to 1; got {abstain_below}")

    def _call(self, video: Any, about: Mapping[str, Any], **kwargs: Any) -> Any:
        return super().__call__(as_rows(video, about), **kwargs)

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *parameters: dict[str, Any]) -> Any:
        """Go through rows; without workers, a thread decodes the next batch while the model works on this one.

        Args:
            inputs: The rows.
            num_workers: Processes that decode, which read ahead by themselves.
            batch_size: Videos that pass the model together.
            *parameters: Of preprocessing, of the model and of postprocessing.
        """
        results = super().get_iterator(inputs, num_workers, batch_size, *parameters)
        if num_workers == 0:
            model_outputs = results.loader
            model_outputs.loader = ReadAhead(model_outputs.loader)
        return results

    def preprocess(self, inputs: dict[str, Any], **video_options: Any) -> dict[str, Any]:
        """Decode and prepare one video and the texts about it."""
        if not isinstance(inputs, dict) or not {"video", *self.columns} <= inputs.keys():
            expected = ", ".join(f"{name!r}: …" for name in ("video", *self.columns))
            found = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise InvalidInputError(f"each input must be {{{expected}}}; got {found}")
        is_single = isinstance(inputs[self.columns[0]], str)
        row = {name: [inputs[name]] if is_single else list(inputs[name]) for name in self.columns}
        text, *others = row
        sample = self.processor(
            text=[row[text]],
            videos=[inputs["video"]],
            return_metadata=True,
            **{name: row[name] for name in others},
            **video_options,
        )
        # A list is passed through the collator of the base class as it is.
        return {"sample": [dict(sample), row, is_single]}

    def _forward(self, model_inputs: dict[str, Any], **forward_options: Any) -> dict[str, Any]:
        samples = model_inputs["sample"]
        batched = isinstance(samples[0], list)  # a batch of such lists, or one of them
        samples = samples if batched else [samples]
        # Videos that are read whole differ in their number of frames, questions in that of choices.
        groups: dict[Any, list[int]] = {}
        for place, (sample, *_) in enumerate(samples):
            shape = (sample["pixel_values_videos"].shape[1:], sample["input_ids"].shape[1:-1])
            groups.setdefault(shape, []).append(place)
        outputs: list[Any] = [None] * len(samples)
        for places in groups.values():
            for place, output in zip(places, self._score([samples[place] for place in places]), strict=True):
                outputs[place] = output
        return {"output": outputs if batched else outputs[0]}

    def _score(self, samples: list[list[Any]]) -> list[list[Any]]:
        """Score videos whose clips have one shape, together."""
        features = [sample for sample, *_ in samples]
        counts = [len(sample["input_ids"]) for sample in features]
        inner = features[0]["input_ids"].shape[1:-1]  # (), or (choices,)
        tokens = self._pad(features)
        texts_per_question = len(tokens["input_ids"]) // sum(counts)
        video_of_text = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts) * texts_per_question)
        if self._scorer is None or self._scorer.model is not self.model:
            self._scorer = ClipBertPairScorer(self.model)
        outputs = self._scorer.score_pairs(
            tokens["input_ids"],
            tokens["attention_mask"],
            # Clips of a short video share frames.
            videos=self._scorer.encode_videos(
                torch.cat([sample["pixel_values_videos"] for sample in features]),
                torch.cat([sample["frame_indices"] for sample in features]),
            ),
            pairs=torch.stack([torch.arange(len(video_of_text)), video_of_text], dim=1),
        )
        logits, clip_logits = outputs.logits, outputs.clip_logits  # (texts, labels), (texts, clips, labels)
        assert logits is not None  # where there are pairs
        assert clip_logits is not None
        if inner:
            logits = logits.unflatten(0, (-1, *inner)).squeeze(-1)
            clip_logits = clip_logits.unflatten(0, (-1, *inner)).squeeze(-1).transpose(1, 2)
        return [
            [row, is_single, of_video, of_clips, sample["clip_seconds"][0]]
            for (sample, row, is_single), of_video, of_clips in zip(
                samples, logits.split(counts), clip_logits.split(counts), strict=True
            )
        ]

    def _pad(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Bring the tokens of several videos to one length, (texts, tokens); of each choice for multiple choice."""
        rows = [
            {"input_ids": ids, "attention_mask": mask}
            for sample in features
            for ids, mask in zip(
                *(sample[name].flatten(0, -2) for name in ("input_ids", "attention_mask")), strict=True
            )
        ]
        tokens = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def postprocess(
        self,
        model_outputs: dict[str, Any],
        top_k: int | None = None,
        return_clip_scores: bool = False,
        abstain_below: float | None = None,
    ) -> Any:
        """Turn scores into answers: of the only thing that was asked, or a list."""
        scores = VideoScores(*model_outputs["output"])
        scores = scores._replace(
            logits=calibrate_logits(scores.logits.float(), self.model.config),
            clip_logits=calibrate_logits(scores.clip_logits.float(), self.model.config),
        )
        answers = self._answers(scores, top_k=top_k, return_clip_scores=return_clip_scores)
        if abstain_below is not None:
            answers = [abstain(ranked, abstain_below) for ranked in answers]
        return answers[0] if scores.is_single else answers

    def _answers(self, scores: VideoScores, *, top_k: int | None, return_clip_scores: bool) -> list[Any]:
        """Answers to the texts of a row, or the texts in order; a list of one where there is one."""
        raise NotImplementedError

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model, processor and the code that the Hub needs.

        Args:
            save_directory: The folder.
            **kwargs: As for a model's ``save_pretrained``.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def abstain(ranked: list[dict[str, Any]], below: float) -> list[dict[str, Any]]:
    """Withhold answers of which the best is too unsure.

    Args:
        ranked: Answers to a question, best first.
        below: The least score.

    Returns:
        The answers; or ``[{"answer": None, "score": …}]`` with the score of the best, and its clips if there were.
    """
    best = ranked[0]
    return ranked if best["score"] >= below else [{**best, "answer": None}]


def with_clips(
    answer: dict[str, Any], wanted: bool, clip_seconds: torch.Tensor, clip_scores: torch.Tensor
) -> dict[str, Any]:
    """Add what each clip alone says about an answer.

    Args:
        answer: The answer.
        wanted: Whether to add it.
        clip_seconds: Start and end of each clip, (clips, 2).
        clip_scores: (clips,).
    """
    if wanted:
        answer["clips"] = [
            {"start": start, "end": end, "score": score}
            for (start, end), score in zip(clip_seconds.tolist(), clip_scores.tolist(), strict=True)
        ]
    return answer
