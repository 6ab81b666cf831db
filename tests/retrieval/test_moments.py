"""Where in a video a text is found, by hand."""

from __future__ import annotations

import numpy as np

from clipbert_hf.retrieval.moments import Moment, WordMoment, best_moment, matching_spans, word_moments

SECONDS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])


def test_the_best_clip_of_a_text_and_of_each_word():
    cosines = np.array([[0.1, 0.5, 0.2], [0.9, 0.0, 0.0], [0.1, 0.0, 0.8]])
    assert best_moment(cosines.mean(axis=0), SECONDS) == Moment(0.0, 1.0, cosines[:, 0].mean())
    one, two = word_moments([("red", [0]), ("circles", [1, 2])], cosines, SECONDS)
    assert one == WordMoment(2.0, 3.0, 0.5, "red")
    assert two == WordMoment(0.0, 1.0, 0.5, "circles")


def test_neighbouring_clips_are_one_span():
    assert matching_spans(np.array([0.9, 1.0, 0.0]), SECONDS) == (Moment(0.0, 3.0, 1.0),)
    assert matching_spans(np.array([0.9, 0.0, 1.0]), SECONDS) == (Moment(4.0, 5.0, 1.0), Moment(0.0, 1.0, 0.9))
    assert matching_spans(np.array([0.5, 0.5, 0.5]), SECONDS) == (Moment(0.0, 5.0, 0.5),)
