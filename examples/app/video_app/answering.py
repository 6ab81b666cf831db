"""A model that answers or chooses: from a video and texts to answers, and to the pictures that explain them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from PIL import Image

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoQuestionAnswering, InvalidInputError
from clipbert_hf.explanation import Explainer, Explanation, draw_heat_maps, draw_timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 5
_DPI = 110


@dataclass(frozen=True)
class Answer:
    """What a visitor is shown.

    Args:
        confidences: The best answers with their probabilities; None, where the best has less than was asked for.
        remark: What decided, or why there is no answer.
        why: What each clip says.
    """

    confidences: dict[str, float] | None
    remark: str
    why: Explanation


class Answerer:
    """A model that answers or chooses, asked by one visitor at a time.

    Args:
        explainer: With the model. It keeps nothing of a request, but changes how the model attends while it draws, and
            so is locked.
        max_seconds: The longest video.
    """

    def __init__(self, explainer: Explainer, *, max_seconds: float) -> None:
        self._explainer, self._lock = explainer, Lock()
        options = explainer.processor.video_processor
        options.decoding_limits = {**(options.decoding_limits or {}), "max_duration": max_seconds}

    @property
    def answers(self) -> bool:
        """Whether the model answers questions out of its own answers."""
        return isinstance(self._explainer.model, ClipBertForVideoQuestionAnswering)

    @property
    def chooses(self) -> bool:
        """Whether the model chooses among answers that it is given."""
        return isinstance(self._explainer.model, ClipBertForMultipleChoice)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All answers that the model has."""
        config = self._explainer.model.config
        return tuple(config.id2label[place] for place in range(config.num_labels)) if self.answers else ()

    @property
    def is_calibrated(self) -> bool:
        """Whether probabilities were fitted to validation data, so that a threshold means something."""
        return self._explainer.model.config.calibration_temperature != 1

    def answer(
        self, video: str | None, question: str, options: Sequence[str] | None = None, *, abstain_below: float = 0
    ) -> Answer:
        """Answer a question, and tell what each clip says; the model runs once.

        Args:
            video: A file.
            question: About it.
            options: To choose among; only of a model that chooses.
            abstain_below: The least probability of an answer.

        Raises:
            InvalidInputError: If the video, the question or options are missing.
            VideoDecodeError: If the video cannot be read, or is too long.
        """
        if not video:
            raise InvalidInputError("video: expected one, got none; upload a file or pick an example")
        if not question.strip():
            raise InvalidInputError("question: expected text, got a blank")
        if options is not None:
            _check_options(options)
        with self._lock:
            why = self._explainer.explain(video, question, choices=options)
        if why.score < abstain_below:
            return Answer(None, f"The best answer has {why.score:.0%}, less than {abstain_below:.0%}.", why)
        return Answer(dict(why.ranked[:_SHOWN]), _deciding(why), why)

    def timeline(self, why: Explanation) -> Image.Image:
        """The clips along time, and frames of the best; see :func:`~clipbert_hf.explanation.draw_timeline`."""
        return _picture(draw_timeline(self._explainer, why))

    def heat_maps(self, why: Explanation) -> Image.Image:
        """Attention beside occlusion; the model runs once for each covered square."""
        with self._lock:
            return _picture(draw_heat_maps(self._explainer, why))


def options_of(text: str) -> list[str]:
    r"""The lines of a text that are not blank.

    Example:
        >>> options_of("ride a bike\n\n cook ")
        ['ride a bike', 'cook']
    """
    return [line.strip() for line in text.splitlines() if line.strip()]


def _check_options(options: Sequence[str]) -> None:
    if len(options) < 2:
        raise InvalidInputError(f"options: expected at least two, a line each; got {len(options)}")
    twice = sorted({option for option in options if options.count(option) > 1})
    if twice:
        raise InvalidInputError(f"options: expected each once; got {twice[0]!r} again")


def _deciding(why: Explanation) -> str:
    clips = sorted(why.deciding)
    spans = ", ".join(f"{why.clips[place].start:.1f}–{why.clips[place].end:.1f} s" for place in clips[:_SHOWN])
    return f"Decided by {len(clips)} of {len(why.clips)} clips: {spans}{' …' if len(clips) > _SHOWN else ''}"


def _picture(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, dpi=_DPI, format="png")
    return Image.open(file)
