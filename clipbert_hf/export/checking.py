"""Exported files beside PyTorch, on videos and texts as the processor makes them, in several sizes.

Shapes: N texts, M tokens, B videos, K clips a video, T frames a clip, V visual tokens, D hidden size, P pairs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from datasets_scripts.moving_shapes.rendering import render_frames
from datasets_scripts.moving_shapes.scenes import plan_split, video_generator
from datasets_scripts.moving_shapes.text import retrieval_rows

from ..errors import InvalidInputError
from ..model.processing_clipbert import ClipBertProcessor
from .graphs import Part, Tensors
from .runtimes import Runner

# (videos, clips, frames), and (texts, videos, clips, pairs): what is traced, and others, with sizes of 1 among them.
_VISION_SIZES = ((2, 2, 2), (1, 1, 1), (1, 2, 3), (2, 1, 1))
_PAIR_SIZES = ((3, 2, 2, 4), (1, 1, 1, 1), (2, 2, 1, 3), (3, 1, 2, 3))


@dataclass(frozen=True)
class RealInputs:
    """Videos and texts to trace and to check with.

    Args:
        processor: Of the model.
        videos: At least two; whatever the processor takes.
        texts: At least three, of different lengths.
    """

    processor: ClipBertProcessor
    videos: Sequence[Any]
    texts: Sequence[str]

    def for_vision(self) -> list[Tensors]:
        """Inputs of the vision part: some to trace it with, then some of other sizes."""
        return [{"pixel_values": self._clips(*sizes).flatten(0, 1)} for sizes in _VISION_SIZES]

    @torch.no_grad()
    def for_pairs(self, vision: Part) -> list[Tensors]:
        """Inputs of the pair scorer, with the visual tokens that a model's vision part makes of the videos."""
        made: list[Tensors] = []
        for texts, videos, clips, pairs in _PAIR_SIZES:
            pixels = self._clips(videos, clips, 1)
            tokens = vision.graph(pixel_values=pixels.flatten(0, 1))["visual_tokens"]
            if not made:
                # A token more: an axis of size 1 would be traced as a constant, and the others have as many as videos.
                tokens = torch.cat([tokens, tokens[:, :1]], dim=1)
            encoded = self.processor(text=list(self.texts[:texts]))
            places = torch.cartesian_prod(torch.arange(texts), torch.arange(videos)).view(-1, 2)[:pairs]
            made.append(
                {
                    "input_ids": encoded["input_ids"],
                    "attention_mask": encoded["attention_mask"],
                    "visual_tokens": tokens.unflatten(0, (videos, clips)),
                    "pairs": places,
                }
            )
        return made

    def _clips(self, videos: int, clips: int, frames: int) -> torch.Tensor:
        options: dict[str, Any] = {"num_clips": clips, "num_frames": frames, "pixel_dtype": "float32"}
        return self.processor(videos=list(self.videos[:videos]), **options)["pixel_values_videos"]


def drawn_inputs(processor: ClipBertProcessor) -> RealInputs:
    """Two videos of the embedded data set, drawn in memory, with captions of one, two and three scenes."""
    plans = [
        plan for scenes in (1, 2, 3) for plan in plan_split(split="test", count=1, seed=0, scenes=(scenes, scenes))
    ]
    texts = []
    for plan in plans:
        generator = video_generator(seed=0, split="test", number=plan.number, purpose="retrieval")
        texts.append(str(retrieval_rows(plan, generator, captions=1)[0]["caption"]))
    return RealInputs(processor, [render_frames(plan, seed=0) for plan in plans[1:]], texts)


@dataclass(frozen=True)
class Comparison:
    """An exported part beside PyTorch.

    Args:
        largest_difference: Of any number of any output, in any of the sizes.
        of_output: The same for each output.
        ratio: Seconds of PyTorch for each of the exported part, on the inputs that were traced.
    """

    largest_difference: float
    of_output: dict[str, float]
    ratio: float


@torch.no_grad()
def compare(part: Part, run: Runner, inputs: Sequence[Tensors], *, repeats: int = 3) -> Comparison:
    """Run both on the same inputs.

    Args:
        part: In PyTorch.
        run: The exported part.
        inputs: Of several sizes.
        repeats: How often each is timed, in turn; the shortest counts.

    Raises:
        InvalidInputError: If an output has another shape.
    """
    differences: dict[str, float] = {}
    for given in inputs:
        wanted, got = part.graph(**given), run(given)
        for name, each in wanted.items():
            if got[name].shape != each.shape:  # which a difference would hide by broadcasting
                raise InvalidInputError(
                    f"{part.name}: the exported {name} has shape {tuple(got[name].shape)}; PyTorch gives "
                    f"{tuple(each.shape)}"
                )
            differences[name] = max(differences.get(name, 0.0), float((got[name] - each).abs().max()))
    seconds: dict[str, list[float]] = {"torch": [], "exported": []}
    for _ in range(repeats):
        for name, call in (("torch", lambda: part.graph(**inputs[0])), ("exported", lambda: run(inputs[0]))):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return Comparison(max(differences.values()), differences, min(seconds["torch"]) / min(seconds["exported"]))
