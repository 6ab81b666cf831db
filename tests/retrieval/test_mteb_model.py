"""The embedded data set as a task of mteb, which finds the same R@K as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Video
from video_indexes import save_model

from clipbert_hf import InvalidInputError
from clipbert_hf.metrics.retrieval import text_to_video_ranks
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.encoded_videos_clipbert import join_videos
from clipbert_hf.model.pair_scoring_clipbert import ranking_scores
from clipbert_hf.retrieval import PairScorer
from clipbert_hf.retrieval.mteb_model import MtebVideoSearch
from datasets_scripts.moving_shapes import load_moving_shapes

mteb = pytest.importorskip("mteb", reason='needs pip install "clipbert_hf[mteb]"')
pytest.importorskip("lancedb", reason='needs pip install "clipbert_hf[search]"')


@pytest.fixture(scope="module")
def rows(small_data) -> list[dict]:
    """One caption of each video."""
    loaded = load_moving_shapes("retrieval", small_data, train=24, validation=5, test=6)["train"]
    return list({row["video"]: row for row in loaded}.values())


@pytest.fixture(scope="module")
def words_model(rows, tmp_path_factory):
    """With words of the captions and weights that were drawn."""
    words = sorted({word for row in rows for word in row["caption"].lower().replace(",", " ").split()})
    folder = tmp_path_factory.mktemp("models") / "words"
    return save_model(folder, contrastive_size=8, words=words)


def as_task(rows: list[dict], *, inside: bool) -> mteb.AbsTask:
    videos = [row["video"] for row in rows]
    if inside:  # as in files of the Hub
        videos = [{"path": None, "bytes": Path(path).read_bytes()} for path in videos]
    identifiers = [f"v'{place}" for place in range(len(rows))]
    corpus = Dataset.from_dict({"id": identifiers, "video": videos}).cast_column("video", Video())
    queries = Dataset.from_dict(
        {"id": [f"q{place}" for place in range(len(rows))], "text": [r["caption"] for r in rows]}
    )
    relevant = {f"q{place}": {identifier: 1} for place, identifier in enumerate(identifiers)}

    class MovingShapesRetrieval(mteb.abstasks.AbsTaskRetrieval):
        metadata = mteb.TaskMetadata(
            **{
                "name": "MovingShapesRetrieval",
                "description": "Captions.",
                "type": "Any2AnyRetrieval",
            },
            **{"category": "t2v", "modalities": ["text", "video"], "main_score": "ndcg_at_10"},
            **{"eval_splits": ["test"], "eval_langs": ["eng-Latn"], "dataset": {"path": "none", "revision": "none"}},
        )

        def load_data(self, *_: object, **__: object) -> None:
            split = {"corpus": corpus, "queries": queries, "relevant_docs": relevant, "top_ranked": None}
            self.dataset, self.data_loaded = {"default": {"test": split}}, True

    return MovingShapesRetrieval()


@torch.no_grad()
def our_ranks(scorer: PairScorer, rows: list[dict], rerank: bool) -> np.ndarray:
    """Of all texts with all videos by the model itself, without an index."""
    texts, videos = [row["caption"] for row in rows], scorer.encode([row["video"] for row in rows])
    clips = torch.stack([scorer.model.embed_clips(video.tokens)[video.clip_places[0]] for video in videos])
    scores = np.zeros((len(rows), len(rows)))
    for place, text in enumerate(texts):
        vectors, kept = scorer.model.embed_texts(**scorer.processor(text=[text]))
        scores[place] = contrastive_similarity(vectors, kept, clips).detach().numpy()
    if rerank:
        output = scorer.core.score_pairs(**scorer.processor(text=texts), videos=join_videos(videos))
        matching = ranking_scores(output.logits).numpy()
        scores = sum((each - each.mean(1, keepdims=True)) / each.std(1, keepdims=True) for each in (scores, matching))
    return text_to_video_ranks(scores, np.arange(len(rows)))


@pytest.mark.parametrize(("inside", "rerank"), [(False, 0), (True, 24)])
def test_recall_is_ours(rows, words_model, tmp_path, inside, rerank):
    search = MtebVideoSearch(words_model, tmp_path, rerank=rerank, device="cpu")
    results = mteb.evaluate(search, as_task(rows, inside=inside), cache=None, show_progress_bar=False)
    (scores,) = results.task_results[0].scores["test"]
    ranks = our_ranks(PairScorer.from_pretrained(words_model, device="cpu"), rows, bool(rerank))
    found = [scores[f"recall_at_{k}"] for k in (1, 3, 5, 10, 20)]
    assert found == pytest.approx([float((ranks <= k).mean()) for k in (1, 3, 5, 10, 20)], abs=1e-4)
    assert found[0] < found[2] < found[4] < 1
    assert results.model_name == f"{words_model.parent.name}/words"


def test_other_tasks_are_refused(rows, words_model, tmp_path):
    task = as_task(rows, inside=False)
    task.load_data()
    split = task.dataset["default"]["test"]
    search = MtebVideoSearch(words_model, tmp_path, device="cpu")
    facts = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
    with pytest.raises(InvalidInputError, match=r"MovingShapesRetrieval: .* 'video' of the corpus, got \['id', 't"):
        search.index(split["queries"], **facts)
    with pytest.raises(InvalidInputError, match="index the corpus first"):
        search.search(split["queries"], top_k=1, **facts)
    with pytest.raises(InvalidInputError, match="column 'text' of the queries"):
        search.search(split["corpus"], top_k=1, **facts)


def test_only_what_is_to_be_ranked_is_found(rows, words_model, tmp_path):
    task = as_task(rows[:4], inside=False)
    task.load_data()
    split = task.dataset["default"]["test"]
    search = MtebVideoSearch(words_model, tmp_path, device="cpu")
    facts = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
    search.index(split["corpus"], **facts)
    some = {f"q{place}": ["v'1", f"v'{place or 2}"] for place in range(4)}
    found = search.search(split["queries"], top_k=10, top_ranked=some, **facts)
    assert {query: set(videos) for query, videos in found.items()} == {q: set(ids) for q, ids in some.items()}
