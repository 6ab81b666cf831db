"""Clips of videos with what is asked about them: settings, samples, loaders, and pixels on their way to the device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ...model.processing_clipbert import ClipBertProcessor
from ...model.video_processing_clipbert import ClipBertVideoProcessor
from ..evaluation import adopt, predictions_of
from ..recipe import RecipeError, ScriptSettings, Settings, check_at_least, setting
from .loaders import create_loader
from .media import readable
from .row_tables import Row
from .rows import Groups, group_by_video, group_rows

if TYPE_CHECKING:
    from ..evaluation import Task
    from .grid_cache import CachedVideo, GridCache


def check_inference_clips(counts: Sequence[int]) -> None:
    """Check that the dense clips of the largest number hold those of every other one, so that one pass serves all.

    Raises:
        RecipeError: If not.
    """
    if not counts or min(counts) < 1 or any(max(counts) % count for count in counts):
        raise RecipeError(f"inference_clips must be numbers of at least 1 that divide the largest; got {list(counts)}")


def adds_single_clip(counts: Sequence[int], single_clip: str) -> bool:
    """Whether an evaluation reads one clip more than its largest number, after the dense ones.

    Dense clips of N are every (K / N)-th of those of K. A single clip is among these only where it is the first of
    them; where a task has it elsewhere in the video, it is read for itself and is no part of the others.

    Args:
        counts: The numbers of clips that the evaluation compares.
        single_clip: Where one clip lies; see :class:`ClipSamples`.

    Example:
        >>> adds_single_clip([1, 16], "middle"), adds_single_clip([1, 16], "dense"), adds_single_clip([1], "middle")
        (True, False, False)
    """
    return single_clip != "dense" and 1 in counts and max(counts) > 1


@dataclass(kw_only=True)
class ClipSettings(Settings):
    """How many clips of a video a model sees."""

    training_clips: int = setting(4, "clips of a video in training")
    training_sampling: Literal["random", "dense"] = setting(
        "random", "training clips are drawn at random, or lie densely as those of inference (paper, table 4)"
    )
    validation_clips: int = setting(4, "clips of a video in the evaluations during training")
    inference_clips: list[int] = field(
        default_factory=lambda: [16],
        metadata={"help": "numbers of clips of a video in the test; each divides the largest"},
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"training_clips": 1, "validation_clips": 1})
        check_inference_clips(self.inference_clips)


@dataclass(kw_only=True)
class QuestionSettings(ClipSettings):
    """Clips, and questions about them."""

    questions_per_video: int | None = setting(None, "most questions of a video in a training step; null: all")
    epoch_of: Literal["videos", "questions"] = setting(
        "videos", "an epoch has every video once, with questions drawn at random; or every question once"
    )
    text_only: bool = setting(False, "no video, in training and test: how far do the texts alone lead?")

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"questions_per_video": 1})

    def clips_seen(self, counts: list[int]) -> list[int]:
        """The numbers of clips that an evaluation with these tells apart: without a video all would be the same."""
        return [1] if self.text_only else counts


@dataclass(kw_only=True)
class QuestionTaskSettings(ScriptSettings, QuestionSettings):
    """What the recipes of tasks with questions hold."""

    calibration_rows: int | None = setting(
        5000,
        "validation questions on which, after training, the temperature is found that makes scores tell how often "
        "answers are right, with as many clips as the test has most; null: scores stay as they are",
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"calibration_rows": 1})

    @property
    def has_confidence(self) -> bool:
        """Whether answers come with probabilities, which can be calibrated."""
        return True


class ClipSamples:
    """Reads the clips of a video, and chooses among its rows.

    Args:
        processor: Of the model.
        clips: Clips a video; or the numbers of clips that an evaluation compares, of which the largest is read, and
            after these the single clip where :func:`adds_single_clip`.
        training: Whether clips are drawn at random, and rows chosen.
        training_sampling: Where training clips lie.
        most_rows: In training, the most rows of a video; null: all.
        text_only: Whether there is no video to see.
        single_clip: Where one inference clip lies: at the start for questions, a third into the video for retrieval
            and multiple choice, as published.
        cache: Of grid features, in place of the pixels of training clips.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        *,
        clips: int | Sequence[int],
        training: bool,
        most_rows: int | None = None,
        text_only: bool = False,
        single_clip: str = "dense",
        training_sampling: str = "random",
        cache: GridCache | None = None,
    ) -> None:
        counts = [clips] if isinstance(clips, int) else list(clips)
        self.processor, self.training = processor.video_processor, training
        self.most_rows, self.text_only, self.cache = most_rows, text_only, cache
        strategy = training_sampling if training else single_clip if max(counts) == 1 else "dense"
        self.parts = [(max(counts), strategy)]  # numbers of clips, and where they lie
        if not training and adds_single_clip(counts, single_clip):
            self.parts.append((1, single_clip))

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``rows``, and ``pixels`` (1, K, T, 3, L, L) or of the cache ``grids`` (1, K, T, R, C, D).

        In evaluations ``frame_indices`` (1, K, T) come beside the pixels.
        """
        if self.text_only:
            visual = self._nothing(clips=1)  # all clips would be the same
        elif self.cache is not None:
            visual = {"grids": self._cached(self.cache.read(rows[0]["video"]), generator)}
        else:
            visual = self._read(rows[0]["video"], generator)
        return {**visual, "rows": self._some(rows, generator)}

    def _read(self, video: str, generator: np.random.Generator) -> dict[str, Any]:
        source = readable(video)
        read = [
            self.processor(
                source,
                num_clips=number,
                sampling_strategy=strategy,
                generator=generator,
                pixel_dtype=pixel_dtype(self.processor),
                return_metadata=True,
            )
            for number, strategy in self.parts
        ]
        pixels, indices = (
            read[0][name] if len(read) == 1 else torch.cat([part[name] for part in read], dim=1)
            for name in ("pixel_values_videos", "frame_indices")
        )
        return self._sample(pixels, indices)

    def _cached(self, video: CachedVideo, generator: np.random.Generator) -> torch.Tensor:
        indices = [
            self.processor.clip_indices(video, num_clips=number, sampling_strategy=strategy, generator=generator)
            for number, strategy in self.parts
        ]
        return video.grids[torch.from_numpy(np.concatenate(indices))][None]

    def without_video(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """The sample of a video that cannot be read: as many clips, of nothing."""
        clips = sum(number for number, _ in self.parts)
        return {**self._nothing(clips=clips), "rows": self._some(rows, generator)}

    def _some(self, rows: list[Row], generator: np.random.Generator) -> list[Row]:
        if not self.training or self.most_rows is None or len(rows) <= self.most_rows:
            return rows
        return [rows[index] for index in np.sort(generator.permutation(len(rows))[: self.most_rows])]

    def _nothing(self, *, clips: int) -> dict[str, Any]:
        pixels = blank_clips(self.processor, videos=1, clips=clips, frames=self.processor.num_frames)
        return self._sample(pixels, torch.zeros(pixels.shape[:3], dtype=torch.long))

    def _sample(self, pixels: torch.Tensor, indices: torch.Tensor) -> dict[str, Any]:
        # Only evaluations leave out what occurs twice: in training dropout makes each of equal clips another.
        return {"pixels": pixels} if self.training else {"pixels": pixels, "frame_indices": indices}


def frame_indices(samples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """What a batch tells beside its pixels: which frame of its video each frame is, if all samples tell it.

    An image, and a video that is shorter than a clip, give many equal clips, which evaluations then compute once.

    Args:
        samples: Of :class:`ClipSamples`.

    Returns:
        ``frame_indices`` (B, K, T), or nothing.
    """
    if not all("frame_indices" in sample for sample in samples):
        return {}
    return {"frame_indices": torch.cat([sample["frame_indices"] for sample in samples])}


def join_visual(samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """What the model takes of the samples' videos: ``pixel_values_videos``, or ``grid_features`` of a cache."""
    for name, argument in (("pixels", "pixel_values_videos"), ("grids", "grid_features")):
        if name in samples[0]:
            return {argument: torch.cat([sample[name] for sample in samples])}
    raise KeyError(f"a sample must have pixels or grids; it has {', '.join(samples[0])}")


def question_groups(rows: Sequence[Row], settings: QuestionSettings, *, training: bool) -> Groups:
    """What a sample of a split holds: a video with all its questions, or in training with some of them."""
    if training and settings.epoch_of == "questions":
        return group_rows(rows, settings.questions_per_video or len(rows))
    return group_by_video(rows)


def create_question_loader(
    rows: Sequence[Row],
    recipe: QuestionTaskSettings,
    processor: ClipBertProcessor,
    collate: Callable[[list[Any]], Any],
    *,
    clips: int | Sequence[int],
    training: bool = False,
    single_clip: str = "dense",
) -> DataLoader[Any]:
    """A loader of videos with the questions about them.

    Args:
        rows: Of a split.
        recipe: The settings.
        processor: Of the model.
        collate: Turns samples of :class:`ClipSamples` into a batch.
        clips: Clips of a video, or the numbers of clips that an evaluation compares; see :class:`ClipSamples`.
        training: Whether clips and questions are drawn.
        single_clip: See :class:`ClipSamples`.
    """
    read = ClipSamples(
        processor,
        clips=clips,
        training=training,
        most_rows=recipe.questions_per_video,
        text_only=recipe.text_only,
        training_sampling=recipe.training_sampling,
        single_clip=single_clip,
    )
    groups = question_groups(rows, recipe, training=training)
    return create_loader(groups, read, collate, recipe, training=training, blank=read.without_video)


# --- Pixels on their way: bytes from a loader's workers to the device, a quarter of the floats, normalised there ---


def pixel_dtype(processor: ClipBertVideoProcessor) -> str:
    """In what workers hand pixels over: bytes, unless frames are resized exactly, which gives fractions."""
    return "float32" if processor.exact_resize else "uint8"


def blank_clips(processor: ClipBertVideoProcessor, *, videos: int, clips: int, frames: int) -> torch.Tensor:
    """Clips of nothing, (videos, clips, frames, 3, L, L): as near to the mean colour as bytes come."""
    side = processor.size["longest_edge"]
    colour = torch.tensor(processor.image_mean).round().to(torch.uint8)[:, None, None]
    pixels = colour.repeat(videos, clips, frames, 1, side, side)
    return pixels if pixel_dtype(processor) == "uint8" else processor.normalize_clips(pixels)


class TaskOnPixels:
    """A task whose batches come with bytes for pixels; see :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        task: Takes normalised pixels, ``batch["inputs"]["pixel_values_videos"]``.
        processor: Normalises them.
    """

    def __init__(self, task: Task, processor: ClipBertVideoProcessor) -> None:
        self.task, self.processor = task, processor

    @property
    def metric_names(self) -> Collection[str]:
        """The task's."""
        return self.task.metric_names

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor | Mapping[str, torch.Tensor]:
        """The task's."""
        return self.task.loss(model, self._normalize(batch))

    @property
    def evaluation_size(self) -> str:
        """The task's, if it has one."""
        return getattr(self.task, "evaluation_size", "")

    def label_counts(self, batch: dict[str, Any]) -> int | Mapping[str, int]:
        """The task's."""
        return self.task.label_counts(batch)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """The task's."""
        return self.task.predict(model, self._normalize(batch))

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The task's."""
        return self.task.metrics(records)

    def begin_step(self, accelerator: Any, model: nn.Module, batches: list[dict[str, Any]]) -> None:
        """The task's, if it has one; see :func:`clipbert_hf.training.evaluation.begin_step`."""
        begin = getattr(self.task, "begin_step", None)
        if begin is not None:
            begin(accelerator, model, batches, self._normalize)

    def predictions(self, records: list[Any]) -> list[dict[str, Any]]:
        """The task's, if it has any; see :func:`clipbert_hf.training.evaluation.predictions_of`."""
        return predictions_of(self.task, records)

    def adopt(self, model: nn.Module, metrics: dict[str, float]) -> None:
        """The task's, if it has one; see :func:`clipbert_hf.training.evaluation.adopt`."""
        adopt(self.task, model, metrics)

    def _normalize(self, batch: dict[str, Any]) -> dict[str, Any]:
        pixels = batch["inputs"].get("pixel_values_videos")
        if pixels is None or pixels.dtype != torch.uint8:
            return batch
        inputs = {**batch["inputs"], "pixel_values_videos": self.processor.normalize_clips(pixels)}
        return {**batch, "inputs": inputs}
