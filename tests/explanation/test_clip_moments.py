from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.errors import InvalidInputError
from clipbert_hf.explanation.moments import clip_shares, deciding_clips

LOGITS = np.array([[2.0, 1.0, 0.0], [5.0, 0.0, 1.0], [1.0, 3.0, 0.0]])


def test_shares_table() -> None:
    assert clip_shares(LOGITS, 0, "max").tolist() == [0, 1, 0]
    powers = [np.exp(2), np.exp(5), np.exp(1)]
    assert clip_shares(LOGITS, 0, "lse").tolist() == pytest.approx([each / sum(powers) for each in powers])
    # Answer 1 is the next best of the video, 4/3 in the mean: 1, 5 and -2 before it.
    assert clip_shares(LOGITS, 0, "mean").tolist() == pytest.approx([1 / 6, 5 / 6, 0])
    # Answer 2 is behind answer 0 in each clip.
    assert clip_shares(LOGITS, 2, "mean").tolist() == pytest.approx([1 / 3] * 3)
    # A match or none: what is above 0 speaks for it.
    assert clip_shares(np.array([[3.0], [-1.0], [1.0]]), 0, "mean").tolist() == [0.75, 0, 0.25]
    with pytest.raises(InvalidInputError, match="one of mean, max, lse"):
        clip_shares(LOGITS, 0, "sum")


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_shares_of_lse_and_max_are_gradients(seed: int, clips: int) -> None:
    """How far the aggregated logit follows that of each clip."""
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (clips, 4))).requires_grad_()
    for name, aggregated in (("lse", logits.logsumexp(0)), ("max", logits.amax(0))):
        (gradient,) = torch.autograd.grad(aggregated[1], logits)
        shares = clip_shares(logits.detach().numpy(), 1, name)
        assert shares == pytest.approx(gradient[:, 1].numpy())
        assert shares.sum() == pytest.approx(1)


def test_which_decide() -> None:
    assert deciding_clips([0.2, 0.5, 0.3]) == (1,)
    assert deciding_clips([0.25] * 4) == (0, 1)
    assert deciding_clips([0.1, 0.4, 0.3, 0.2]) == (1, 2)
    assert deciding_clips([1.0]) == (0,)
