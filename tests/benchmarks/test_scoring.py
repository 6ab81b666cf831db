"""What the benchmark of scoring compares is the same, and its figures are what they say."""

from __future__ import annotations

import pytest
import torch
from reference_inputs import tiny_config
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import scoring
from benchmarks.published_procedure import published_scores
from benchmarks.scoring import KINDS, encoder_operations, run
from clipbert_hf import ClipBertForVideoTextRetrieval
from clipbert_hf.model import prepared_linear_clipbert
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer


@pytest.mark.parametrize("aggregation", ["mean", "max", "lse"])
def test_the_published_procedure_gives_our_scores(aggregation):
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(tiny_config(score_aggregation=aggregation)).eval()
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.mul_(20)
    pixels = torch.randn(3, 2, 2, 3, 128, 128)
    input_ids = torch.randint(1, 60, (5, 8))
    mask = (torch.arange(8) < torch.tensor([8, 3, 5, 8, 4])[:, None]).long()
    published = published_scores(model, pixels, input_ids, mask, texts_at_once=2)
    with torch.no_grad():
        of_forward = torch.stack([model(input_ids, mask, video[None]).scores for video in pixels], dim=1)
    scorer = ClipBertPairScorer(model)
    ours = scorer.score_pairs(input_ids, mask, videos=scorer.encode_videos(pixels)).scores
    torch.testing.assert_close(published, of_forward, rtol=0, atol=1e-5)
    torch.testing.assert_close(published, ours, rtol=0, atol=1e-5)
    assert published.std() > 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_lengths_are_as_stated(name):
    kind = KINDS[name]
    input_ids, mask = kind.tensors(64, 100)
    lengths = mask.sum(1)
    assert input_ids.shape == (64, kind.padded)
    assert abs(float(lengths.float().mean()) - kind.mean) < 0.3
    assert kind.shortest <= int(lengths.min()) <= kind.shortest + 1
    assert int(lengths.max()) == kind.padded
    assert torch.equal(input_ids > 0, mask.bool())


@pytest.mark.parametrize("layers", [1, 3])
def test_operations_are_those_that_are_done(layers, monkeypatch):
    """As PyTorch counts them; it does not count attention on a CPU, nor packed products."""
    monkeypatch.setattr(prepared_linear_clipbert, "can_pack", lambda dtype: False)
    config = tiny_config(num_hidden_layers=layers)
    model = ClipBertForVideoTextRetrieval(config).eval()
    scorer = ClipBertPairScorer(model)
    videos = scorer.encode_videos(torch.randn(1, 2, 1, 3, 128, 128))
    visual, size = videos.tokens.shape[1:]
    lengths = [3, 5, 5]
    mask = (torch.arange(5) < torch.tensor(lengths)[:, None]).long()
    with FlopCounterMode(display=False) as counter:
        scorer.score_pairs(mask * 7, mask, videos=videos)
    pairs, hidden = 3 * 2, config.hidden_size
    pooler_and_head = pairs * (2 * hidden**2 + 2 * hidden * 2 * hidden + 2 * 2 * hidden * 2)
    attended = sum(4 * size * ((layers - 1) * (n + visual) ** 2 + (n + visual)) for n in lengths) * 2
    counts = dict(counter.get_flop_counts()["Global"])
    counted = sum(count for operator, count in counts.items() if "attention" not in str(operator))
    assert counted == encoder_operations(config, lengths, visual, clips=2) - attended + pooler_and_head


def test_a_small_run_gives_every_figure(monkeypatch):
    monkeypatch.setattr(scoring, "GEMM_SIDE", 64)
    results = run(tiny_config(max_position_embeddings=100), side=64, texts=6, repeats=1)
    names = {f"{name}_{dtype}" for name in ("exact", "paragraphs", "gemm", "efficiency") for dtype in ("fp32", "bf16")}
    assert all(results[name] > 0 for name in names)
    assert 0 <= results["difference_fp32"] <= 1e-5
    assert 0 <= results["difference_bf16"] <= 0.01
