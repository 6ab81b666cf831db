"""VideoIndex: a collection of videos on a disk, to be searched by texts and by videos."""

from __future__ import annotations

import os
from typing import Any

import torch

from ..errors import InvalidInputError, VideoDecodeError
from .collection import Item, known_again, list_items
from .fingerprint import fingerprint
from .index_building import IndexReport, bring_up_to_date, user_columns
from .index_rows import UNKNOWN_SIZE, Encoding, infer_columns, matrices_of
from .index_search import rerank_by_matching, search_by_matching, search_vectors
from .index_table import IndexTable
from .index_workers import Executor, RowMaker
from .pair_scorer import PairScorer
from .queries import Query, text_query, video_query
from .search_results import SearchResults
from .video_encoder import VideoEncoder

Model = str | os.PathLike[str] | PairScorer


class VideoIndex:
    """Videos as vectors and visual tokens in a LanceDB table, found by texts and by videos.

    A row holds a video's path, the SHA-256 of its content, its size and time, the mean of its clips' vectors, the
    vectors, seconds and visual tokens of its clips, the error if it could not be read, and columns of the user's own.
    Each video is one commit: a build that was killed goes on where it was. Made by :meth:`build` and :meth:`open`.

    Args:
        table: The rows.
        scorer: The model that they were made with.
        report: What the build did, where there was one.

    Raises:
        InvalidInputError: If the rows were made with another model, tokenizer or preprocessing.

    Example:
        >>> index = VideoIndex.build("holidays/", "holidays.index", model="my-retrieval-model")  # doctest: +SKIP
        >>> best = index.search("a dog runs into the sea", top_k=5)[0]  # doctest: +SKIP
        >>> best.path, best.start, best.end  # doctest: +SKIP
        ('/home/me/holidays/beach.mp4', 12.0, 13.0)
    """

    def __init__(self, table: IndexTable, scorer: PairScorer, report: IndexReport | None = None) -> None:
        self.table, self.scorer, self.report = table, scorer, report
        found = fingerprint(scorer.model, scorer.processor, scorer.video_options)
        different = [name for name, digest in table.fingerprint.items() if found[name] != digest]
        if different:
            raise InvalidInputError(
                f"model: the index was made with other {' and '.join(different)}, so that its vectors say nothing to "
                "this one; open it with the model that it was built with, or build another"
            )
        self._encoder = VideoEncoder(scorer, table.settings["clip_every"])

    @classmethod
    def build(
        cls,
        videos: Any,
        uri: str | os.PathLike[str],
        *,
        model: Model,
        clip_every: float | None = None,
        accelerator: Any = None,
        executor: Executor | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        show_progress_bar: bool = False,
        **video_options: Any,
    ) -> VideoIndex:
        """Make an index, or go on with one: what it holds as it is now is not encoded again, and nothing is removed.

        Two calls at once without an accelerator each encode all that is new, but write each video once.

        Args:
            videos: A folder, or an iterable such as a list or a data set of paths, URLs and rows with ``"video"`` and
                columns of one's own; see :func:`~clipbert_hf.retrieval.collection.list_items`.
            uri: A folder, or the URI of an object store that LanceDB knows (``s3://…``, ``gs://…``, ``az://…``).
            model: A saved folder or a repository of the Hub, or a scorer, whose options then count.
            clip_every: In a long video, take a clip every so many seconds; at least ``num_clips`` in any.
            accelerator: An ``accelerate.Accelerator`` or ``PartialState`` of several processes, all of which make this
                call: each encodes a share.
            executor: Hands the videos to workers, which load the model from where it lies, compute in one thread each
                and are made up for when they are lost: ``choose_executor(workers=8, preload=PRELOAD)`` of
                ``datasets_scripts.execution.executor`` and :mod:`clipbert_hf.retrieval.index_workers`, or a Ray
                cluster, ``choose_executor(ray=address)``.
            dtype: In which the model computes, see :class:`PairScorer`.
            device: Where, see :meth:`PairScorer.from_pretrained`.
            show_progress_bar: Show videos done and the time left.
            **video_options: Of the processor, such as ``num_clips``.

        Raises:
            InvalidInputError: If there is no video, two have one name, columns do not go together, or the table there
                was made with another model or other options.
        """
        scorer = _scorer(model, dtype, device, video_options)
        VideoEncoder(scorer, clip_every)  # checks the options before anything is written
        folder = os.path.abspath(videos) if isinstance(videos, (str, os.PathLike)) else None
        items = list_items(videos)
        settings = {
            "model": str(scorer.model.name_or_path) if isinstance(model, PairScorer) else _absolute(model),
            "clip_every": clip_every,
            "video_options": scorer.video_options,
            "folder": folder,
        }
        is_main = accelerator is None or accelerator.is_main_process
        table = IndexTable.find(uri) if is_main else None
        if table is None and is_main:
            made_with = fingerprint(scorer.model, scorer.processor, scorer.video_options)
            size = getattr(scorer.model.config, "contrastive_size", 0)
            table = IndexTable.create(uri, size, infer_columns(items), made_with, settings)
        if accelerator is not None:
            accelerator.wait_for_everyone()
        table = table or _existing(uri)
        for name in ("clip_every", "folder"):
            if table.settings[name] != settings[name]:
                raise InvalidInputError(
                    f"{name}: the index at {uri} was made with {table.settings[name]!r}, not {settings[name]!r}; "
                    "name another uri"
                )
        index = cls(table, scorer)
        index._bring_up_to_date(items, False, accelerator, executor, show_progress_bar)
        return index

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str],
        *,
        model: Model | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> VideoIndex:
        """Open an index.

        Args:
            uri: See :meth:`build`.
            model: By default from where it was when the index was built.
            dtype: See :meth:`build`.
            device: See :meth:`build`.

        Raises:
            InvalidInputError: If there is no index, or it was made with another model.
        """
        table = _existing(uri)
        settings = table.settings
        if model is None and not settings["model"]:
            raise InvalidInputError(f"model: the index at {uri} was built with one that lies nowhere; name it")
        return cls(table, _scorer(model or settings["model"], dtype, device, settings["video_options"]))

    def __len__(self) -> int:
        """How many videos it holds, unreadable ones too."""
        return self.table.count()

    @property
    def errors(self) -> dict[str, str]:
        """The videos that could not be read, by path, and why."""
        rows = self.table.read(["path", "error"], "error IS NOT NULL").to_pylist()
        return {row["path"]: row["error"] for row in sorted(rows, key=lambda row: row["path"])}

    def update(
        self,
        videos: Any = None,
        *,
        accelerator: Any = None,
        executor: Executor | None = None,
        show_progress_bar: bool = False,
    ) -> IndexReport:
        """Encode new and changed videos and remove deleted ones; moved ones are known by their content.

        Args:
            videos: The collection as it is now; None: the folder that the index was built from, or else the files that
                it holds (URLs and bytes stay as they are).
            accelerator: See :meth:`build`.
            executor: See :meth:`build`.
            show_progress_bar: See :meth:`build`.

        Returns:
            What has changed.

        Raises:
            InvalidInputError: If there are no videos any more, or columns do not fit those of the index.
        """
        if videos is None:
            videos = self.table.settings["folder"]
        items = self._held() if videos is None else list_items(videos)
        return self._bring_up_to_date(items, True, accelerator, executor, show_progress_bar)

    def _bring_up_to_date(
        self, items: list[Item], remove: bool, accelerator: Any, executor: Executor | None, shows: bool
    ) -> IndexReport:
        self.report = bring_up_to_date(
            self.table,
            self._encoder,
            items,
            remove=remove,
            accelerator=accelerator,
            workers=None if executor is None else (executor, self._row_maker(accelerator)),
            show_progress_bar=shows,
        )
        return self.report

    def _row_maker(self, accelerator: Any) -> RowMaker:
        """What workers do."""
        if accelerator is not None:
            raise InvalidInputError("executor: expected an accelerator or an executor, not both")
        scorer = self.scorer
        place = str(scorer.model.name_or_path)
        if not place:
            raise InvalidInputError("executor: workers load the model, and this one lies nowhere; save it, and name it")
        return RowMaker(
            model=_absolute(place),
            video_options=scorer.video_options,
            clip_every=self.table.settings["clip_every"],
            dtype=scorer.core.dtype,
            device=str(scorer.model.device),
            made_with=self.table.fingerprint,
        )

    def search(
        self,
        text: str | None = None,
        top_k: int = 10,
        *,
        video: Any = None,
        where: str | None = None,
        candidates: int = 200,
        rerank: int = 50,
        matching_clips: int = 16,
    ) -> SearchResults:
        """Find videos.

        By one vector a video, then by the vectors of all clips of the best, then by reading the text together with
        clips of the best of these. Scores of the last two are added up as ``config.score_fusion`` says; where it does
        not, each standardised among the videos that have both.

        Args:
            text: What they show; or
            video: One that they are like, which is left out: a path of the index, or any path, URL or row of one. It
                is never matched, only compared.
            top_k: How many.
            where: A condition in SQL on columns, such as ``"year > 2020 AND title LIKE '%sea%'"``.
            candidates: How many videos the first stage leaves.
            rerank: How many the second stage leaves; 0: none is matched.
            matching_clips: With how many clips at most each of these is matched, an hour-long video too: those that fit
                the text best by their vectors. 16 is how many the paper takes of a video in inference. A model without
                vectors, which cannot tell them, is matched with all.

        Raises:
            InvalidInputError: If not one of text and video is given, a number is not positive, ``where`` is no
                condition, or a video is searched for with a model without vectors.
            VideoDecodeError: If ``video`` cannot be read.
        """
        if (text is None) == (video is None):
            raise InvalidInputError("search: expected a text or a video, one of both")
        if min(top_k, candidates, matching_clips) < 1 or rerank < 0:
            raise InvalidInputError(
                "top_k, candidates and matching_clips must be at least 1, rerank at least 0; got "
                f"{top_k}, {candidates}, {matching_clips}, {rerank}"
            )
        columns = user_columns(self.table)
        if "vector" not in self.table.schema.names:
            if text is None:
                raise InvalidInputError("video: the model has no vectors to compare videos by (contrastive_size 0)")
            found = search_by_matching(self.table, self.scorer, text, columns, where)
            return SearchResults(found[:top_k], found.stages)
        if text is not None:
            query, without = text_query(self.scorer, text), None
        else:
            (item,) = list_items([video])
            query, without = self._video_query(item), item.name
        best, stages = search_vectors(self.table, query, columns, where, max(candidates, top_k, rerank), without)
        if text is not None:
            best, last = rerank_by_matching(self.table, self.scorer, text, best, rerank, matching_clips)
            stages += last
        return SearchResults([each.result(query.words) for each in best[:top_k]], stages)

    def _video_query(self, item: Item) -> Query:
        pooling = self.scorer.model.config.contrastive_pooling
        rows = self.table.read(["clip_vectors"], "error IS NULL AND path = '{}'".format(item.name.replace("'", "''")))
        if len(rows):
            return video_query(matrices_of(rows["clip_vectors"])[0], pooling)
        (each,) = self._encoder.encode([item], lambda item, digest: False)
        if not isinstance(each.encoded, Encoding) or each.encoded.vectors is None:
            raise VideoDecodeError(item.name, "any decoder", str(each.encoded))
        return video_query(each.encoded.vectors, pooling)

    def _held(self) -> list[Item]:
        """What the index holds, as it is now, without files that are gone."""
        items = []
        for row in self.table.read(["path", "size", "modified"]).to_pylist():
            item = known_again(row["path"])
            is_file = row["modified"] != 0 or (row["size"] == UNKNOWN_SIZE and "://" not in row["path"])
            if not is_file:
                items.append(Item(row["path"], row["path"], row["size"], 0))
            elif item.size != UNKNOWN_SIZE:
                items.append(item)
        if not items:  # more likely a disk that is not there than a wish
            raise InvalidInputError("videos: none of the files that the index holds is there any more")
        return items


def _scorer(
    model: Model, dtype: torch.dtype | None, device: str | torch.device | None, video_options: dict[str, Any]
) -> PairScorer:
    if isinstance(model, PairScorer):
        return model
    return PairScorer.from_pretrained(model, dtype=dtype, device=device, **video_options)


def _absolute(model: str | os.PathLike[str]) -> str:
    return os.path.abspath(model) if os.path.isdir(model) else os.fspath(model)


def _existing(uri: str | os.PathLike[str]) -> IndexTable:
    table = IndexTable.find(uri)
    if table is None:
        raise InvalidInputError(f"uri: there is no index at {os.fspath(uri)}; VideoIndex.build makes one")
    return table
