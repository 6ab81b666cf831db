"""Videos and texts to what the models take: the video processor and the tokenizer together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, BatchFeature, BertTokenizer, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import Unpack
from transformers.utils import logging

from ..errors import InvalidInputError
from ..video.sources import list_images, list_videos
from .hub_code_clipbert import PROCESSOR_AUTO_MAP, add_model_code, saving_repository
from .pretrained_parts_clipbert import pixel_statistics
from .processing_options_clipbert import ClipBertProcessorKwargs, options_of_images, split_options, tensors
from .video_processing_clipbert import ClipBertVideoProcessor

logger = logging.get_logger(__name__)

# What a tokenizer may have been made with that holds for each call.
_TOKENIZER_DEFAULTS = frozenset({"padding", "truncation", "max_length", "padding_side", "pad_to_multiple_of"})


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

    valid_processor_kwargs = ClipBertProcessorKwargs

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

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Write the processor and, beside it, the code with which the Hub loads it.

        Args:
            save_directory: The folder.
            push_to_hub: Upload it too.
            **kwargs: As in transformers.

        Returns:
            The files of JSON.
        """
        with saving_repository(save_directory):
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the JSON file; no code, unless ``save_pretrained`` does so."""
        add_model_code(json_file_path)
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
        images: Any = None,
        **kwargs: Unpack[ClipBertProcessorKwargs],
    ) -> BatchFeature:
        """Prepare inputs for a model.

        Args:
            text: A question or caption, or a list with one for each video; or a list of texts for each video.
            videos: A video or several: whatever the video processor reads. A flat list of images is the frames of
                one video.
            choices: For multiple choice: the choices of each question, the same number for all.
            images: In place of videos: an image or several, each a clip of one frame.
            **kwargs: Options of the tokenizer (``padding``, by default to the longest; ``max_length`` in place of
                ``max_text_length``; ``truncation=False``; …) and of the video processor (``num_clips``,
                ``num_frames``, ``sampling_strategy``; …), as they are or in ``text_kwargs``, ``videos_kwargs``,
                ``images_kwargs`` and ``common_kwargs``. ``return_tensors`` is ``"pt"`` or ``"np"``.

        Returns:
            ``pixel_values_videos`` (videos, clips, frames, 3, H, W); ``input_ids`` and ``attention_mask``, (texts,
            tokens) or (questions, choices, tokens); ``texts_per_video`` (videos,) where texts came in lists.

        Raises:
            InvalidInputError: If there is nothing to prepare, a text is empty or is no text, texts and videos differ
                in number, the choices do not fit, or an option is given twice or has a value that is not for it.
            TypeError: If an option has an unknown name.
        """
        given = {"text": text, "images": images, "videos": videos}
        present = [name for name, value in given.items() if value is not None]
        if not present:
            raise InvalidInputError("give text, videos, images, or text and one of them; got neither")
        if images is not None and videos is not None:
            raise InvalidInputError("give videos or images; got both, whose clips have different numbers of frames")
        options = split_options(kwargs, present=present)
        groups = None if text is None else _group_texts(text)
        sources = list_images(images) if images is not None else None if videos is None else list_videos(videos)
        if groups is not None and sources is not None:
            _check_numbers(groups, sources, name=present[-1])
        data: dict[str, Any] = {}
        if groups is not None:
            data.update(self._prepare_text(groups, choices, options["text_kwargs"]))
        if images is not None:
            data.update(self._prepare_images(sources, options["images_kwargs"]))
        elif sources is not None:
            data.update(self.video_processor(sources, **options["videos_kwargs"]))
        return BatchFeature(data)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: ClipBERT answers questions, it does not chat.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("ClipBERT has no chat template; call the processor with text and videos")

    def _prepare_images(self, images: Any, options: dict[str, Any]) -> dict[str, Any]:
        one_frame = options_of_images(options) | {"num_clips": 1, "num_frames": 1, "return_metadata": True}
        data = self.video_processor(images, **one_frame)
        for place, about in enumerate(data["video_metadata"]):
            if about.total_num_frames != 1:
                raise InvalidInputError(
                    f"images must hold one picture each; number {place} holds {about.total_num_frames}: give it as "
                    "videos"
                )
        return {"pixel_values_videos": data["pixel_values_videos"]}

    def _prepare_text(
        self, groups: _Texts, choices: Sequence[Sequence[str]] | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        texts = groups.texts
        kind = options.pop("return_tensors", None)
        if choices is not None:
            choices = _check_choices(choices, questions=len(texts))
            texts = [f"{question} {choice}" for question, row in zip(texts, choices, strict=True) for choice in row]
        data = tensors(self._tokenize(texts, options), kind)
        if choices is not None:
            data = {name: rows.reshape(len(choices), -1, *rows.shape[1:]) for name, rows in data.items()}
        if groups.counts is not None:
            data |= tensors({"texts_per_video": groups.counts}, kind)
        return data

    def _tokenize(self, texts: list[str], options: dict[str, Any]) -> dict[str, list[Any]]:
        """Tokenize, with the call's options before the tokenizer's own and those before this processor's."""
        own = {name: value for name, value in self.tokenizer.init_kwargs.items() if name in _TOKENIZER_DEFAULTS}
        # A tokenizer made from a vocabulary alone knows no limit; BERT's has always been 512.
        limit = self.max_text_length or own.get("max_length") or min(self.tokenizer.model_max_length, 512)
        settings = {
            **{"padding": True, "truncation": True, "return_attention_mask": True, "return_token_type_ids": False},
            **own,
            **{"max_length": limit},
            **{name: value for name, value in options.items() if value is not None},
        }
        cuts = settings["truncation"] not in (False, "do_not_truncate")
        if not cuts and settings["padding"] != "max_length":
            settings["max_length"] = None  # nothing is as long as that on purpose
        tokens = self.tokenizer(texts, return_overflowing_tokens=cuts, **settings)
        if not cuts:
            return dict(tokens)
        # A text that is too long comes back in several pieces; the first of them is the text, cut.
        text_of_piece = tokens.pop("overflow_to_sample_mapping")
        first_pieces = [text_of_piece.index(text) for text in range(len(texts))]
        if len(text_of_piece) > len(texts):
            logger.warning_once(f"texts longer than {settings['max_length']} tokens are cut to that length")
        return {name: [rows[piece] for piece in first_pieces] for name, rows in tokens.items()}

    @property
    def model_input_names(self) -> list[str]:
        """What the models always take from the output; ``texts_per_video`` as well where texts came in lists."""
        return ["pixel_values_videos", "input_ids", "attention_mask"]


class _Texts(NamedTuple):
    """Texts in one list, and how many of them belong to each video where they came in lists."""

    texts: list[str]
    counts: list[int] | None


def _group_texts(text: Any) -> _Texts:
    texts: list[Any] = [text] if isinstance(text, str) else list(text)
    counts = None
    if texts and all(isinstance(group, (list, tuple)) for group in texts):
        counts = [len(group) for group in texts]
        texts = [one for group in texts for one in group]
    _check_texts(texts, "text")
    return _Texts(texts, counts)


def _check_numbers(groups: _Texts, sources: Sequence[Any], *, name: str) -> None:
    """Texts belong to videos by their place; pairing anything else would be a guess."""
    texts, videos = len(groups.texts if groups.counts is None else groups.counts), len(sources)
    if texts == videos:
        return
    if groups.counts is not None:
        raise InvalidInputError(f"text must hold one list for each of {videos} {name}; got {texts} lists")
    advice = f"several texts of a video are a list in the list: text=[[…], …], one list for each of the {name}"
    first = sources[0]
    if name == "videos" and videos == 1 and isinstance(first, (list, tuple)) and len(first) == texts:
        advice = f"the {texts} frames are one video; where each is an image of its own, give images=, or else {advice}"
    raise InvalidInputError(f"text must hold one text for each of {videos} {name}; got {texts} texts: {advice}")


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
