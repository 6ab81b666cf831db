"""A model as mteb's retrieval tasks of texts and videos ask for it: a corpus is indexed, and searched in stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from .pair_scorer import PairScorer
from .video_index import Model, VideoIndex

if TYPE_CHECKING:
    from mteb.models import ModelMeta


class MtebVideoSearch:
    """Searches the corpora of mteb's tasks with :class:`VideoIndex`; give it to ``mteb.evaluate``.

    It has mteb's interface of a model that searches by itself (``SearchProtocol``), for tasks from text to video
    (category ``t2v``), such as ``MSRVTTT2V``. Needs ``pip install "clipbert_hf[mteb]"``.

    Args:
        model: A folder, a repository of the Hub, or a scorer.
        folder: Where the indexes are kept, one for each task, subset and split; a run that was killed goes on there.
        candidates: See :meth:`VideoIndex.search`; as many as mteb asks for at least.
        rerank: See there.
        matching_clips: See there.
        **build_options: See :meth:`VideoIndex.build`.

    Example:
        >>> search = MtebVideoSearch("my-retrieval-model", "indexes/", num_clips=16)  # doctest: +SKIP
        >>> mteb.evaluate(search, mteb.get_tasks(tasks=["MSRVTTT2V"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model,
        folder: str | os.PathLike[str],
        *,
        candidates: int = 200,
        rerank: int = 50,
        matching_clips: int = 16,
        **build_options: Any,
    ) -> None:
        self.model, self.folder, self.build_options = model, Path(folder), build_options
        self.search_options = {"candidates": candidates, "rerank": rerank, "matching_clips": matching_clips}
        self._index: VideoIndex | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What mteb writes beside the results."""
        from mteb.models import ModelMeta  # only an extra installs it

        name = self.model.model.name_or_path if isinstance(self.model, PairScorer) else os.fspath(self.model)
        # mteb asks for names as on the Hub, an owner and a name; a folder has its parent's.
        parts = [part for part in Path(name).parts if part != os.sep]
        known = {"name": "/".join(["local", *parts][-2:]), "modalities": ["text", "video"], "framework": ["PyTorch"]}
        return ModelMeta.create_empty(overwrites=known)

    def index(self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **_: Any) -> None:
        """Encode the videos of a task.

        Args:
            corpus: Rows with ``id`` and ``video``.
            task_metadata: Of the task.
            hf_split: Its split.
            hf_subset: Its subset.

        Raises:
            InvalidInputError: If the corpus is not of videos.
        """
        _check_columns(corpus, "corpus", task_metadata, "video")
        uri = self.folder / "-".join([task_metadata.name, hf_subset, hf_split])
        videos = corpus.select_columns(["id", "video"])
        self._index = VideoIndex.build(_named_by_id(videos), uri, model=self.model, **self.build_options)

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        top_k: int,
        top_ranked: Mapping[str, list[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Search the videos that were indexed last.

        Args:
            queries: Rows with ``id`` and ``text``.
            task_metadata: Of the task.
            top_k: How many videos are wanted for each.
            top_ranked: Identifiers of the only videos that are to be ranked, of each query.

        Returns:
            Scores by identifiers of queries and of videos.

        Raises:
            InvalidInputError: If the queries are no texts.
        """
        _check_columns(queries, "queries", task_metadata, "text")
        if self._index is None:
            raise InvalidInputError("search: index the corpus first")
        found = {}
        for identifier, text in zip(queries["id"], queries["text"], strict=True):
            where = None if top_ranked is None else _among(top_ranked[identifier])
            results = self._index.search(text, top_k, where=where, **self.search_options)
            found[identifier] = {result.columns["id"]: result.score for result in results}
        return found


def _named_by_id(corpus: Any) -> list[dict[str, Any]]:
    """Rows whose videos lie in the data set have names of their own; in a file they have the file's."""
    from datasets import Video  # mteb brings it

    if isinstance(corpus.features["video"], Video):
        corpus = corpus.cast_column("video", Video(decode=False))
    rows = []
    for row in corpus:
        video = row["video"]
        if isinstance(video, Mapping) and video.get("bytes") is not None:
            video = {"path": row["id"], "bytes": video["bytes"]}
        rows.append({"id": row["id"], "video": video})
    return rows


def _check_columns(rows: Any, what: str, task_metadata: Any, modality: str) -> None:
    if modality not in rows.column_names:
        raise InvalidInputError(
            f"{task_metadata.name}: texts look for videos here; expected a column {modality!r} of the {what}, got "
            f"{rows.column_names}"
        )


def _among(identifiers: list[str]) -> str:
    return "id IN ({})".format(", ".join("'" + each.replace("'", "''") + "'" for each in identifiers))
