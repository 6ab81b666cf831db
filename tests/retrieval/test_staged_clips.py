"""Staged clips: which clips, which videos, how many pairs; by hand and against exhaustive scoring."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf import InvalidInputError
from clipbert_hf.retrieval.staged_clips import choose_shares, clip_stages, staged_pairs, staged_scores


@given(st.integers(0, 6))
def test_every_clip_has_its_stage(power):
    stages = clip_stages(2**power)
    assert sorted(clip for stage in stages for clip in stage) == list(range(2**power))
    assert [len(stage) for stage in stages] == [1, *(2**stage for stage in range(power))]


def table(scores):
    return lambda pairs, clips: scores[pairs[:, 0], pairs[:, 1]][:, clips]


def test_a_table_by_hand():
    # Clip 1 comes first: videos 0 and 1 go on; then clip 0 puts video 1 first.
    scores = np.array([[[0.0, 9.0], [5.0, 8.0], [99.0, 1.0], [0.0, 2.0]]])
    found = staged_scores(table(scores), 1, 4, clips=2, shares=[0.5])
    assert (-found.scores[0]).argsort(kind="stable").tolist() == [1, 0, 3, 2]
    assert (found.pairs, found.exhaustive_pairs) == (4 + 2, 8)
    assert staged_pairs(1, 4, clips=2, shares=[0.5]) == 6


@given(st.integers(0, 1000))
def test_with_all_videos_kept_it_is_exhaustive(seed):
    scores = np.random.default_rng(seed).normal(size=(3, 5, 4))
    found = staged_scores(table(scores), 3, 5, clips=4, shares=[1.0, 1.0])
    assert found.pairs == found.exhaustive_pairs
    assert np.array_equal((-found.scores).argsort(1), (-scores.mean(-1)).argsort(1))


def test_shares_are_the_cheapest_that_lose_little():
    generator = np.random.default_rng(0)
    right = np.eye(40)[..., None] * 5
    scores = right + generator.normal(size=(40, 40, 16))
    choices = [(0.5, 0.4, 0.3, 0.2), (0.5, 0.2, 0.1, 0.05)]
    assert choose_shares(scores, np.arange(40), choices=choices, loss=1.0) == choices[1]
    assert choose_shares(scores, np.arange(40), choices=choices, loss=-2.0) == choices[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="power of two; got 6"):
        clip_stages(6)
    with pytest.raises(InvalidInputError, match="1 falling numbers"):
        staged_scores(table(np.zeros((1, 2, 2))), 1, 2, clips=2, shares=[0.5, 0.2])
