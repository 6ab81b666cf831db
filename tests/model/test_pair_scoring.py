"""Scoring pairs gives what forward gives, for every head, and does nothing twice."""

from __future__ import annotations

import shutil

import pytest
import torch
from reference_inputs import tiny_config
from timm.layers import StdConv2d
from torch import nn

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertModel,
    InvalidInputError,
)
from clipbert_hf.model import prepared_linear_clipbert
from clipbert_hf.model.folded_backbone_clipbert import prepare_backbone
from clipbert_hf.model.pair_scoring_clipbert import BlockSize, ClipBertPairScorer
from clipbert_hf.model.prepared_linear_clipbert import can_pack

HEADS = [
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
]
TEXTS, VIDEOS, CLIPS, TOKENS = 5, 3, 2, 7
LENGTHS = torch.tensor([3, 7, 5, 3, 1])
MASK = (torch.arange(TOKENS) < LENGTHS[:, None]).long()


def make(model_class=ClipBertForVideoTextRetrieval, **options):
    """A small model whose weights and statistics are far from their beginnings, so that every part matters."""
    torch.manual_seed(0)
    model = model_class(tiny_config(**options)).eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(torch.randn(tensor.shape) * 0.1)
            elif "backbone" not in name and tensor.is_floating_point():
                tensor.mul_(4)
    return model


def inputs(side=64, frames=2):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 60, (TEXTS, TOKENS), generator=generator)
    return ids, torch.randn(VIDEOS, CLIPS, frames, 3, side, side, generator=generator)


def every_pair_of_forward(model, ids, pixels, mask=MASK, **more):
    """Logits (texts, videos, labels) and clip_logits (texts, videos, clips, labels), video by video."""
    outputs = []
    for video in pixels:
        if isinstance(model, ClipBertForMultipleChoice):
            output = model(ids[:, None], mask[:, None], video[None], **more)
        else:
            output = model(ids, mask, video[None], **more)
        outputs.append(output)
    return torch.stack([o.logits for o in outputs], 1), torch.stack([o.clip_logits for o in outputs], 1)


@torch.no_grad()
def assert_equal_to_forward(model, side=64, tolerance=1e-5, mask=MASK, **options):
    ids, pixels = inputs(side)
    logits, clip_logits = every_pair_of_forward(model, ids, pixels, mask)
    scorer = ClipBertPairScorer(model, **options)
    output = scorer.score_pairs(ids, mask, videos=scorer.encode_videos(pixels))
    torch.testing.assert_close(output.logits, logits, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(output.clip_logits, clip_logits, rtol=tolerance, atol=tolerance)
    assert logits.std() > 100 * tolerance  # so that equality says something
    return scorer


@pytest.mark.parametrize("aggregation", ["mean", "max", "lse"])
@pytest.mark.parametrize("head", HEADS)
def test_scores_are_those_of_forward(head, aggregation):
    if head is ClipBertForVideoRegression and aggregation == "lse":
        return  # no such model
    scorer = assert_equal_to_forward(make(head, score_aggregation=aggregation))
    assert scorer.plain_because is None


@pytest.mark.parametrize(
    "options",
    [
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 4},
        {"hidden_act": "gelu_new"},
        {"hidden_act": "relu"},
        {"temporal_fusion": "conv3d"},
        {"temporal_fusion": "conv2plus1d", "frame_color_order": "rgb"},
        {"freeze_batch_norm": False, "pixel_random_sampling_size": 2},
        {"attn_implementation": "eager"},
        {"chunk_size_feed_forward": 1},
    ],
    ids=str,
)
def test_whatever_the_configuration(options):
    assert_equal_to_forward(make(**options), side=128)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_byobnet", "resnet18d", "resnetv2_50"])
def test_batch_norm_folds_into_any_cnn(backbone):
    """With the activation in it, before a convolution instead of after it, or none that can be folded."""
    assert_equal_to_forward(make(backbone=backbone, freeze_backbone_stages=0), side=128)


def test_no_batch_norm_remains_after_convolutions():
    model = make()
    prepared = prepare_backbone(model.clipbert.grid_backbone, torch.float32)
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.clipbert.grid_backbone.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())


def test_convolutions_that_normalise_their_weights_keep_their_batch_norm():
    backbone = make().clipbert.grid_backbone
    backbone.freeze_backbone_stages = 0
    convolution = StdConv2d(8, 4, 3)
    backbone.backbone = FeatureList(convolution, nn.BatchNorm2d(4))
    with torch.no_grad():
        backbone.backbone[1].running_var.fill_(9)
    prepared = prepare_backbone(backbone.eval(), torch.float32)
    assert isinstance(prepared.backbone[1], nn.BatchNorm2d)


class FeatureList(nn.Sequential):
    """What timm's networks of features look like, from three colours."""

    def forward(self, frames):
        return [super().forward(frames[:, :1].expand(-1, 8, -1, -1))]


def test_without_packed_weights(monkeypatch):
    monkeypatch.setattr(prepared_linear_clipbert, "can_pack", lambda dtype: False)
    assert_equal_to_forward(make(num_hidden_layers=3))


def test_scores_are_what_the_task_compares():
    ids, pixels = inputs()
    for head, options in [
        (ClipBertForVideoTextRetrieval, {}),
        (ClipBertForVideoTextRetrieval, {"retrieval_loss": "rank"}),
    ]:
        model = make(head, **options)
        scorer = ClipBertPairScorer(model)
        output = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(pixels))
        with torch.no_grad():
            expected = torch.stack([model(ids, MASK, video[None]).scores for video in pixels], 1)
        torch.testing.assert_close(output.scores, expected)
    shapes = {ClipBertForMultipleChoice: (), ClipBertForVideoRegression: (), ClipBertForVideoQuestionAnswering: (5,)}
    for head, shape in shapes.items():
        scorer = ClipBertPairScorer(make(head))
        output = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(pixels))
        assert output.scores.shape == (TEXTS, VIDEOS, *shape)
    scorer = ClipBertPairScorer(make(ClipBertForVideoQuestionAnswering, problem_type="multi_label_classification"))
    output = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(pixels))
    torch.testing.assert_close(output.scores, output.logits.sigmoid())


@pytest.mark.parametrize("options", [{}, {"retrieval_loss": "rank"}])
def test_a_temperature_changes_probabilities_alone(options):
    ids, pixels = inputs()
    model = make(**options)
    scorer = ClipBertPairScorer(model, pairs_at_once=8)
    videos = scorer.encode_videos(pixels)
    published = scorer.score_pairs(ids, MASK, videos=videos)
    model.config.calibration_temperature = 1.7
    calibrated = scorer.score_pairs(ids, MASK, videos=videos)
    assert torch.equal(calibrated.logits, published.logits)
    logits = published.logits / 1.7
    expected = logits[..., 0].sigmoid() if options else logits.softmax(-1)[..., 1]
    torch.testing.assert_close(calibrated.scores, expected)
    with torch.no_grad():
        of_forward = model(ids[:1], MASK[:1], pixels[:1])
    torch.testing.assert_close(of_forward.scores, expected[0, :1])


def test_padding_may_be_anywhere_but_first():
    mask = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [1] * 7, [1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 1], [1] + [0] * 6])
    assert_equal_to_forward(make(), mask=mask)
    scorer = ClipBertPairScorer(make())
    ids, pixels = inputs()
    videos = scorer.encode_videos(pixels)
    with pytest.raises(InvalidInputError, match="first token"):
        scorer.score_pairs(ids, mask.flip(1), videos=videos)


def test_token_types_and_no_mask():
    model = make()
    ids, pixels = inputs()
    types = (torch.arange(TOKENS) > 2).long().expand_as(ids)
    scorer = ClipBertPairScorer(model)
    output = scorer.score_pairs(ids, videos=scorer.encode_videos(pixels), token_type_ids=types)
    with torch.no_grad():
        logits, _ = every_pair_of_forward(model, ids, pixels, torch.ones_like(ids), token_type_ids=types)
    torch.testing.assert_close(output.logits, logits, rtol=1e-5, atol=1e-5)


def test_named_pairs_are_rows_of_all_pairs():
    scorer = ClipBertPairScorer(make(), pairs_at_once=4)
    ids, pixels = inputs()
    videos = scorer.encode_videos(pixels)
    pairs = torch.tensor([[4, 0], [1, 2], [1, 0], [1, 2]])
    some = scorer.score_pairs(ids, MASK, videos=videos, pairs=pairs)
    everything = scorer.score_pairs(ids, MASK, videos=videos)
    torch.testing.assert_close(some.clip_logits, everything.clip_logits[pairs[:, 0], pairs[:, 1]])
    torch.testing.assert_close(some.scores, everything.scores[pairs[:, 0], pairs[:, 1]])


def test_equal_frames_and_clips_are_computed_once():
    model = make()
    ids, pixels = inputs()
    pixels[0, 1] = pixels[0, 0]
    indices = torch.tensor([[[0, 5], [0, 5]], [[0, 1], [1, 2]], [[3, 3], [4, 4]]])
    pixels[1, 1, 0], pixels[2, :, 1] = pixels[1, 0, 1], pixels[2, :, 0]
    scorer = ClipBertPairScorer(model)
    passed, done = [], []
    scorer.encode_videos(pixels)
    backbone = scorer._prepared.backbone
    backbone.register_forward_pre_hook(lambda _, frames: passed.append(len(frames[0])))
    videos = scorer.encode_videos(pixels, indices)
    output = scorer.score_pairs(ids, MASK, videos=videos, on_pairs=done.append)
    assert passed == [2 + 3 + 2]
    assert len(videos.tokens) == 1 + 2 + 2
    assert sum(done) == TEXTS * 5
    with torch.no_grad():
        logits, clip_logits = every_pair_of_forward(model, ids, pixels)
    torch.testing.assert_close(output.logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.clip_logits, clip_logits, rtol=1e-5, atol=1e-5)


def test_grid_features_stand_in_for_pixels():
    model = make()
    ids, pixels = inputs()
    scorer = ClipBertPairScorer(model)
    with torch.no_grad():
        grid = model.get_grid_features(pixels)
    by_grid = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(grid_features=grid))
    by_pixels = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(pixels))
    torch.testing.assert_close(by_grid.logits, by_pixels.logits, rtol=1e-5, atol=1e-5)


def test_weights_are_never_stale():
    """A step of an optimizer, loaded weights, replaced weights, another type."""
    model = make()
    scorer = assert_equal_to_forward(model)
    ids, pixels = inputs()

    def check(tolerance=1e-5):
        with torch.no_grad():
            logits, _ = every_pair_of_forward(model, ids, pixels.to(model.dtype))
        output = scorer.score_pairs(ids, MASK, videos=scorer.encode_videos(pixels))
        torch.testing.assert_close(output.logits, logits, rtol=tolerance, atol=tolerance, check_dtype=False)

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.train()
    model(ids[:VIDEOS], pixel_values_videos=pixels, labels=torch.tensor([0, 1, 1])).loss.backward()
    optimizer.step()
    model.eval()
    check()
    other = make()
    with torch.no_grad():
        other.clipbert.grid_backbone.backbone.bn1.running_mean.add_(1)
        other.clipbert.encoder.layer[1].output.dense.bias.add_(1)
    model.load_state_dict(other.state_dict())
    check()
    model.clipbert.encoder.layer[0].attention.self.key.weight = nn.Parameter(torch.randn(32, 32))
    check()
    prepared = scorer._prepared
    check()
    assert scorer._prepared is prepared
    model.double()
    check(tolerance=1e-9)


class Adapted(nn.Linear):
    """A linear layer that does something else than its weight says."""

    def forward(self, hidden):
        return super().forward(hidden) + hidden.mean(-1, keepdim=True)


def test_what_is_unusual_is_run_as_it_is():
    model = make()
    query = model.clipbert.encoder.layer[1].attention.self.query
    adapted = Adapted(*query.weight.T.shape)
    adapted.load_state_dict(query.state_dict())
    model.clipbert.encoder.layer[1].attention.self.query = adapted.eval()
    assert "Adapted" in assert_equal_to_forward(model).plain_because

    model = make()
    handle = model.clipbert.encoder.layer[0].register_forward_hook(lambda _, __, output: output * 1.5)
    scorer = assert_equal_to_forward(model)
    assert "hooks" in scorer.plain_because

    model = make()
    model.clipbert.grid_backbone.backbone.layer1.register_forward_hook(lambda _, __, output: output * 1.5)
    assert_equal_to_forward(model)
    handle.remove()


def test_hidden_states_on_request_leave_the_fast_path():
    model = make()
    ids, pixels = inputs()
    model(ids, MASK, pixels[:1], output_hidden_states=True)
    assert assert_equal_to_forward(model).plain_because is None


@pytest.mark.parametrize("way", ["argument", "autocast", "model"])
def test_bf16_is_close(way):
    model = make()
    ids, pixels = inputs()
    with torch.no_grad():
        logits, _ = every_pair_of_forward(model, ids, pixels)
    if way == "model":
        model.to(torch.bfloat16)
    scorer = ClipBertPairScorer(model, dtype=torch.bfloat16 if way == "argument" else None)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        videos = scorer.encode_videos(pixels)
        output = scorer.score_pairs(ids, MASK, videos=videos)
    assert videos.tokens.dtype == torch.bfloat16
    assert output.logits.dtype == torch.float32
    assert (output.logits - logits).abs().max() < 0.1 * logits.abs().max()
    assert not torch.equal(output.logits, logits)


def test_a_block_size_is_found_on_the_first_blocks():
    size = BlockSize(None, torch.device("cpu"))
    tried = []
    while size.best is None:
        tried.append(size.next())
        size.note(tried[-1], tried[-1] - 1, 10, 0.0)  # the rest of a group: says little
        size.note(tried[-1], tried[-1], 10, 0.0)
    assert tried == [16, 16, 32, 64, 128]
    assert size.next() in tried
    assert BlockSize(7, torch.device("cpu")).next() == 7


def test_blocks_of_any_size_give_the_same():
    model = make()
    for size in (1, 3, 1000, None):
        assert_equal_to_forward(model, pairs_at_once=size)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler of C++")
def test_compiled_encoders_give_the_same():
    assert_equal_to_forward(make(), compiled=True)


def test_what_is_run_as_it_is_cannot_be_compiled():
    model = make()
    model.clipbert.encoder.register_forward_hook(lambda *_: None)
    _, pixels = inputs()
    with pytest.raises(InvalidInputError, match=r"compiled: the encoder .* has hooks"):
        ClipBertPairScorer(model, compiled=True).encode_videos(pixels)


def test_packed_products_are_tried_before_they_are_trusted():
    assert not can_pack(torch.float64)
    assert can_pack(torch.float32) in (True, False)


def test_wrong_input_gives_one_clear_error():
    model = make()
    scorer = ClipBertPairScorer(model)
    ids, pixels = inputs()
    videos = scorer.encode_videos(pixels)
    for pairs in (torch.tensor([[0, VIDEOS]]), torch.tensor([[-1, 0]]), torch.tensor([[0]])):
        with pytest.raises(InvalidInputError, match="pairs must hold places"):
            scorer.score_pairs(ids, MASK, videos=videos, pairs=pairs)
    with pytest.raises(InvalidInputError, match="at least one pair"):
        scorer.score_pairs(ids, MASK, videos=videos, pairs=torch.zeros(0, 2, dtype=torch.long))
    with pytest.raises(InvalidInputError, match="frame_indices"):
        scorer.encode_videos(pixels, torch.zeros(1, 1, 1))
    with pytest.raises(InvalidInputError, match="grid_features"):
        scorer.encode_videos()
    with pytest.raises(InvalidInputError, match="head"):
        ClipBertPairScorer(ClipBertModel(tiny_config()))
    with pytest.raises(InvalidInputError, match="pairs_at_once"):
        ClipBertPairScorer(model, pairs_at_once=0)
    with pytest.raises(InvalidInputError, match="float16 is for accelerators"):
        ClipBertPairScorer(model, dtype=torch.float16)
    model.train()
    for call in (lambda: scorer.encode_videos(pixels), lambda: scorer.score_pairs(ids, MASK, videos=videos)):
        with pytest.raises(InvalidInputError, match=r"model\.eval"):
            call()
