"""Evaluations score as the model's forward does, with whatever accelerate has wrapped around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from reference_inputs import tiny_config
from torch import nn

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
)
from clipbert_hf.training.tasks.pair_scoring import EvaluationScorer

HEADS = [ClipBertForVideoQuestionAnswering, ClipBertForVideoRegression, ClipBertForVideoTextRetrieval]


class Wrapped(nn.Module):
    """As DDP is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def inputs(videos: int = 2, texts: tuple[int, ...] = (3,)) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 7, texts, generator=generator)
    return {
        "input_ids": torch.randint(1, 60, (*texts, 6), generator=generator),
        "attention_mask": (torch.arange(6) < lengths[..., None]).long(),
        "pixel_values_videos": torch.randn(videos, 3, 2, 3, 64, 64, generator=generator),
    }


@pytest.mark.parametrize("head", HEADS)
def test_texts_of_several_videos(head: Any) -> None:
    torch.manual_seed(0)
    model = head(tiny_config()).eval()
    some = {**inputs(), "texts_per_video": torch.tensor([1, 2])}
    with torch.no_grad():
        expected = model(**some).clip_logits
    scorer = EvaluationScorer(pairs_at_once=2)
    torch.testing.assert_close(scorer.clip_logits(Wrapped(model).eval(), some), expected)
    assert scorer.of(model) is scorer.of(Wrapped(model))
    scorer.release()
    one_each = inputs(videos=3)
    with torch.no_grad():
        torch.testing.assert_close(scorer.clip_logits(model, one_each), model(**one_each).clip_logits)


def test_choices_of_several_questions() -> None:
    torch.manual_seed(0)
    model = ClipBertForMultipleChoice(tiny_config()).eval()
    for some in ({**inputs(texts=(3, 4)), "texts_per_video": torch.tensor([2, 1])}, inputs(texts=(2, 4))):
        with torch.no_grad():
            expected = model(**some).clip_logits
        assert expected.shape == (len(some["input_ids"]), 3, 4)
        torch.testing.assert_close(EvaluationScorer().clip_logits(model, some), expected)


def test_where_only_forward_will_do() -> None:
    """A model of another kind, or one whose parameters DeepSpeed has taken apart."""
    scorer = EvaluationScorer()
    logits = torch.zeros(3, 2, 1)
    assert scorer.clip_logits(lambda **_: SimpleNamespace(clip_logits=logits), inputs()) is logits  # type: ignore[arg-type]
    model = ClipBertForVideoTextRetrieval(tiny_config()).eval()
    assert scorer.of(model) is not None
    next(model.parameters()).ds_id = 0
    assert scorer.of(model) is None
    some = inputs(videos=3)
    with torch.no_grad():
        torch.testing.assert_close(scorer.clip_logits(model, some), model(**some).clip_logits)
