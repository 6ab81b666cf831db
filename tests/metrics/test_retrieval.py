from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbert_hf.metrics import Retrieval, dual_softmax, retrieval_metrics
from clipbert_hf.metrics.retrieval import rank_metrics, text_to_video_ranks, video_to_text_ranks

SOURCE = Path(__file__).parents[2] / "clipbert_hf" / "metrics" / "evaluation_modules" / "retrieval.py"

# Three videos; the first has two captions, the last none.
SCORES = np.array([[0.9, 0.2, 0.9], [0.1, 0.8, 0.3], [0.5, 0.7, 0.6]])
VIDEOS = np.array([0, 0, 1])
# Text 0 ties with video 2; text 1 is last; text 2 is first. Video 0: text 0 is first; video 1: text 1 is before text 2.
TABLE = {
    "text_to_video": {"r1": 1 / 3, "r5": 1.0, "r10": 1.0, "median_rank": 1.5, "mean_rank": 5.5 / 3},
    "video_to_text": {"r1": 0.5, "r5": 1.0, "r10": 1.0, "median_rank": 1.5, "mean_rank": 1.5},
}


def test_table() -> None:
    assert text_to_video_ranks(SCORES, VIDEOS).tolist() == [1.5, 3.0, 1.0]
    assert video_to_text_ranks(SCORES, VIDEOS).tolist() == [1.0, 2.0]
    result = retrieval_metrics(SCORES, VIDEOS)
    assert {name: pytest.approx(values) for name, values in result.items()} == TABLE


def naive_rank(scores: list[float], right: set[int]) -> float:
    """Mean over all orders that agree with the scores of the place of the first right one."""
    places = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            places.append(next(place for place, index in enumerate(order, 1) if index in right))
    return sum(places) / len(places)


CASES = st.integers(1, 5).flatmap(
    lambda videos: st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=videos, max_size=videos), st.integers(0, videos - 1)),
        min_size=1,
        max_size=5,
    )
)


@settings(deadline=None, max_examples=60)
@given(CASES)
def test_every_order_of_ties(rows: list[tuple[list[int], int]]) -> None:
    scores, videos = np.array([row for row, _ in rows]), np.array([video for _, video in rows])
    forward = [naive_rank(row, {video}) for row, video in rows]
    assert text_to_video_ranks(scores, videos) == pytest.approx(forward)
    backward = [
        naive_rank(scores[:, video].tolist(), set(np.flatnonzero(videos == video).tolist()))
        for video in sorted(set(videos.tolist()))
    ]
    assert video_to_text_ranks(scores, videos) == pytest.approx(backward)


@given(CASES, st.integers(-5, 5), st.integers(1, 4))
def test_only_the_order_of_scores_matters(rows: list[tuple[list[int], int]], shift: int, factor: int) -> None:
    scores, videos = np.array([row for row, _ in rows]), np.array([video for _, video in rows])
    assert retrieval_metrics(scores, videos) == retrieval_metrics(scores * factor + shift, videos)


def test_dual_softmax() -> None:
    scores = np.array([[4.0, 1.0], [3.0, 2.5]])  # video 0 fits everything
    over_videos = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    over_texts = np.exp(scores) / np.exp(scores).sum(0, keepdims=True)
    assert np.exp(dual_softmax(scores)) == pytest.approx(over_videos * over_texts)
    assert np.isfinite(dual_softmax(scores * 1e4)).all()
    plain = retrieval_metrics(scores, np.array([0, 1]))["text_to_video"]["r1"]
    dual = retrieval_metrics(scores, np.array([0, 1]), dual_softmax_scale=4.0)["text_to_video"]["r1"]
    assert (plain, dual) == (0.5, 1.0)


def test_loads_by_path_and_adds_batches_up() -> None:
    loaded = evaluate.load(str(SOURCE))
    for metric in (loaded, Retrieval()):
        for start in (0, 2):
            metric.add_batch(predictions=SCORES[start : start + 2], references=VIDEOS[start : start + 2])
        result = metric.compute()
        assert {name: pytest.approx(values) for name, values in result.items()} == TABLE


@pytest.mark.parametrize(
    ("scores", "videos", "message"),
    [
        (np.zeros(3), [0], r"shape \(texts, videos\)"),
        (np.zeros((0, 3)), [], "at least one each"),
        (np.zeros((2, 3)), [0], "for each of 2 texts"),
        (np.zeros((2, 3)), [0.0, 1.0], "index for each"),
        (np.zeros((2, 3)), [0, 3], "from 0 to 2; got 3"),
        (np.zeros((2, 3)), [-1, 2], "from 0 to 2; got -1"),
        (np.array([[0.0, np.nan]]), [0], "NaN for text 0 and video 1"),
    ],
)
def test_wrong_input(scores: np.ndarray, videos: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(scores, np.array(videos))


def test_no_ranks() -> None:
    with pytest.raises(ValueError, match="at least one rank"):
        rank_metrics(np.array([]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision(dtype):
    scores = torch.tensor([[0.5, 0.25, 0.125], [1.0, 2.0, 3.0]], dtype=dtype, requires_grad=True)
    videos = torch.tensor([0, 1])
    expected = retrieval_metrics(scores.detach().double().numpy(), videos.numpy(), dual_softmax_scale=2.0)
    assert retrieval_metrics(scores, videos, dual_softmax_scale=2.0) == expected
    assert retrieval_metrics(scores, videos)["text_to_video"]["mean_rank"] == 1.5


def test_the_cell_that_is_not_a_number_is_named():
    scores = torch.ones(2, 3, dtype=torch.bfloat16)
    scores[1, 2] = torch.nan
    with pytest.raises(ValueError, match="got NaN for text 1 and video 2"):
        retrieval_metrics(scores, torch.tensor([0, 1]))
