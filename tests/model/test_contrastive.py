"""The contrastive head: similarities and losses against naive ones, vectors that depend on one text or clip alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf import ClipBertConfig, ClipBertForPreTraining, ClipBertForVideoTextRetrieval, InvalidInputError
from clipbert_hf.model.contrastive_clipbert import contrastive_loss, contrastive_similarity
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "backbone": "resnet18",
    "backbone_kwargs": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
    "backbone_stride_in_1x1": False,
    "cls_token_id": 2,
    "sep_token_id": 3,
}


def small_model(model_class=ClipBertForVideoTextRetrieval, **options):
    torch.manual_seed(0)
    return model_class(ClipBertConfig(**{**SIZES, "contrastive_size": 8, **options})).eval()


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(1)), dim=-1)


@pytest.mark.parametrize("pooling", ["maxsim", "mean", "max"])
def test_similarity_is_that_of_loops(pooling):
    texts, clips = unit(3, 4, 5), unit(2, 6, 5)
    text_mask = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    clip_mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 1, 1]]).bool()
    found = contrastive_similarity(texts, text_mask, clips, clip_mask, pooling)
    for text in range(3):
        for video in range(2):
            there = clips[video][clip_mask[video]]
            if pooling == "mean":
                there = there.mean(0, keepdim=True)
            elif pooling == "max":
                there = there.max(0, keepdim=True).values
            if pooling != "maxsim":
                there = there / there.norm()
            best = [max(float(token @ clip) for clip in there) for token in texts[text][text_mask[text]]]
            assert float(found[text, video]) == pytest.approx(sum(best) / len(best), abs=1e-6)


def test_many_texts_are_compared_in_parts(monkeypatch):
    texts, clips, mask = unit(5, 3, 4), unit(2, 3, 4), torch.ones(5, 3).bool()
    whole = contrastive_similarity(texts, mask, clips)
    monkeypatch.setattr("clipbert_hf.model.contrastive_clipbert._PAIRS_AT_ONCE", 40)
    torch.testing.assert_close(contrastive_similarity(texts, mask, clips), whole)
    assert contrastive_similarity(texts[:0], mask[:0], clips).shape == (0, 2)


def test_unknown_pooling_is_refused():
    with pytest.raises(InvalidInputError, match="one of maxsim, mean, max; got 'sum'"):
        contrastive_similarity(unit(1, 1, 4), torch.ones(1, 1).bool(), unit(1, 1, 4), None, "sum")


def naive_loss(similarity, video_of_text, matches, scale):
    losses = []
    for text, video in enumerate(video_of_text.tolist()):
        videos = [other for other in range(similarity.shape[1]) if other == video or not matches[text, other]]
        texts = [other for other in range(len(similarity)) if other == text or not matches[other, video]]
        own = scale * float(similarity[text, video])
        losses.append(
            math.log(sum(math.exp(scale * float(similarity[text, other])) for other in videos)) / 2
            + math.log(sum(math.exp(scale * float(similarity[other, video])) for other in texts)) / 2
            - own
        )
    return losses


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2**24 - 1))
def test_loss_is_that_of_loops(videos, bits):
    similarity = unit(len(videos), 4)
    video_of_text = torch.tensor(videos)
    matches = torch.tensor(
        [[bool(bits >> (4 * text + video) & 1) for video in range(4)] for text in range(len(videos))]
    )
    matches[range(len(videos)), videos] = True
    found = contrastive_loss(similarity, video_of_text, matches, torch.tensor(5.0))
    assert found.tolist() == pytest.approx(naive_loss(similarity, video_of_text, matches, 5.0), abs=1e-5)


def test_captions_of_one_video_are_no_negatives_of_each_other():
    similarity = torch.tensor([[0.9], [0.1]], requires_grad=True)
    loss = contrastive_loss(similarity, torch.tensor([0, 0]), torch.ones(2, 1).bool(), torch.tensor(10.0)).sum()
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert similarity.grad.abs().max() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pooling", ["maxsim", "mean"])
def test_vectors_depend_on_one_text_or_clip_alone(pooling):
    model = small_model(contrastive_pooling=pooling)
    pixels, ids = torch.randn(2, 3, 2, 3, 64, 64), torch.randint(5, 50, (3, 6))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6])
    output = model(contrastive_input_ids=ids, contrastive_attention_mask=mask, pixel_values_videos=pixels)
    assert output.loss is None
    torch.testing.assert_close(output.clip_embeds.norm(dim=-1), torch.ones(2, 3))
    assert output.text_embeds.shape == (3, 6 if pooling == "maxsim" else 1, 8)
    assert output.text_embeds_mask.sum(1).tolist() == ([6, 4, 6] if pooling == "maxsim" else [1, 1, 1])
    alone, kept = model.embed_texts(ids[1:2, :4])
    torch.testing.assert_close(output.text_embeds[1, : kept.sum()], alone[0], atol=1e-5, rtol=0)
    videos = ClipBertPairScorer(model).encode_videos(pixels[1:, 2:])
    torch.testing.assert_close(model.embed_clips(videos.tokens), output.clip_embeds[1:, 2], atol=1e-5, rtol=0)


def test_a_clip_is_seen_beside_an_empty_text():
    model = small_model()
    grid = model.get_grid_features(torch.randn(1, 1, 2, 3, 64, 64))
    state = model.clipbert(torch.tensor([[2, 3]]), grid_features=grid).last_hidden_state[:, 0, 0]
    wanted = torch.nn.functional.normalize(model.contrastive.clip_projection(state), dim=-1)
    torch.testing.assert_close(model.embed_videos(grid)[0], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_class", [ClipBertForVideoTextRetrieval, ClipBertForPreTraining])
def test_a_head_beside_changes_no_score(model_class):
    model, without = small_model(model_class), small_model(model_class, contrastive_size=0)
    without.load_state_dict(model.state_dict(), strict=False)
    pixels, ids = torch.randn(2, 3, 1, 3, 64, 64), torch.randint(5, 50, (2, 6))
    alone = without(ids, pixel_values_videos=pixels)
    beside = model(ids, pixel_values_videos=pixels, contrastive_input_ids=ids)
    assert alone.clip_embeds is None
    torch.testing.assert_close(alone.logits, beside.logits, atol=1e-5, rtol=0)


def test_pairs_may_be_scored_with_fewer_clips():
    model = small_model()
    pixels, ids = torch.randn(2, 3, 1, 3, 64, 64), torch.randint(5, 50, (2, 6))
    both = model(ids, pixel_values_videos=pixels, contrastive_input_ids=ids, matching_clips=2)
    assert both.clip_embeds.shape[1] == 3
    torch.testing.assert_close(both.logits, model(ids, pixel_values_videos=pixels[:, :2]).logits, atol=1e-5, rtol=0)


def test_what_does_not_go_together_is_refused():
    model, pixels, ids = small_model(), torch.randn(1, 1, 1, 3, 64, 64), torch.randint(5, 50, (1, 4))
    with pytest.raises(InvalidInputError, match="input_ids must be given, or contrastive_input_ids"):
        model(pixel_values_videos=pixels)
    with pytest.raises(InvalidInputError, match="matching_clips goes with contrastive_input_ids"):
        model(ids, pixel_values_videos=pixels, matching_clips=1)
    with pytest.raises(InvalidInputError, match="no contrastive head"):
        small_model(contrastive_size=0)(contrastive_input_ids=ids, pixel_values_videos=pixels)
    with pytest.raises(InvalidInputError, match=r"needs cls_token_id and sep_token_id .*; got None and 3"):
        small_model(cls_token_id=None)
    with pytest.raises(InvalidInputError, match="contrastive_pooling must be one of maxsim, mean, max"):
        ClipBertConfig(contrastive_pooling="sum")


def test_a_checkpoint_without_the_head_says_that_it_is_new(tmp_path):
    small_model(contrastive_size=0).save_pretrained(tmp_path)
    model, loaded = ClipBertForVideoTextRetrieval.from_pretrained(
        tmp_path, contrastive_size=4, output_loading_info=True
    )
    assert {name.split(".")[0] for name in loaded["missing_keys"]} == {"contrastive"}
    assert model.contrastive.scale.item() == pytest.approx(1 / 0.07)


def test_the_head_goes_from_pretraining_to_retrieval(tmp_path):
    before = small_model(ClipBertForPreTraining)
    before.save_pretrained(tmp_path)
    after = ClipBertForVideoTextRetrieval.from_pretrained(tmp_path)
    assert torch.equal(after.contrastive.text_projection.weight, before.contrastive.text_projection.weight)
