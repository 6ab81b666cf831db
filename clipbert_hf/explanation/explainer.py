"""Explains answers of a model: clip by clip, and on the frame by attention and by occlusion.

Shapes: K clips, T frames, L the side of a frame as the model takes it, M text tokens, R×C the grid, n answers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from ..errors import InvalidInputError
from ..model.modeling_clipbert import ClipBertClipScorer, calibrate_logits
from ..model.pair_scoring_clipbert import is_kind
from ..model.processing_clipbert import ClipBertProcessor
from ..retrieval.pair_scorer import PairScorer
from ..video.limits import DecodingLimits
from ..video.reading import read_video_frames
from .attention import attention_to_grid
from .geometry import FrameGeometry
from .moments import ClipAnswer, Explanation, clip_shares
from .occlusion import occlude, occlusion_windows

AttentionMethod = Literal["rollout", "last_layer"]
Measure = Literal["logit", "log_odds"]


@dataclass(frozen=True)
class _State:
    """What was given to the model."""

    pixels: torch.Tensor  # (1, K, T, 3, L, L)
    tokens: dict[str, torch.Tensor]  # (1, M), or (1, choices, M)
    answer: int
    clip_logits: np.ndarray  # (K, n)


class Explainer:
    """Explains what a model answers, chooses or matches.

    Args:
        model: For question answering, multiple choice or retrieval.
        processor: Of the model.

    Raises:
        InvalidInputError: If the model is for another task.

    Example:
        >>> explainer = Explainer.from_pretrained("my-model")  # doctest: +SKIP
        >>> why = explainer.explain("bikes.mp4", "what are they riding ?")  # doctest: +SKIP
        >>> why.answer, why.clips[why.deciding[0]].start  # doctest: +SKIP
        ('bikes', 3.5)
    """

    def __init__(self, model: ClipBertClipScorer, processor: ClipBertProcessor) -> None:
        tasks = ("VideoQuestionAnswering", "MultipleChoice", "VideoTextRetrieval")
        if not is_kind(model, *(f"ClipBertFor{task}" for task in tasks)):
            raise InvalidInputError(
                f"model must be for question answering, multiple choice or retrieval; got {type(model).__name__}"
            )
        self.model, self.processor = model.eval(), processor

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | os.PathLike[str], **options: Any) -> Explainer:
        """Load model and processor.

        Args:
            folder_or_repo: A saved folder, or a repository of the Hub.
            **options: Of :meth:`~clipbert_hf.retrieval.PairScorer.from_pretrained`: ``device``, ``revision`` …

        Raises:
            InvalidInputError: If what is there is no ClipBERT that can be explained.
        """
        loaded = PairScorer.from_pretrained(folder_or_repo, **options)
        return cls(loaded.model, loaded.processor)

    @torch.inference_mode()
    def explain(
        self,
        video: Any,
        text: str,
        *,
        choices: Sequence[str] | None = None,
        answer: str | None = None,
        **video_options: Any,
    ) -> Explanation:
        """Answer, and tell what each clip says.

        Args:
            video: Whatever the processor reads.
            text: The question; of retrieval the text.
            choices: Of multiple choice, and only there.
            answer: The one to explain; by default the best.
            **video_options: Of the video processor, such as ``num_clips``.

        Raises:
            InvalidInputError: If choices are missing or are too many, or the answer is none that the model has.
            VideoDecodeError: If the video cannot be read.
        """
        if (choices is not None) != is_kind(self.model, "ClipBertForMultipleChoice"):
            raise InvalidInputError(
                f"choices belong to a model for multiple choice; this is {type(self.model).__name__}"
            )
        sample = self.processor(
            text=[[text]],
            videos=[video],
            return_metadata=True,
            **({} if choices is None else {"choices": [list(choices)]}),
            **video_options,
        )
        tokens = {name: sample[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        pixels = self._pixels(sample)
        output = self.model(**tokens, pixel_values_videos=pixels)
        answers = self._answers(text, choices)
        place = _place_of(answer, answers, int(output.logits[0].argmax()), is_match=self._is_match)
        clip_logits = output.clip_logits[0].float()  # (K, n)
        scores = self._scores(output.logits[0])
        order = scores.argsort(descending=True, stable=True).tolist()
        metadata, (height, width) = sample["video_metadata"][0], pixels.shape[-2:]
        frame, longest_edge = (metadata.height, metadata.width), self._longest_edge(video_options)
        return Explanation(
            video=video,
            text=text,
            answer=answers[place],
            score=float(scores[place]),
            aggregation=self.model.config.score_aggregation,
            clips=self._clip_answers(sample, clip_logits, answers, place),
            geometry=FrameGeometry.of(frame, (height, width), longest_edge=longest_edge),
            ranked=tuple((answers[place], float(scores[place])) for place in order),
            state=_State(pixels, tokens, place, clip_logits.cpu().numpy()),
        )

    def _pixels(self, sample: Mapping[str, Any]) -> torch.Tensor:
        pixels = sample["pixel_values_videos"].to(self.model.device)
        if pixels.dtype == torch.uint8:  # a processor may hand over bytes
            pixels = self.processor.video_processor.normalize_clips(pixels)
        return pixels

    def _longest_edge(self, video_options: Mapping[str, Any]) -> int | None:
        """To which frames are resized; None: they are not."""
        options = self.processor.video_processor
        if not video_options.get("do_resize", options.do_resize):
            return None
        return video_options.get("size", options.size)["longest_edge"]

    def _clip_answers(
        self, sample: Mapping[str, Any], clip_logits: torch.Tensor, answers: Sequence[str], place: int
    ) -> tuple[ClipAnswer, ...]:
        """What each clip says: its own best answer, and what it gives to the chosen one, which is at `place`."""
        column = 0 if self._is_match else place
        shares = clip_shares(self._logits(clip_logits).cpu().numpy(), column, self.model.config.score_aggregation)
        seconds, indices = sample["clip_seconds"][0].tolist(), sample["frame_indices"][0]
        return tuple(
            ClipAnswer(
                start=start,
                end=end,
                answer=answers[int(probabilities.argmax())],
                score=float(probabilities.max()),
                score_of_chosen=float(probabilities[place]),
                share=float(share),
                frame=int(frames[len(frames) // 2]),
            )
            for (start, end), probabilities, share, frames in zip(
                seconds, self._scores(clip_logits), shares, indices, strict=True
            )
        )

    @torch.inference_mode()
    def attention(
        self, why: Explanation, clip: int | None = None, *, method: AttentionMethod = "rollout"
    ) -> np.ndarray:
        """Where [CLS], from which the answer is read, looks; not what the answer depends on, for which see occlusion.

        The frames of a clip are fused before the encoder, so the map is of all of them.

        Args:
            why: Of :meth:`explain`.
            clip: Its place; by default the one that decided most.
            method: ``"rollout"`` follows the attention, of all heads in the mean, through all layers and the residual
                connections beside them (Abnar and Zuidema, 2020); ``"last_layer"`` is that of the last layer alone.

        Returns:
            (H, W) on the frame, of the weights of all visual tokens, which add up to 1 on the grid.

        Raises:
            InvalidInputError: If there is no such clip or method.
        """
        return why.geometry.on_frame(self.attention_grid(why, clip, method=method))

    @torch.inference_mode()
    def attention_grid(
        self, why: Explanation, clip: int | None = None, *, method: AttentionMethod = "rollout"
    ) -> np.ndarray:
        """As :meth:`attention`, on the grid of what the model takes, padding included: (R, C)."""
        if method not in get_args(AttentionMethod):
            raise InvalidInputError(f"method must be one of {', '.join(get_args(AttentionMethod))}; got {method!r}")
        place, state = self._clip(why, clip), why.state
        tokens = state.tokens
        if is_kind(self.model, "ClipBertForMultipleChoice"):
            tokens = {name: each[:, state.answer] for name, each in tokens.items()}
        return attention_to_grid(self.model, tokens, state.pixels[:, place : place + 1], method=method)

    @torch.inference_mode()
    def occlusion(
        self,
        why: Explanation,
        clip: int | None = None,
        *,
        window: float = 0.25,
        step: float = 0.125,
        measure: Measure = "log_odds",
        batch_size: int = 32,
    ) -> np.ndarray:
        """What the answer depends on: how far it falls when a square of the picture is covered with the mean colour.

        Args:
            why: Of :meth:`explain`.
            clip: Its place; by default the one that decided most. A square is covered in all of its frames.
            window: Side of the squares, as a part of the longer side of the picture.
            step: How far they are apart, likewise.
            measure: What is compared: the ``"logit"`` of the answer, or its ``"log_odds"`` against all others, which
                does not change where all logits fall alike. Of a match both are the same.
            batch_size: How many covered clips pass the model together.

        Returns:
            (H, W) on the frame: of each pixel the mean fall over the squares that cover it; negative where covering it
            helps the answer.

        Raises:
            InvalidInputError: If there is no such clip, or an option is out of range.
        """
        if measure not in get_args(Measure):
            raise InvalidInputError(f"measure must be one of {', '.join(get_args(Measure))}; got {measure!r}")
        if batch_size < 1:
            raise InvalidInputError(f"batch_size must be at least 1; got {batch_size}")
        place, state = self._clip(why, clip), why.state
        windows = occlusion_windows(why.geometry.content, window=window, step=step)
        pixels = state.pixels[0, place]  # (T, 3, L, L)
        fallen = []
        whole = self._measured(state.tokens, pixels[None, None], state.answer, measure)
        for first in range(0, len(windows), batch_size):
            covered = occlude(pixels, windows[first : first + batch_size])[:, None]  # (b, 1, T, 3, L, L)
            fallen.append(whole - self._measured(state.tokens, covered, state.answer, measure))
        drops = torch.cat(fallen).double().cpu().numpy()
        total, count = np.zeros(why.geometry.content), np.zeros(why.geometry.content)
        for (top, left, height, width), drop in zip(windows, drops, strict=True):
            inside = np.s_[top : top + height, left : left + width]
            total[inside] += drop
            count[inside] += 1
        of_content = FrameGeometry(why.geometry.frame, why.geometry.content, why.geometry.content)
        return of_content.on_frame(total / count)

    def frames(self, why: Explanation, clips: Sequence[int]) -> np.ndarray:
        """The middle frames of clips as they are shown, uint8 (clips, H, W, 3).

        Args:
            why: Of :meth:`explain`.
            clips: Their places.
        """
        options = self.processor.video_processor
        frames = read_video_frames(
            why.video,
            [why.clips[place].frame for place in clips],
            options.decoding_backend,
            limits=DecodingLimits.from_options(options.decoding_limits),
            square_pixels=options.square_pixels,
        )
        return frames.permute(0, 2, 3, 1).numpy()

    @property
    def _is_match(self) -> bool:
        return is_kind(self.model, "ClipBertForVideoTextRetrieval")

    def _answers(self, text: str, choices: Sequence[str] | None) -> list[str]:
        if choices is not None:
            return list(choices)
        if self._is_match:
            return ["no match", "match"]
        return [self.model.config.id2label[place] for place in range(self.model.config.num_labels)]

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the answers, (…, n); of a match (…, 2)."""
        logits = calibrate_logits(logits.float(), self.model.config)
        if logits.shape[-1] == 1 and self._is_match:
            match = logits.sigmoid()
            return torch.cat([1 - match, match], dim=-1)
        if self.model.config.problem_type == "multi_label_classification":
            return logits.sigmoid()
        return logits.softmax(-1)

    def _logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of the answers, (…, n); of a match (…, 1), for against."""
        if not self._is_match:
            return logits
        return logits if logits.shape[-1] == 1 else logits[..., 1:] - logits[..., :1]

    def _measured(
        self, tokens: dict[str, torch.Tensor], pixels: torch.Tensor, answer: int, measure: Measure
    ) -> torch.Tensor:
        """Of each clip, (b, 1, T, 3, L, L), what is compared, (b,)."""
        repeated = {name: each.expand(len(pixels), *each.shape[1:]) for name, each in tokens.items()}
        logits = self._logits(self.model(**repeated, pixel_values_videos=pixels).clip_logits[:, 0].float())
        if self._is_match:
            return logits[:, 0] if answer == 1 else -logits[:, 0]
        of_answer = logits[:, answer]
        if measure == "logit" or self.model.config.problem_type == "multi_label_classification":
            return of_answer
        others = torch.arange(logits.shape[1], device=logits.device) != answer
        return of_answer - logits[:, others].logsumexp(-1)

    def _clip(self, why: Explanation, clip: int | None) -> int:
        place = why.deciding[0] if clip is None else clip
        if not 0 <= place < len(why.clips):
            raise InvalidInputError(f"clip must be from 0 to {len(why.clips) - 1}; got {clip}")
        return place


def _place_of(answer: str | None, answers: Sequence[str], best: int, *, is_match: bool) -> int:
    if is_match:
        return 1 if answer is None else _place_of(answer, answers, best, is_match=False)
    if answer is None:
        return best
    if answer not in answers:
        some = ", ".join(map(repr, answers[:5]))
        raise InvalidInputError(f"answer must be one of the model's ({some}, …); got {answer!r}")
    return answers.index(answer)
