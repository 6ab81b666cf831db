"""Two rankings as one, by hand tables."""

import numpy as np
import pytest

from clipbert_hf import ClipBertConfig, InvalidInputError
from clipbert_hf.retrieval.fusion import ScoreFusion, choose_fusion, two_stage_scores


def test_candidates_come_first_and_are_ordered_by_both_scores():
    first = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    matching = np.array([[0.0, 1.0, 9.0, 9.0], [5.0, 0.0, 0.0, 0.0]])
    order = two_stage_scores(first, matching, ScoreFusion(), candidates=2).argsort(axis=1)[:, ::-1]
    assert order.tolist() == [[1, 0, 2, 3], [3, 2, 1, 0]]
    assert two_stage_scores(first, matching, ScoreFusion(weight=0.0), 1).argsort(axis=1)[0, ::-1].tolist() == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize("candidates", [None, 3, 9])
def test_all_videos_may_be_candidates(candidates):
    first, matching = np.array([[1.0, 2.0, 3.0]]), np.array([[6.0, 0.0, 0.0]])
    found = two_stage_scores(first, matching, ScoreFusion(2.0, 4.0, 0.5), candidates)
    assert found.tolist() == [[0.5 + 0.75, 1.0, 1.5]]


def test_the_weight_is_the_one_with_which_texts_find_their_videos():
    generator = np.random.default_rng(0)
    right = np.eye(6)
    noise = generator.normal(size=(6, 6))
    assert choose_fusion(right, right * 9, np.arange(6)).weight == 1.0  # all are as good: the middle one
    assert choose_fusion(right, -right, np.arange(6)).weight < 1.0
    chosen = choose_fusion(noise * 0.01, right * 9, np.arange(6))
    assert chosen.weight > 0
    assert chosen.matching_std == pytest.approx(9 * np.std(right))
    assert two_stage_scores(noise * 0.01, right * 9, chosen).argmax(1).tolist() == list(range(6))


def test_shapes_must_agree():
    with pytest.raises(InvalidInputError, match=r"one shape; got \(2, 3\) and \(3, 2\)"):
        choose_fusion(np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(2, dtype=int))


def test_the_model_keeps_it(tmp_path):
    fusion = ScoreFusion(0.25, 3.0, 0.5)
    ClipBertConfig(score_fusion=fusion.to_dict()).save_pretrained(tmp_path)
    assert ScoreFusion.from_config(ClipBertConfig.from_pretrained(tmp_path)) == fusion
    assert ScoreFusion.from_config(ClipBertConfig()) is None
