"""Videos and texts to what the models take: the video processor and the tokenizer together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchFeature, BertTokenizer, PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import logging

from ..errors import InvalidInputError
from .hub_code_clipbert import PROCESSOR_AUTO_MAP, copy_model_code
from .pretrained_parts_clipbert import pixel_statistics
from .video_processing_clipbert import ClipBertVideoProcessor

logger = logging.get_logger(__name__)


class ClipBertProcessor(ProcessorMixin):
    """Samples and prepares clips of videos, and tokenizes texts.

    Args:
        video_processor: A :class:`ClipBertVideoProcessor`.
        tokenizer: A BERT tokenizer.
        max_text_length: Longer texts are cut to this many tokens, with one warning; by default what the tokenizer
            says. The published recipes use 20 to 100.

    Example:
        >>> processor = ClipBertProcessor.from_pretrained("my-model")  # doctest: +SKIP
        >>> inputs = processor(text="what is shown ?", videos="bikes.mp4", num_clips=4)  # doctest: +SKIP
        >>> inputs["pixel_values_videos"].shape  # doctest: +SKIP
        torch.Size([1, 4, 2, 3, 448, 448])
    """

    def __init__(
        self,
        video_processor: ClipBertVideoProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_text_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(video_processor, tokenizer, **kwargs)
        self.max_text_length = max_text_length
        self.auto_map = dict(PROCESSOR_AUTO_MAP)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the JSON file and the model code beside it."""
        copy_model_code(os.path.dirname(json_file_path))
        super().to_json_file(json_file_path)

    @classmethod
    def from_pretrained_parts(
        cls,
        *,
        text: str | os.PathLike,
        vision: str | os.PathLike | None = None,
        backbone: str | None = None,
        local_files_only: bool = False,
        max_text_length: int | None = None,
        **video_options: Any,
    ) -> ClipBertProcessor:
        """Build the processor of ``ClipBertForX.from_pretrained_parts``.

        Args:
            text: A Hub id or folder with a tokenizer, or a ``vocab.txt``.
            vision: As for the model; its pixel statistics are taken. None: those of the published model.
            backbone: The CNN of timm where ``vision`` is a file.
            local_files_only: Look only on this machine.
            max_text_length: See the class.
            **video_options: Options of :class:`ClipBertVideoProcessor`, such as ``size`` or ``num_clips``.

        Raises:
            InvalidInputError: If a part does not hold what is needed.
        """
        if vision is not None:
            mean, std = pixel_statistics(vision, backbone)
            video_options = {"image_mean": mean, "image_std": std} | video_options
        if Path(text).is_file():
            tokenizer = BertTokenizer(vocab=str(text), do_lower_case=True)
        else:
            try:
                tokenizer = AutoTokenizer.from_pretrained(text, local_files_only=local_files_only)
            except (OSError, ValueError) as error:
                raise InvalidInputError(
                    f"text must be a vocab.txt, or a folder or Hub id with a tokenizer; cannot load {text}: {error}"
                ) from error
        return cls(ClipBertVideoProcessor(**video_options), tokenizer, max_text_length=max_text_length)

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        videos: Any = None,
        choices: Sequence[Sequence[str]] | None = None,
        *,
        padding: bool | str = True,
        max_length: int | None = None,
        **video_options: Any,
    ) -> BatchFeature:
        """Prepare inputs for a model.

        Args:
            text: A question or caption, or several; or a list of texts for each video.
            videos: A video or several: whatever the video processor reads.
            choices: For multiple choice: the choices of each question, the same number for all.
            padding: As for a tokenizer: to the longest (True), or ``"max_length"``.
            max_length: Cut texts to this many tokens, instead of ``max_text_length``.
            **video_options: ``num_clips``, ``num_frames``, ``sampling_strategy`` … of the video processor.

        Returns:
            ``pixel_values_videos`` (videos, clips, frames, 3, H, W); ``input_ids`` and ``attention_mask``, (texts,
            tokens) or (questions, choices, tokens); ``texts_per_video`` (videos,) where texts came in lists.

        Raises:
            InvalidInputError: If there is nothing to prepare, a text is empty or is no text, or the choices do not fit.
        """
        if text is None and videos is None:
            raise InvalidInputError("give text, videos, or both; got neither")
        if videos is None and video_options:
            raise TypeError(f"unexpected arguments without videos: {', '.join(sorted(video_options))}")
        data: dict[str, Any] = {}
        if text is not None:
            data.update(self._prepare_text(text, choices, padding=padding, max_length=max_length))
        if videos is not None:
            data.update(self.video_processor(videos, **video_options))
        return BatchFeature(data)

    def _prepare_text(
        self,
        text: Any,
        choices: Sequence[Sequence[str]] | None,
        *,
        padding: bool | str,
        max_length: int | None,
    ) -> dict[str, torch.Tensor]:
        texts: list[Any] = [text] if isinstance(text, str) else list(text)
        grouped = bool(texts) and all(isinstance(group, (list, tuple)) for group in texts)
        if grouped:
            counts = [len(group) for group in texts]
            texts = [one for group in texts for one in group]
        _check_texts(texts, "text")
        if choices is not None:
            choices = _check_choices(choices, questions=len(texts))
            texts = [f"{question} {choice}" for question, row in zip(texts, choices, strict=True) for choice in row]
        tokens = self._tokenize(texts, padding=padding, max_length=max_length)
        if choices is not None:
            tokens = {name: tensor.unflatten(0, (-1, len(choices[0]))) for name, tensor in tokens.items()}
        if grouped:
            tokens["texts_per_video"] = torch.tensor(counts)
        return tokens

    def _tokenize(self, texts: list[str], *, padding: bool | str, max_length: int | None) -> dict[str, torch.Tensor]:
        # A tokenizer made from a vocabulary alone knows no limit; BERT's has always been 512.
        limit = max_length or self.max_text_length or min(self.tokenizer.model_max_length, 512)
        tokens = self.tokenizer(
            texts,
            padding=padding,
            truncation=True,
            max_length=limit,
            return_overflowing_tokens=True,
            return_token_type_ids=False,
            return_attention_mask=True,
        )
        # A text that is too long comes back in several pieces; the first of them is the text, cut.
        text_of_piece = tokens["overflow_to_sample_mapping"]
        first_pieces = [text_of_piece.index(text) for text in range(len(texts))]
        if len(text_of_piece) > len(texts):
            logger.warning_once(f"texts longer than {limit} tokens are cut to that length")
        return {
            name: torch.tensor([tokens[name][piece] for piece in first_pieces])
            for name in ("input_ids", "attention_mask")
        }

    @property
    def model_input_names(self) -> list[str]:
        """What the models take from the output."""
        return ["pixel_values_videos", "input_ids", "attention_mask", "texts_per_video"]


def _check_texts(texts: Sequence[Any], name: str) -> None:
    if not texts:
        raise InvalidInputError(f"{name} must hold at least one text; got none")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputError(f"{name} must be text that is not empty; got {text!r} at position {index}")


def _check_choices(choices: Sequence[Sequence[str]], *, questions: int) -> list[list[str]]:
    rows = [choices] if all(isinstance(row, str) for row in choices) else choices
    lists = [[row] if isinstance(row, str) else [str(one) for one in row] for row in rows]
    counts = {len(row) for row in lists}
    if len(lists) != questions or len(counts) != 1:
        raise InvalidInputError(
            f"choices must be one list for each of {questions} questions, all of one length; "
            f"got lists of lengths {[len(row) for row in lists]}"
        )
    for row in lists:
        _check_texts(row, "choices")
    return lists
