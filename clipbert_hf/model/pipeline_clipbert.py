"""``pipeline("video-question-answering")`` and its sisters: texts about videos in, answers with scores out."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from .pipeline_base_clipbert import ClipBertPipeline, VideoScores, with_clips


class VideoQuestionAnsweringPipeline(ClipBertPipeline):
    """Answers questions about videos.

    Args of a call:
        video: A video: path, URL, bytes, file object, array of frames (n, height, width, 3) or (n, 3, height, width),
            list of images, row of ``datasets.Video``. Or several: a list, an array of five dimensions, or a generator,
            a column or a data set of videos, which gives an iterator. Or, instead of video and question: a row
            ``{"video": …, "question": …}``, or a list, generator or data set of rows.
        question: A question, or a list of questions about the video. With several videos: one question for all, or
            one (or a list) for each.
        top_k: How many answers, best first; 5 by default.
        num_clips: How many clips, spread over the video; by default the processor's.
        return_clip_scores: Add ``"clips"`` to each answer: the score of that answer in each clip alone, with the
            clip's start and end in seconds, which shows the moment that decided.
        abstain_below: The least score of an answer: where the best has less, the list of answers is
            ``[{"answer": None, "score": …}]`` with the score of the answer that is withheld.
        batch_size: How many videos at once.
        num_workers: How many processes decode videos; by default none beside this one.
        **video_options: Other options of the video processor, such as ``num_frames`` or ``decoding_backend``.

    Returns:
        ``[{"answer": "red", "score": 0.93}, …]``, a list of such lists for several questions or videos, or an
        iterator over them for a generator, a column or a data set.

    Example:
        >>> pipe = pipeline("video-question-answering", model="my-model", trust_remote_code=True)  # doctest: +SKIP
        >>> pipe("bikes.mp4", "what are they riding ?", top_k=1)  # doctest: +SKIP
        [{'answer': 'bike', 'score': 0.93}]
    """

    columns: ClassVar[tuple[str, ...]] = ("question",)

    def __call__(self, video: Any = None, question: Any = None, **kwargs: Any) -> Any:
        """Answer; see the class."""
        return self._call(video, {"question": question}, **kwargs)

    def _answers(self, scores: VideoScores, *, top_k: int | None, return_clip_scores: bool) -> list[Any]:
        answers = []
        top_k = 5 if top_k is None else top_k
        for of_labels, of_clips in zip(self._scores(scores.logits), self._scores(scores.clip_logits), strict=True):
            best = of_labels.topk(min(top_k, len(of_labels)))
            answers.append(
                [
                    with_clips(
                        {"answer": self.model.config.id2label[index], "score": score},
                        return_clip_scores,
                        scores.clip_seconds,
                        of_clips[:, index],
                    )
                    for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                ]
            )
        return answers

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        # Soft labels (image VQA) train one independent score an answer.
        is_multi_label = self.model.config.problem_type == "multi_label_classification"
        return logits.sigmoid() if is_multi_label else logits.softmax(-1)


class VideoMultipleChoicePipeline(ClipBertPipeline):
    """Chooses among answers to questions about videos.

    Args of a call:
        video: As for :class:`VideoQuestionAnsweringPipeline`; rows hold ``"choices"`` as well.
        question: A question, or a list of questions about the video; with several videos one for all or one for each.
        choices: The choices, a list of strings; for a list of questions, a list of them for each. With several
            videos: one list for all, or one for each.
        top_k: How many choices, best first; by default all.
        num_clips, return_clip_scores, abstain_below, batch_size, num_workers, **video_options: As there.

    Returns:
        ``[{"answer": "a dog", "score": 0.93}, …]``, where scores of a question add up to 1.

    Example:
        >>> pipe = pipeline("video-multiple-choice", model="my-model", trust_remote_code=True)  # doctest: +SKIP
        >>> pipe("bikes.mp4", "what is he doing", choices=["riding", "cooking"], top_k=1)  # doctest: +SKIP
        [{'answer': 'riding', 'score': 0.93}]
    """

    columns: ClassVar[tuple[str, ...]] = ("question", "choices")

    def __call__(self, video: Any = None, question: Any = None, choices: Any = None, **kwargs: Any) -> Any:
        """Choose; see the class."""
        return self._call(video, {"question": question, "choices": choices}, **kwargs)

    def _answers(self, scores: VideoScores, *, top_k: int | None = None, return_clip_scores: bool = False) -> list[Any]:
        answers = []
        of_questions = zip(
            scores.row["choices"],
            scores.logits.softmax(-1),
            scores.clip_logits.softmax(-1),
            strict=True,
        )
        for choices, of_choices, of_clips in of_questions:
            answers.append(
                [
                    with_clips(
                        {"answer": choices[index], "score": float(of_choices[index])},
                        return_clip_scores,
                        scores.clip_seconds,
                        of_clips[:, index],
                    )
                    for index in of_choices.argsort(descending=True, stable=True).tolist()[:top_k]
                ]
            )
        return answers


class VideoTextMatchingPipeline(ClipBertPipeline):
    """Tells how well texts match videos.

    Args of a call:
        video: As for :class:`VideoQuestionAnsweringPipeline`; rows hold ``"text"`` instead of ``"question"``.
        text: A text, or a list of texts about the video; with several videos one text for all or one (or a list) for
            each.
        top_k: How many texts of a list, best first; by default all.
        num_clips, return_clip_scores, batch_size, num_workers, **video_options: As there.

    Returns:
        ``{"text": "a man rides", "score": 0.93}``, the probability of a match; for a list of texts a list of these,
        best first.

    Example:
        >>> pipe = pipeline("video-text-matching", model="my-model", trust_remote_code=True)  # doctest: +SKIP
        >>> pipe("bikes.mp4", ["a man rides a bike", "a cat sleeps"], top_k=1)  # doctest: +SKIP
        [{'text': 'a man rides a bike', 'score': 0.93}]
    """

    columns: ClassVar[tuple[str, ...]] = ("text",)
    can_abstain: ClassVar[bool] = False

    def __call__(self, video: Any = None, text: Any = None, **kwargs: Any) -> Any:
        """Score; see the class."""
        return self._call(video, {"text": text}, **kwargs)

    def _answers(self, scores: VideoScores, *, top_k: int | None = None, return_clip_scores: bool = False) -> list[Any]:
        of_texts, of_clips = self._scores(scores.logits), self._scores(scores.clip_logits)
        return [
            with_clips(
                {"text": scores.row["text"][index], "score": float(of_texts[index])},
                return_clip_scores,
                scores.clip_seconds,
                of_clips[index],
            )
            for index in of_texts.argsort(descending=True, stable=True).tolist()[:top_k]
        ]

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)[..., 1]


__all__ = ["VideoMultipleChoicePipeline", "VideoQuestionAnsweringPipeline", "VideoTextMatchingPipeline"]
