"""Scores of texts and videos from a model folder: the calls of a cross-encoder, for videos.

Shapes: N texts, B videos, K clips a video.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InvalidInputError
from ..model.configuration_clipbert import ClipBertConfig
from ..model.encoded_videos_clipbert import EncodedVideos, join_videos
from ..model.modeling_clipbert import ClipBertClipScorer, ClipBertForVideoQuestionAnswering
from ..model.pair_scoring_clipbert import ClipBertPairScorer, ClipBertPairsOutput, class_to_score_with, ranking_scores
from ..model.processing_clipbert import ClipBertProcessor
from ..video.reading_ahead import ReadAhead
from ..video.sources import VideoSource, is_single_video
from .progress import PairProgress
from .score_blocks import ScoreBlocks, describe_job
from .staged_clips import SHARES, StagedScores, staged_pairs, staged_scores

_VIDEOS_AT_ONCE = 8
_TEXTS_AT_ONCE = 4096


class PairScorer:
    """Scores how well texts fit videos, each text read together with each video.

    Videos are whatever the processor takes (paths, URLs, bytes, arrays of frames …), or what :meth:`encode` has made of
    them. They pass the model one after another: the next is decoded while one is encoded, a few encoded ones are kept
    until they are scored together, and only the scores remain.

    Args:
        model: For retrieval; or for another task, whose score of a pair is then the logit of a choice, the number, or
            the probabilities of answers.
        processor: Of the model.
        dtype: In which the model computes; by default that of its weights.
        batch_size: How many pairs of a text and a clip pass the model together, which bounds its memory; by default
            the fastest of a few numbers, found on the first pairs.
        compiled: Whether ``torch.compile`` makes one graph of the encoder; see
            :class:`~clipbert_hf.model.pair_scoring_clipbert.ClipBertPairScorer`.
        **video_options: Of the processor for all videos, such as ``num_clips``.

    Raises:
        InvalidInputError: If the model has no head, ``batch_size`` is not positive, or float16 is asked for on a CPU.

    Example:
        >>> scorer = PairScorer.from_pretrained("my-retrieval-model")  # doctest: +SKIP
        >>> scorer.rank("a man rides a bike", ["bikes.mp4", "bigbuckbunny.mp4"], top_k=1)  # doctest: +SKIP
        [{'corpus_id': 0, 'score': 0.93}]
    """

    def __init__(
        self,
        model: ClipBertClipScorer,
        processor: ClipBertProcessor,
        *,
        dtype: torch.dtype | None = None,
        batch_size: int | None = None,
        compiled: bool = False,
        **video_options: Any,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InvalidInputError(f"batch_size must be at least 1; got {batch_size}")
        self.model, self.processor, self.video_options = model.eval(), processor, video_options
        self.core = ClipBertPairScorer(model, dtype=dtype, pairs_at_once=batch_size, compiled=compiled)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_repo: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        compiled: bool = False,
        local_files_only: bool = False,
        revision: str | None = None,
        **video_options: Any,
    ) -> PairScorer:
        """Load model and processor.

        Args:
            folder_or_repo: A saved folder, or a repository of the Hub.
            dtype: See the class; bfloat16 is several times faster than float32 where the hardware has it.
            device: Where the model goes; by default the GPU if there is one.
            batch_size: See the class.
            compiled: See the class.
            local_files_only: Look only on this machine.
            revision: Of the repository.
            **video_options: See the class.

        Raises:
            InvalidInputError: If what is there is no ClipBERT with a head.
        """
        source: dict[str, Any] = {"local_files_only": local_files_only, "revision": revision}
        config = ClipBertConfig.from_pretrained(folder_or_repo, **source)
        model = class_to_score_with(config, folder_or_repo).from_pretrained(folder_or_repo, **source)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        processor = ClipBertProcessor.from_pretrained(folder_or_repo, **source)
        return cls(model.to(device), processor, dtype=dtype, batch_size=batch_size, compiled=compiled, **video_options)

    def encode(self, videos: VideoSource | Sequence[VideoSource]) -> list[EncodedVideos]:
        """Decode and encode videos, to be given to the other methods any number of times.

        Args:
            videos: One or several.

        Returns:
            For each video the visual tokens of its clips, on the model's device.

        Raises:
            VideoDecodeError: If a video cannot be read.
        """
        return list(self._encode(_as_list(videos)))

    def score(
        self,
        texts: str | Sequence[str],
        videos: Any,
        *,
        show_progress_bar: bool = False,
        resume_dir: str | os.PathLike[str] | None = None,
        accelerator: Any = None,
    ) -> np.ndarray:
        """Score every text with every video.

        Args:
            texts: One or several.
            videos: One or several, encoded or not.
            show_progress_bar: Show pairs, pairs a second and the time left; of the main process, its own.
            resume_dir: A folder where the scores of finished videos are kept: the same call takes them from there.
            accelerator: An ``accelerate.Accelerator`` or ``PartialState`` of several processes, all of which make this
                call: each scores a share of the videos, and all get all scores.

        Returns:
            float32 (N, B): probabilities of a match, or what else the model's task compares; (N, B, answers) for
            question answering.

        Raises:
            InvalidInputError: If there are no texts or no videos, a text is empty, or ``resume_dir`` holds the scores
                of other texts, videos, weights or options.
            VideoDecodeError: If a video cannot be read.
        """
        some = [texts] if isinstance(texts, str) else list(texts)
        sources, tokens = _as_list(videos), self._tokens(some)
        blocks: ScoreBlocks | None = None
        if resume_dir is not None:
            options = {**self.processor.video_processor.to_dict(), **self.video_options, "dtype": str(self.core.dtype)}
            options["calibration_temperature"] = self.model.config.calibration_temperature
            blocks = ScoreBlocks(resume_dir, describe_job(self.model, tokens, sources, options))
        columns = blocks.read() if blocks is not None else {}
        if accelerator is not None:
            accelerator.wait_for_everyone()  # all have read the same before one writes more
        todo = [place for place in range(len(sources)) if place not in columns]
        number, index = (1, 0) if accelerator is None else (accelerator.num_processes, accelerator.process_index)
        todo = todo[index::number]
        for done, scores in self._score_blocks(
            tokens, [sources[place] for place in todo], show_progress_bar and index == 0, lambda output: output.scores
        ):
            places = [todo[place] for place in done]
            columns |= {place: scores[:, column] for column, place in enumerate(places)}
            if blocks is not None:
                blocks.write(places, scores)
        if number > 1:
            columns = _gather(columns)
        return np.stack([columns[place] for place in range(len(sources))], axis=1)

    def score_in_stages(
        self,
        texts: str | Sequence[str],
        videos: Any,
        *,
        shares: Sequence[float] = SHARES,
        show_progress_bar: bool = False,
    ) -> StagedScores:
        """Order videos by every text with few clips of all of them first, and all clips of the best ones last.

        All videos stay encoded in memory while this takes: of the base size at 448 px about 0.15 MB a clip in float32.

        Args:
            texts: One or several.
            videos: As for :meth:`score`, of one number of clips, a power of two, such as ``num_clips=16``.
            shares: Of the videos that go on after each stage but the last; to be chosen on validation data with
                :func:`~clipbert_hf.retrieval.staged_clips.choose_shares`.
            show_progress_bar: As for :meth:`score`; pairs with each of their clips count.

        Raises:
            InvalidInputError: If clips are no power of two or differ, shares do not fit, the model aggregates clips
                by something else than their mean, or it gives a pair no single score.
            VideoDecodeError: If a video cannot be read.
        """
        self._check_single_score()
        aggregation = self.model.config.score_aggregation
        if aggregation != "mean":
            raise InvalidInputError(f"stages are ordered by the mean over clips; the model aggregates by {aggregation}")
        tokens = self._tokens([texts] if isinstance(texts, str) else list(texts))
        encoded = self.encode(videos)
        clips, number = encoded[0].num_clips, len(tokens["input_ids"])
        join_videos([EncodedVideos(each.tokens[:0], each.clip_places[:0]) for each in encoded])  # of one layout, or not
        total = staged_pairs(number, len(encoded), clips=clips, shares=shares)
        with PairProgress(total, shown=show_progress_bar) as progress:
            return staged_scores(
                lambda pairs, added: self._clip_scores(tokens, encoded, pairs, added, progress),
                number,
                len(encoded),
                clips=clips,
                shares=shares,
            )

    def _clip_scores(
        self,
        tokens: dict[str, torch.Tensor],
        encoded: list[EncodedVideos],
        pairs: np.ndarray,
        clips: list[int],
        progress: PairProgress,
    ) -> np.ndarray:
        """What orders pairs (P, 2), of some of the clips (n), each for itself: (P, n)."""
        found = np.empty((len(pairs), len(clips)), dtype=np.float32)
        for first in range(0, len(encoded), _VIDEOS_AT_ONCE):
            some = encoded[first : first + _VIDEOS_AT_ONCE]
            inside = np.flatnonzero((pairs[:, 1] >= first) & (pairs[:, 1] < first + len(some)))
            if not len(inside):
                continue
            block = join_videos(some).select(range(len(some)), clips)
            chosen = torch.from_numpy(pairs[inside] - [0, first])
            count = progress.of_block(len(inside) * len(clips), _pairs_with_clips(chosen, block))
            output = self.core.score_pairs(**tokens, videos=block, pairs=chosen, on_pairs=count)
            assert output.clip_logits is not None  # always there
            found[inside] = _to_numpy(ranking_scores(output.clip_logits))
        return found

    def predict(
        self, pairs: Sequence[tuple[str, Any]] | tuple[str, Any], *, show_progress_bar: bool = False
    ) -> np.ndarray:
        """Score named pairs.

        Args:
            pairs: (text, video), several or one. A path that occurs in several is decoded once, and so is any other
                video that is the same object.
            show_progress_bar: As for :meth:`score`.

        Returns:
            float32, one a pair; a single one, without dimensions, where a single pair was given.

        Raises:
            InvalidInputError: If a pair is none.
            VideoDecodeError: If a video cannot be read.
        """
        is_one = isinstance(pairs, tuple) and len(pairs) == 2 and isinstance(pairs[0], str)
        rows: list[Any] = [pairs] if is_one else list(pairs)
        _check_pairs(rows)
        texts = list(dict.fromkeys(text for text, _ in rows))
        videos = {_identity(video): video for _, video in rows}
        places = {text: place for place, text in enumerate(texts)}, {key: place for place, key in enumerate(videos)}
        wanted = np.array([(places[0][text], places[1][_identity(video)]) for text, video in rows])
        scores: list[Any] = [None] * len(rows)
        tokens = self._tokens(texts)
        with PairProgress(len(rows), shown=show_progress_bar) as progress:
            for first, block in self._blocks(list(videos.values())):
                inside = np.flatnonzero((wanted[:, 1] >= first) & (wanted[:, 1] < first + len(block)))
                chosen = torch.from_numpy(wanted[inside] - [0, first])
                output = self.core.score_pairs(
                    **tokens,
                    videos=block,
                    pairs=chosen,
                    on_pairs=progress.of_block(len(inside), _pairs_with_clips(chosen, block)),
                )
                for place, score in zip(inside.tolist(), _to_numpy(output.scores), strict=True):
                    scores[place] = score
        return scores[0] if is_one else np.stack(scores)

    def rank(
        self, text: str, videos: Any, top_k: int | None = None, *, show_progress_bar: bool = False
    ) -> list[dict[str, Any]]:
        """Order videos by how well they fit a text.

        Args:
            text: The text.
            videos: Several, encoded or not.
            top_k: How many to return; None: all.
            show_progress_bar: As for :meth:`score`.

        Returns:
            ``{"corpus_id": place in videos, "score": …}``, best first; of equal ones the first in ``videos`` first. The
            order is that of logits, which differ where probabilities are both rounded to 1.

        Raises:
            InvalidInputError: If ``top_k`` is not positive, or the model gives a pair no single score.
        """
        if top_k is not None and top_k < 1:
            raise InvalidInputError(f"top_k must be at least 1; got {top_k}")
        if not isinstance(text, str):
            raise InvalidInputError(f"text must be one text; got {type(text).__name__}")
        self._check_single_score()

        def both(output: ClipBertPairsOutput) -> torch.Tensor:
            assert output.logits is not None  # each task has logits and scores
            assert output.scores is not None
            return torch.stack([ranking_scores(output.logits), output.scores], dim=-1)

        sources = _as_list(videos)
        blocks = self._score_blocks(self._tokens([text]), sources, show_progress_bar, both)
        keys, scores = np.concatenate([rows[0] for _, rows in blocks]).T
        order = np.argsort(-keys, kind="stable")[:top_k]
        return [{"corpus_id": int(place), "score": float(scores[place])} for place in order]

    def _check_single_score(self) -> None:
        if isinstance(self.model, ClipBertForVideoQuestionAnswering):
            raise InvalidInputError("a model that answers questions gives a pair no single score: use score()")

    def _score_blocks(
        self,
        tokens: dict[str, torch.Tensor],
        videos: list[Any],
        show: bool,
        take: Callable[[ClipBertPairsOutput], torch.Tensor | None],
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Places of a few videos, and what is taken of their scores with all texts, (N, videos, …)."""
        texts = len(tokens["input_ids"])
        with PairProgress(texts * len(videos), shown=show) as progress:
            for first, block in self._blocks(videos):
                rows = []
                for begin in range(0, texts, _TEXTS_AT_ONCE):
                    part = {name: each[begin : begin + _TEXTS_AT_ONCE] for name, each in tokens.items()}
                    number = len(part["input_ids"])
                    count = progress.of_block(number * len(block), number * len(block.tokens))
                    rows.append(_to_numpy(take(self.core.score_pairs(**part, videos=block, on_pairs=count))))
                yield range(first, first + len(block)), np.concatenate(rows)

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        return dict(self.processor(text=texts))

    def _blocks(self, videos: list[Any]) -> Iterator[tuple[int, EncodedVideos]]:
        """Videos in order, several that can be scored together at a time, with the place of the first of them."""
        block: list[EncodedVideos] = []
        first = 0
        for video in self._encode(videos):
            if block and (len(block) == _VIDEOS_AT_ONCE or video.layout != block[0].layout):
                yield first, join_videos(block)
                first, block = first + len(block), []
            block.append(video)
        if block:
            yield first, join_videos(block)

    def _encode(self, videos: list[Any]) -> Iterator[EncodedVideos]:
        for video in ReadAhead(map(self._decode, videos)):
            if isinstance(video, EncodedVideos):
                yield video
            else:
                pixels = video["pixel_values_videos"]
                if pixels.dtype == torch.uint8:  # a processor may hand over bytes, a quarter of the floats
                    pixels = self.processor.video_processor.normalize_clips(pixels.to(self.model.device))
                yield self.core.encode_videos(pixels, video["frame_indices"])

    def _decode(self, video: Any) -> Any:
        if isinstance(video, EncodedVideos):
            return video
        return self.processor(videos=[video], return_metadata=True, **self.video_options)


def _as_list(videos: Any) -> list[Any]:
    """One video a place."""
    if isinstance(videos, EncodedVideos) or is_single_video(videos):
        videos = [videos]
    places = []
    for video in videos:
        if isinstance(video, EncodedVideos):
            places += [video] if len(video) == 1 else [video.select([place]) for place in range(len(video))]
        else:
            places.append(video)
    if not places:
        raise InvalidInputError("videos: expected at least one video, got none")
    return places


def _gather(columns: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The columns of all processes."""
    from accelerate.utils import gather_object  # only an extra installs accelerate

    return {place: column for some in gather_object([columns]) for place, column in some.items()}


def _check_pairs(rows: list[Any]) -> None:
    if not rows:
        raise InvalidInputError("pairs: expected at least one (text, video), got none")
    for place, row in enumerate(rows):
        if not (isinstance(row, (tuple, list)) and len(row) == 2 and isinstance(row[0], str)):
            raise InvalidInputError(f"pairs must be (text, video); got {type(row).__name__} at position {place}")
        if isinstance(row[1], EncodedVideos) and len(row[1]) != 1:
            raise InvalidInputError(f"pairs must hold one video each; got {len(row[1])} at position {place}")


def _identity(video: Any) -> Any:
    return os.fspath(video) if isinstance(video, (str, os.PathLike)) else id(video)


def _pairs_with_clips(pairs: torch.Tensor, videos: EncodedVideos) -> int:
    numbers = pairs[:, :1] * len(videos.tokens) + videos.clip_places[pairs[:, 1]]
    return len(numbers.unique())


def _to_numpy(scores: torch.Tensor | None) -> np.ndarray:
    assert scores is not None  # each task has scores
    return scores.float().cpu().numpy()
