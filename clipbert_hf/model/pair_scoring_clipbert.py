"""Scores of many pairs of a text and a video, in evaluation mode: what ``forward`` computes, without doing it twice.

A video passes the CNN once, and is kept as the visual tokens of its clips. Texts of equal length are scored together,
so that nothing is padded and nothing masked; see also the module of the prepared encoder.

Shapes: N texts, M tokens, B videos, K clips a video, L labels, P pairs of a text and a video.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from ..errors import InvalidInputError
from .encoded_videos_clipbert import EncodedVideos, find_distinct_clips
from .folded_backbone_clipbert import prepare_backbone
from .inputs_clipbert import check_rank, check_text_inputs, check_visual_inputs
from .losses_clipbert import at_least_fp32
from .modeling_clipbert import (
    ClipBertClipScorer,
    ScoreAggregation,
    aggregate_clip_logits,
    calibrate_logits,
)
from .prepared_encoder_clipbert import (
    PlainEncoder,
    PreparedEncoder,
    is_unhooked,
    why_unprepared,
    why_unusual_weights,
)

_TEXTS_AT_ONCE = 512  # whose projections for the first layer are kept
_FRAMES_AT_ONCE = 16
_SIZES = {"cpu": (16, 32, 64, 128), "cuda": (128, 256, 512, 1024)}


@dataclass
class ClipBertPairsOutput(ModelOutput):
    """Scores of pairs; the first dimensions are (N, B), or (P,) where pairs were named.

    Args:
        logits: Aggregated over clips, (…, L).
        clip_logits: Of each clip, (…, K, L).
        scores: What the task compares: the probability of a match, (…); the logit of a choice, (…); the number of a
            regression, (…); the probabilities of answers, (…, L).
    """

    logits: torch.Tensor | None = None
    clip_logits: torch.Tensor | None = None
    scores: torch.Tensor | None = None


class ClipBertPairScorer:
    """Scores pairs with a model of any task, as its ``forward`` does in evaluation mode.

    It keeps a copy of the weights of CNN and encoder, laid out for inference, and makes it anew whenever those of the
    model have changed. A model whose layers are others than usual (adapters, quantised weights, hooks) is run as it is.

    Args:
        model: Of a task. It is left as it is.
        dtype: In which CNN and encoder compute: by default the type of autocast where it is on, else the model's.
        pairs_at_once: How many pairs of a text and a clip pass the encoder together; None: the fastest of a few
            numbers, found on the first pairs. With a number, the same call gives the same bits again.
        compiled: Whether ``torch.compile`` makes one graph of the encoder, with the first pairs. Meant for
            accelerators: on a CPU its products are slower than those with packed weights, which it cannot take.

    Raises:
        InvalidInputError: If the model has no head, ``pairs_at_once`` is not positive, float16 is asked for on a CPU,
            or ``compiled`` of an encoder that has to be run as it is.

    Example:
        >>> scorer = ClipBertPairScorer(model)  # doctest: +SKIP
        >>> videos = scorer.encode_videos(processor(videos=["bikes.mp4"])["pixel_values_videos"])  # doctest: +SKIP
        >>> scorer.score_pairs(**processor(text=["a bike", "a car"]), videos=videos).scores.shape  # doctest: +SKIP
        torch.Size([2, 1])
    """

    def __init__(
        self,
        model: ClipBertClipScorer,
        *,
        dtype: torch.dtype | None = None,
        pairs_at_once: int | None = None,
        compiled: bool = False,
    ) -> None:
        if not is_kind(model, "ClipBertClipScorer"):
            raise InvalidInputError(f"model must be one with a head, such as for retrieval; got {type(model).__name__}")
        if pairs_at_once is not None and pairs_at_once < 1:
            raise InvalidInputError(f"pairs_at_once must be at least 1; got {pairs_at_once}")
        if dtype == torch.float16 and model.device.type == "cpu":
            raise InvalidInputError("dtype float16 is for accelerators; on a CPU give bfloat16 or float32")
        self.model, self.dtype, self.compiled = model, dtype, compiled
        self._size = BlockSize(pairs_at_once, model.device)
        self._prepared: _Prepared | None = None
        self._state: Any = None

    @property
    def plain_because(self) -> str | None:
        """Why the encoder is run as it is, or None where its weights are laid out for inference."""
        return self._current().plain_because

    @property
    def current_dtype(self) -> torch.dtype:
        """In which CNN and encoder compute here and now."""
        return self.dtype or _ambient_dtype(self.model)

    @torch.inference_mode()
    def encode_videos(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_indices: torch.Tensor | None = None,
        *,
        grid_features: torch.Tensor | None = None,
    ) -> EncodedVideos:
        """Run the CNN and embed its features, once for any number of texts.

        Args:
            pixel_values_videos: (B, K, T, 3, H, W).
            frame_indices: (B, K, T), which frame of its video each frame is, as the video processor tells with
                ``return_metadata=True``. Frames and clips that occur twice are then computed once.
            grid_features: (B, K, T, R, C, D), instead of pixels.

        Raises:
            InvalidInputError: If a shape is wrong, or the model is in training mode.
        """
        check_visual_inputs(pixel_values_videos, grid_features)
        prepared = self._current()
        visual = pixel_values_videos if grid_features is None else grid_features
        assert visual is not None  # check_visual_inputs made sure of it
        distinct = find_distinct_clips(visual.shape[:3], frame_indices)
        frames = visual.flatten(0, 2)[distinct.frames.to(visual.device)]
        base = self.model.clipbert
        with prepared.arithmetic():
            if grid_features is None:
                grids = torch.cat([prepared.grid(some) for some in frames.split(_FRAMES_AT_ONCE)])
            else:
                grids = frames.to(self.model.device)
            fused = base.temporal_fusion(grids[distinct.clips.to(grids.device)].to(prepared.weights_dtype))
            tokens = base.visual_embeddings(fused)
        return EncodedVideos(tokens.to(prepared.dtype), distinct.clip_places)

    @torch.inference_mode()
    def score_pairs(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        videos: EncodedVideos,
        pairs: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        on_pairs: Callable[[int], None] | None = None,
    ) -> ClipBertPairsOutput:
        """Score texts against videos.

        Args:
            input_ids: (N, M); for multiple choice one text a choice.
            attention_mask: (N, M), 0 at padding, wherever it is.
            videos: Of :meth:`encode_videos`.
            pairs: (P, 2), places of texts and of videos; None: every text with every video.
            token_type_ids: (N, M), by default 0.
            on_pairs: Told after each block how many pairs of a text and a clip it had.

        Raises:
            InvalidInputError: If a shape or an index is wrong, the mask hides the first token of a text, or the model
                is in training mode.
        """
        prepared = self._current()
        texts = _Texts(self.model, input_ids, attention_mask, token_type_ids)
        every_pair = pairs is None
        pairs = named_or_all_pairs(pairs, texts=len(input_ids), videos=len(videos))
        # Pairs of a text and a clip, each once: equal clips of a video have equal logits.
        clips = len(videos.tokens)
        numbers = pairs[:, :1] * clips + videos.clip_places[pairs[:, 1]]  # (P, K)
        distinct, places = numbers.unique(return_inverse=True)
        of_distinct: torch.Tensor | None = None
        with prepared.arithmetic():
            for chosen, logits in self._blocks(prepared, texts, distinct // clips, distinct % clips, videos, on_pairs):
                if of_distinct is None:
                    of_distinct = logits.new_empty(len(distinct), logits.shape[-1])
                of_distinct[chosen.to(logits.device)] = logits
        if of_distinct is None:
            raise InvalidInputError(
                f"there must be at least one pair; got {len(input_ids)} texts, {len(videos)} videos"
            )
        clip_logits = of_distinct[places.to(of_distinct.device)]  # (P, K, L)
        aggregation = cast("ScoreAggregation", self.model.config.score_aggregation)
        logits = aggregate_clip_logits(clip_logits, aggregation)
        if every_pair:
            shape = (len(input_ids), len(videos))
            logits, clip_logits = logits.unflatten(0, shape), clip_logits.unflatten(0, shape)
        return ClipBertPairsOutput(logits=logits, clip_logits=clip_logits, scores=scores_of(self.model, logits))

    def _blocks(
        self,
        prepared: _Prepared,
        texts: _Texts,
        text_of_pair: torch.Tensor,
        clip_of_pair: torch.Tensor,
        videos: EncodedVideos,
        on_pairs: Callable[[int], None] | None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Which pairs, which ascend in their texts, a block holds, and their logits."""
        encoder, head = prepared.encoder, head_of(self.model)
        tokens = videos.tokens.to(self.model.device, prepared.dtype)
        visual = encoder.first_layer(tokens)
        for some, states in texts.of_equal_length(text_of_pair.unique()):
            textual = encoder.first_layer(states.to(prepared.dtype))
            place = torch.full((texts.number,), -1)
            place[some] = torch.arange(len(some))
            todo = (place[text_of_pair] >= 0).nonzero().squeeze(1)
            while len(todo):
                size = self._size.next()
                block, todo = todo[:size], todo[size:]
                start = time.perf_counter()
                rows, columns = (each.to(tokens.device) for each in (place[text_of_pair[block]], clip_of_pair[block]))
                joined = [torch.cat([a[rows], b[columns]], dim=1) for a, b in zip(textual, visual, strict=True)]
                logits = head(self._pool(prepared.first_token(*joined)))
                self._size.note(size, len(block), joined[0].shape[1], start)
                if on_pairs is not None:
                    on_pairs(len(block))
                yield block, at_least_fp32(logits)

    def _pool(self, first_states: torch.Tensor) -> torch.Tensor:
        pooler = self.model.clipbert.pooler
        return pooler(first_states.to(next(pooler.parameters()).dtype)[:, None])

    def _current(self) -> _Prepared:
        """The weights laid out, made anew if those of the model, or the arithmetic asked for, have changed.

        Raises:
            InvalidInputError: If the model is in training mode, where dropout would change each score.
        """
        if self.model.training:
            raise InvalidInputError("pairs are scored in evaluation mode: call model.eval()")
        dtype = self.current_dtype
        state = (dtype, _fingerprint(self.model.clipbert))
        if self._prepared is None or state != self._state:
            self._prepared = None  # before the next copy is made
            self._prepared, self._state = _Prepared(self.model, dtype, compiled=self.compiled), state
        return self._prepared


class _Prepared:
    """CNN and encoder for one state of the weights."""

    def __init__(self, model: ClipBertClipScorer, dtype: torch.dtype, *, compiled: bool) -> None:
        base = model.clipbert
        self.dtype, self.weights_dtype, self.device = dtype, model.dtype, model.device
        self.plain_because = why_unprepared(base.encoder)
        self.encoder: PreparedEncoder | PlainEncoder
        if self.plain_because is None:
            self.encoder = PreparedEncoder(base.encoder, dtype, packed=not compiled)
        elif compiled:
            raise InvalidInputError(f"compiled: the encoder has to be run as it is, since {self.plain_because}")
        else:
            self.encoder = PlainEncoder(base)
        self.first_token: Callable[..., torch.Tensor] = self.encoder.first_token
        if compiled:
            self.first_token = torch.compile(self.encoder.first_token, dynamic=True)
        backbone = base.grid_backbone
        can_copy = all(map(is_unhooked, backbone.modules())) and why_unusual_weights(backbone) is None
        self.backbone = prepare_backbone(backbone, dtype) if can_copy else None
        self.model = base

    def arithmetic(self) -> torch.autocast:
        """Types are chosen by hand where weights are laid out, and by autocast where the model runs as it is."""
        is_mixed = self.plain_because is not None and self.dtype != self.weights_dtype
        return torch.autocast(self.device.type, dtype=self.dtype if is_mixed else None, enabled=is_mixed)

    def grid(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 3, H, W) to grids (n, R, C, D)."""
        if self.backbone is None:
            frames = frames.to(self.device)
            return self.model.get_grid_features(frames[None, None])[0, 0]
        return self.backbone(frames.to(self.device, self.dtype, memory_format=torch.channels_last))


class _Texts:
    """Texts without their padding.

    Args:
        model: Which embeds them.
        input_ids: See :meth:`ClipBertPairScorer.score_pairs`.
        attention_mask: See there.
        token_type_ids: See there.
    """

    def __init__(
        self,
        model: ClipBertClipScorer,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
    ) -> None:
        check_text_inputs(input_ids, attention_mask, vocab_size=model.config.vocab_size)
        check_rank(token_type_ids, "token_type_ids", "texts, tokens")
        model.clipbert._check_text_length(input_ids)
        self.embed, self.device, self.number = model.clipbert.embeddings, model.device, len(input_ids)
        self.input_ids, self.token_type_ids = input_ids, token_type_ids
        self.kept = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        if not bool(self.kept[:, 0].all()):
            raise InvalidInputError("attention_mask must keep the first token of each text, which is what is scored")
        self.lengths = self.kept.sum(1).cpu()

    def of_equal_length(self, texts: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Places of texts of one length, (n,), and their embedded tokens (n, length, D); the longest texts first."""
        lengths = self.lengths[texts]
        for length in lengths.unique().flip(0).tolist():
            for some in texts[lengths == length].split(_TEXTS_AT_ONCE):
                kept = self.kept[some.to(self.kept.device)]
                # Tokens keep the positions that they had beside the padding.
                positions = kept.nonzero()[:, 1].view(-1, length)
                types = None if self.token_type_ids is None else self._take(self.token_type_ids, some, kept)
                states = self.embed(
                    input_ids=self._take(self.input_ids, some, kept).view(-1, length),
                    position_ids=positions.to(self.device),
                    token_type_ids=None if types is None else types.view(-1, length),
                )
                yield some, states

    def _take(self, tensor: torch.Tensor, texts: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return tensor[texts.to(tensor.device)][kept.to(tensor.device)].to(self.device)


class BlockSize:
    """How many pairs pass the encoder together: a number, or the fastest of a few, tried on the first blocks.

    Args:
        size: The number, or None.
        device: Of the model; numbers to try differ, and its work has to be waited for.
    """

    def __init__(self, size: int | None, device: torch.device) -> None:
        self.device = device
        sizes = _SIZES.get(device.type, _SIZES["cuda"])
        self.best = size
        # The first block also warms up, so its size is tried again.
        self.to_try = [] if size is not None else [sizes[0], *sizes]
        self.seconds: dict[int, float] = {}

    def next(self) -> int:
        """The size of the next block."""
        return self.best if self.best is not None else self.to_try[0]

    def note(self, size: int, pairs: int, tokens: int, start: float) -> None:
        """Note a block of so many pairs of so many tokens, begun at a time of ``perf_counter``; full ones count."""
        if self.best is not None or pairs < size:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[size] = (time.perf_counter() - start) / (pairs * tokens)
        self.to_try.pop(0)
        if not self.to_try:
            self.best = min(self.seconds, key=lambda each: self.seconds[each])


def scores_of(model: ClipBertClipScorer, logits: torch.Tensor) -> torch.Tensor:
    """What a task compares, from aggregated logits (…, L); see :class:`ClipBertPairsOutput`.

    Probabilities are calibrated; the logit of a choice and the number of a regression are as they are.
    """
    if is_kind(model, "ClipBertForMultipleChoice", "ClipBertForVideoRegression"):
        return logits.squeeze(-1)
    logits = calibrate_logits(logits, model.config)
    if is_kind(model, "ClipBertForVideoTextRetrieval") and model.config.retrieval_loss == "rank":
        return logits.squeeze(-1).sigmoid()
    if is_kind(model, "ClipBertForVideoTextRetrieval", "ClipBertForPreTraining"):
        return logits.softmax(-1)[..., 1]
    return logits.sigmoid() if model.config.problem_type == "multi_label_classification" else logits.softmax(-1)


def ranking_scores(logits: torch.Tensor) -> torch.Tensor:
    """What orders pairs as their scores do, but without the rounding of probabilities to 1: no ties that are none.

    Args:
        logits: Aggregated, (…, L): two of cross-entropy, or one of the rank loss or of a choice.
    """
    return logits[..., 1] - logits[..., 0] if logits.shape[-1] == 2 else logits.squeeze(-1)


def is_kind(model: nn.Module, *names: str) -> bool:
    """Whether a model is of a class of one of these names.

    By name, since a model with the code of its repository and one of the installed package have classes of their own.
    """
    return any(each.__name__ in names for each in type(model).__mro__)


def head_of(model: Any) -> nn.Module:
    """What scores the pooled [CLS] of each clip; of pre-training the head of image-text matching."""
    if is_kind(model, "ClipBertForPreTraining"):
        return model.cls.seq_relationship
    return model.regressor if is_kind(model, "ClipBertForVideoRegression") else model.classifier


def _ambient_dtype(model: ClipBertClipScorer) -> torch.dtype:
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype


def _fingerprint(module: nn.Module) -> list[tuple[int, int, str]]:
    """What changes when a weight is replaced or written to."""
    tensors = [*module.parameters(), *module.buffers()]
    return [(each.data_ptr(), 0 if each.is_inference() else each._version, str(each.device)) for each in tensors]


def named_or_all_pairs(pairs: torch.Tensor | None, *, texts: int, videos: int) -> torch.Tensor:
    """Check places of texts and of videos, (P, 2); of None make every text with every video. On the CPU.

    Raises:
        InvalidInputError: If the shape is another, or a place is outside.
    """
    if pairs is None:
        return torch.cartesian_prod(torch.arange(texts), torch.arange(videos)).view(-1, 2)
    check_rank(pairs, "pairs", "pairs, text and video")
    pairs = pairs.cpu()
    if pairs.shape[1] != 2 or bool(((pairs < 0) | (pairs >= torch.tensor([texts, videos]))).any()):
        raise InvalidInputError(
            f"pairs must hold places of {texts} texts and {videos} videos, (pairs, 2); got shape {tuple(pairs.shape)}"
            + (f" with {pairs.amin(0).tolist()} to {pairs.amax(0).tolist()}" if pairs.numel() else "")
        )
    return pairs


def class_to_score_with(config: PreTrainedConfig, folder_or_repo: object) -> type[ClipBertClipScorer]:
    """The class of the model with a head that a configuration was saved with.

    Args:
        config: Of the folder.
        folder_or_repo: Named in the error.

    Raises:
        InvalidInputError: If it is none of ours with a head.
    """
    name = (config.architectures or ["nothing"])[0]
    model_class = getattr(sys.modules[ClipBertClipScorer.__module__], name, None)
    if not (isinstance(model_class, type) and issubclass(model_class, ClipBertClipScorer)):
        raise InvalidInputError(f"{folder_or_repo} must hold a ClipBERT with a head; its config.json names {name}")
    return model_class


__all__ = ["ClipBertPairScorer", "ClipBertPairsOutput", "EncodedVideos"]
