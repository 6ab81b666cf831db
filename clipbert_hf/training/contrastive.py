"""The contrastive loss of all samples of a step, of all micro-batches and processes, as that of one large batch.

The loss compares every text of a step with every video, so it is no sum over micro-batches. Gradient caching (Gao et
al., 2021) makes it one: all micro-batches are embedded without a graph, the loss and its gradient by the vectors are
taken over all of them, and each micro-batch is then embedded again, with a graph, to carry its vectors' gradients back.
A step of one micro-batch is embedded once. Vectors of other processes are constants in each, as their own gradients
come from there.

Shapes: P texts, M tokens, B videos, K clips a video, A captions a video, C numbers a vector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..model.contrastive_clipbert import ContrastivePooling, contrastive_loss, contrastive_similarity
from .data.captions import CaptionPool, caption_key
from .recipe import RecipeError, Settings, check_at_least, setting

KEY, STEP = "contrastive", "contrastive_step"  # of a batch: what is true of what; the step that it is part of


@dataclass(kw_only=True)
class ContrastiveSettings(Settings):
    """Of a contrastive head, if the model has one: model.contrastive_size."""

    contrastive_weight: float = setting(1.0, "of the contrastive loss, which is over all samples of a step")
    matching_weight: float = setting(1.0, "of the losses without the contrastive head; 0: that alone trains")

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"contrastive_weight": 0, "matching_weight": 0})
        if not self.contrastive_weight + self.matching_weight:
            raise RecipeError("contrastive_weight and matching_weight are both 0: there is nothing to learn")


def trains_contrastive(model: Any, settings: ContrastiveSettings) -> bool:
    """Whether a run trains a contrastive head; what gets no gradient under these settings is frozen.

    Args:
        model: For retrieval or pre-training, not prepared yet.
        settings: Of the run.

    Raises:
        RecipeError: If only that head is to train, and there is none.
    """
    if model.contrastive is None:
        if not settings.matching_weight:
            raise RecipeError("matching_weight 0 trains a contrastive head alone: give the model a contrastive_size")
        return False
    if not settings.contrastive_weight:
        model.contrastive.requires_grad_(False)
    if not settings.matching_weight:
        for name, part in model.named_children():
            if name not in (model.base_model_prefix, "contrastive"):
                part.requires_grad_(False)
        model.clipbert.pooler.requires_grad_(False)
    return bool(settings.contrastive_weight)


def contrastive_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Those of a batch's inputs that a contrastive head alone asks for."""
    names = ("contrastive_input_ids", "contrastive_attention_mask", "pixel_values_videos", "grid_features")
    return {name: inputs[name] for name in names if name in inputs}


def caption_number(key: str) -> int:
    """A caption's key as a number, so that batches of tensors tell which captions say the same."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def contrastive_part(samples: Sequence[dict[str, Any]], pool: CaptionPool) -> tuple[list[str], dict[str, torch.Tensor]]:
    """What a contrastive loss asks of a batch.

    Args:
        samples: One a video, with its captions in ``rows``.
        pool: Says which captions are true of a video.

    Returns:
        The texts, and ``video_of_text`` (P,), ``captions`` (P,), the number of each, and ``true`` (B, A), the numbers
        of all captions that are true of a video, filled up with -1.
    """
    texts = [row["caption"] for sample in samples for row in sample["rows"]]
    counts = torch.tensor([len(sample["rows"]) for sample in samples])
    true = [[caption_number(key) for key in pool.true_keys(sample["rows"][0]["video"])] for sample in samples]
    most = max(map(len, true))
    return texts, {
        "video_of_text": torch.arange(len(samples)).repeat_interleave(counts),
        "captions": torch.tensor([caption_number(caption_key(text)) for text in texts]),
        "true": torch.tensor([row + [-1] * (most - len(row)) for row in true]),
    }


@dataclass
class _Piece:
    """The vectors of a micro-batch, or of several one after the other, and what is true of what."""

    texts: torch.Tensor  # (P, M, C)
    kept: torch.Tensor  # (P, M)
    clips: torch.Tensor  # (B, K, C)
    video_of_text: torch.Tensor
    captions: torch.Tensor
    true: torch.Tensor

    @classmethod
    def of(cls, output: Any, batch: dict[str, Any]) -> _Piece:
        """From what the model gives for a batch; without a graph. Frames that came as videos of one clip are joined."""
        clips = output.clip_embeds.reshape(len(batch[KEY]["true"]), -1, output.clip_embeds.shape[-1])
        vectors = (output.text_embeds, output.text_embeds_mask, clips)
        return cls(*(each.detach() for each in vectors), **batch[KEY])

    @classmethod
    def join(cls, pieces: Sequence[_Piece]) -> _Piece:
        """Several as one; the places of videos go on from one to the next."""
        firsts = torch.tensor([0, *(len(each.clips) for each in pieces[:-1])]).cumsum(0).tolist()
        columns: dict[str, torch.Tensor] = {}
        for field in fields(cls):
            some = [getattr(each, field.name) for each in pieces]
            if field.name == "video_of_text":
                some = [places + first for places, first in zip(some, firsts, strict=True)]
            columns[field.name] = torch.cat(_to_one_width(some, fill=-1 if field.name == "true" else 0))
        return cls(**columns)

    @property
    def matches(self) -> torch.Tensor:
        """Which texts are true of which videos, (P, B)."""
        return (self.captions[:, None, None] == self.true).any(-1)


class ContrastiveStep:
    """The contrastive loss of a step.

    Args:
        accelerator: Of the run.
        pooling: Of the model.
        batches: The micro-batches; each learns of its step, for the task's ``loss``.
    """

    def __init__(
        self, accelerator: Accelerator, pooling: ContrastivePooling, batches: Sequence[dict[str, Any]]
    ) -> None:
        self.accelerator, self.pooling = accelerator, pooling
        self._shares: list[_Share] = []
        self._states: list[_GeneratorStates] = []
        for place, batch in enumerate(batches):
            batch[STEP] = (self, place)

    def embed_ahead(
        self, model: nn.Module, batches: Sequence[dict[str, Any]], embed: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Embed several micro-batches without a graph, and take the loss of all.

        Args:
            model: Which embeds; its batch statistics stay as they are.
            batches: The micro-batches.
            embed: What the model gives for the texts and videos of one.
        """
        pieces, scale = [], None
        with torch.no_grad(), _kept_statistics(model), self.accelerator.autocast():
            for batch in batches:
                self._states.append(_GeneratorStates(self.accelerator.device))
                output = embed(batch)
                pieces.append(_Piece.of(output, batch))
                scale = output.contrastive_scale
        assert scale is not None  # there is a micro-batch
        self._shares = self._take_loss(pieces, scale)

    def replay(self, place: int) -> None:
        """Let a micro-batch that was embedded before be embedded alike: with the same dropout."""
        if self._states:
            self._states[place].restore()

    def loss(self, place: int, output: Any, batch: dict[str, Any]) -> torch.Tensor:
        """A micro-batch's part of the loss: its value is the mean over its own texts, its gradient that of the step.

        Args:
            place: Of the micro-batch in the step.
            output: What the model gives for it.
            batch: The micro-batch.
        """
        if not self._shares:
            self._shares = self._take_loss([_Piece.of(output, batch)], output.contrastive_scale)
        return self._shares[place].carry_back(output)

    def _take_loss(self, pieces: list[_Piece], scale: torch.Tensor) -> list[_Share]:
        own = _Piece.join(pieces)
        with torch.enable_grad(), torch.autocast(self.accelerator.device.type, enabled=False):
            leaves = [each.detach().clone().requires_grad_() for each in (own.texts, own.clips, scale)]
            own.texts, own.clips = leaves[:2]
            everything, mine = _of_all_processes(self.accelerator, own)
            similarity = contrastive_similarity(
                everything.texts, everything.kept, everything.clips, pooling=self.pooling
            )
            losses = contrastive_loss(similarity, everything.video_of_text, everything.matches, leaves[2])
            of_texts, of_clips, of_scale = torch.autograd.grad(losses.mean(), leaves)
        own_losses, shares, text, video = losses.detach()[mine], [], 0, 0
        for piece in pieces:
            texts = slice(text, text + len(piece.texts))
            gradients = of_texts[texts, : piece.texts.shape[1]], of_clips[video : video + len(piece.clips)], of_scale
            shares.append(_Share(own_losses[texts].mean(), *gradients, share=len(piece.texts) / len(losses)))
            text, video = texts.stop, video + len(piece.clips)
        return shares


@dataclass
class _Share:
    """What a step's loss says to a micro-batch."""

    value: torch.Tensor
    of_texts: torch.Tensor
    of_clips: torch.Tensor
    of_scale: torch.Tensor
    share: float  # of the step's texts

    def carry_back(self, output: Any) -> torch.Tensor:
        """A scalar of this value. The loop weighs it by its share of the texts, which its gradient has already."""
        clips = output.clip_embeds.reshape(self.of_clips.shape)
        carried = (output.text_embeds * self.of_texts).sum() + (clips * self.of_clips).sum()
        carried = carried / self.share + (output.contrastive_scale * self.of_scale).sum()
        return self.value + carried - carried.detach()


class ContrastiveLoss:
    """What a task whose batches have a contrastive part tells the loop of it.

    Args:
        settings: How the head trains.
    """

    def __init__(self, settings: ContrastiveSettings) -> None:
        self.settings = settings

    def begin_step(self, accelerator: Any, model: nn.Module, batches: list[Any], finish: Callable[[Any], Any]) -> None:
        """See :func:`clipbert_hf.training.evaluation.begin_step`.

        Args:
            accelerator: Of the run.
            model: As accelerate has prepared it.
            batches: The micro-batches of a step.
            finish: Makes of one what the task's ``loss`` gets.
        """
        bare: Any = getattr(model, "module", model)
        step = ContrastiveStep(accelerator, bare.config.contrastive_pooling, batches)
        if len(batches) > 1:
            step.embed_ahead(model, batches, lambda batch: model(**contrastive_inputs(finish(batch)["inputs"])))

    def forward(self, model: nn.Module, batch: dict[str, Any], **inputs: Any) -> tuple[Any, torch.Tensor]:
        """What a model gives for a batch, and the weighted loss of its contrastive part.

        Args:
            model: As accelerate has prepared it.
            batch: A micro-batch of the step that has begun.
            **inputs: Of the model.
        """
        step, place = batch[STEP]
        step.replay(place)
        output = model(**inputs)
        return output, self.settings.contrastive_weight * step.loss(place, output, batch)


def _of_all_processes(accelerator: Accelerator, own: _Piece) -> tuple[_Piece, slice]:
    """The pieces of all processes as one, in which those of others are constants; and where the own texts stand."""
    if accelerator.num_processes == 1:
        return own, slice(0, len(own.texts))
    sizes = torch.tensor([[len(own.texts), len(own.clips)]], device=accelerator.device)
    counts = cast("torch.Tensor", accelerator.gather(sizes)).tolist()
    columns = {
        field.name: _gather_rows(accelerator, getattr(own, field.name), fill=-1 if field.name == "true" else 0)
        for field in fields(own)
    }
    pieces = []
    for process, (texts, videos) in enumerate(counts):
        numbers = {name: videos if name in ("clips", "true") else texts for name in columns}
        pieces.append(_Piece(**{name: rows[process][: numbers[name]] for name, rows in columns.items()}))
    here = accelerator.process_index
    pieces[here] = own
    first = sum(texts for texts, _ in counts[:here])
    return _Piece.join(pieces), slice(first, first + len(own.texts))


def _gather_rows(accelerator: Accelerator, rows: torch.Tensor, *, fill: int) -> torch.Tensor:
    """Rows of all processes, (processes, most rows, …), those that some lack filled up."""
    dtype = rows.dtype
    # accelerate turns booleans into integers where it fills up, and only there.
    rows = rows.detach().to(torch.uint8 if dtype == torch.bool else dtype)
    for dim in range(min(rows.ndim, 2)):
        rows = accelerator.pad_across_processes(rows, dim=dim, pad_index=fill)
    gathered = cast("torch.Tensor", accelerator.gather(rows))
    return gathered.unflatten(0, (accelerator.num_processes, -1)).to(dtype)


def _to_one_width(tensors: list[torch.Tensor], *, fill: int) -> list[torch.Tensor]:
    """Fill up the second dimension, so that they can be joined along the first."""
    if tensors[0].ndim < 2:
        return tensors
    most = max(each.shape[1] for each in tensors)
    rest = [0, 0] * (tensors[0].ndim - 2)
    return [nn.functional.pad(each, [*rest, 0, most - each.shape[1]], value=fill) for each in tensors]


class _GeneratorStates:
    """Where the generators stand from which dropout and the like are drawn."""

    def __init__(self, device: torch.device) -> None:
        self.cpu, self.device = torch.get_rng_state(), device
        self.of_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        """Let them stand there again."""
        torch.set_rng_state(self.cpu)
        if self.of_device is not None:
            torch.cuda.set_rng_state(self.of_device, self.device)


@contextmanager
def _kept_statistics(model: nn.Module) -> Iterator[None]:
    """What batch norm notes in here is forgotten, since it is noted again with the graph."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    kept = [{name: buffer.clone() for name, buffer in module.named_buffers()} for module in norms]
    try:
        yield
    finally:
        for module, buffers in zip(norms, kept, strict=True):
            for name, buffer in module.named_buffers():
                buffer.copy_(buffers[name])


__all__ = [
    "KEY",
    "STEP",
    "ContrastiveLoss",
    "ContrastiveSettings",
    "ContrastiveStep",
    "contrastive_inputs",
    "contrastive_part",
    "trains_contrastive",
]
