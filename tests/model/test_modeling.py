"""The models: the recorded outputs of the published model, and what must hold for any input."""

from __future__ import annotations

import pytest
import torch
from reference_inputs import CASES, TASK_OF_CLASS, case_inputs, published_state, tiny_config, tiny_inputs
from torch.nn import functional as F

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertModel,
    InvalidInputError,
)
from clipbert_hf.convert_original_checkpoint import TASKS, infer_config, load_published_state
from clipbert_hf.model.losses_clipbert import classification_loss

HEADS = [
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
]


def published_model(case, **options):
    state = published_state(case)
    task = TASK_OF_CLASS[case["original_class"]]
    config = infer_config(state, task, num_attention_heads=case["config"]["heads"])
    config.update(options)
    model = TASKS[task](config).eval()
    load_published_state(model, state)
    return model


def as_model_inputs(case):
    inputs = case_inputs(case)
    if case["tag"] == "multiple_choice":
        del inputs["texts_per_video"]
        for name in ("input_ids", "attention_mask"):
            inputs[name] = inputs[name].unflatten(0, (2, 5))
    return inputs


def case_by_tag(tag):
    return next(case for case in CASES["cases"] if case["tag"] == tag)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("tag", ["open_ended_qa", "multiple_choice", "retrieval_ce"])
def test_reproduces_the_published_logits_and_losses(tag, attention):
    case = case_by_tag(tag)
    model = published_model(case)
    model.set_attn_implementation(attention)
    labels = torch.tensor(case["labels"])
    for aggregation, expected in case["aggregated"].items():
        model.config.score_aggregation = aggregation
        with torch.no_grad():
            output = model(**as_model_inputs(case), labels=labels)
        torch.testing.assert_close(
            output.clip_logits.transpose(0, 1), torch.tensor(case["clip_logits"]), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(output.logits, torch.tensor(expected["logits"]), atol=1e-4, rtol=0)
        losses = F.cross_entropy(output.logits, labels, reduction="none")
        torch.testing.assert_close(losses, torch.tensor(expected["loss"]), atol=1e-4, rtol=0)
        torch.testing.assert_close(output.loss, torch.tensor(expected["loss"]).mean(), atol=1e-4, rtol=0)


def test_reproduces_the_published_rank_logits():
    case = case_by_tag("retrieval_rank")
    model = published_model(case)
    assert model.config.retrieval_loss == "rank"
    with torch.no_grad():
        output = model(**as_model_inputs(case), labels=torch.tensor([1, 0, 0, 1, 0, 0]))
    expected = torch.tensor(case["clip_logits"])
    torch.testing.assert_close(output.clip_logits.transpose(0, 1), expected, atol=1e-4, rtol=0)
    scores = expected[0, :, 0].sigmoid().tolist()
    margins = [max(0.2 + scores[j] - scores[i], 0) for i, j in [(0, 1), (0, 2), (3, 4), (3, 5)]]
    assert output.loss.item() == pytest.approx(sum(margins) / 4, abs=1e-5)
    assert output.scores.tolist() == pytest.approx(scores, abs=1e-5)


def test_reproduces_the_published_pretraining_outputs():
    case = case_by_tag("pretraining")
    model = published_model(case)
    mlm_labels, itm_labels = torch.tensor(case["mlm_labels"]), torch.tensor(case["itm_labels"])
    with torch.no_grad():
        output = model(**as_model_inputs(case), mlm_labels=mlm_labels, itm_labels=itm_labels)
    torch.testing.assert_close(
        output.mlm_logits[:, 0, :, :8], torch.tensor(case["mlm_scores_first8"]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(output.logits, torch.tensor(case["itm_scores"]), atol=1e-4, rtol=0)
    mlm_losses = torch.tensor(case["mlm_loss"])
    # As published the sum is divided by all 40 positions; ours is the mean over the 4 masked ones.
    assert output.mlm_loss.item() == pytest.approx(mlm_losses.sum().item() / 4, abs=1e-4)
    assert output.itm_loss.item() == pytest.approx(sum(case["itm_loss"]) / 4, abs=1e-4)
    assert output.loss.item() == pytest.approx(output.mlm_loss.item() + output.itm_loss.item(), abs=1e-5)


def test_one_forward_equals_clip_by_clip_and_text_by_text():
    model = ClipBertForVideoQuestionAnswering(tiny_config(score_aggregation="lse")).eval()
    inputs = tiny_inputs(videos=2, clips=3, texts=5)
    with torch.no_grad():
        together = model(**inputs, texts_per_video=[2, 3])
        for text, video in enumerate([0, 0, 1, 1, 1]):
            for clip in range(3):
                one = model(
                    inputs["input_ids"][text : text + 1],
                    inputs["attention_mask"][text : text + 1],
                    inputs["pixel_values_videos"][video : video + 1, clip : clip + 1],
                )
                torch.testing.assert_close(together.clip_logits[text, clip], one.logits[0], atol=1e-5, rtol=1e-4)


def test_grid_features_stand_in_for_pixels():
    model = ClipBertForVideoTextRetrieval(tiny_config()).eval()
    inputs = tiny_inputs(side=128)
    with torch.no_grad():
        expected = model(**inputs).logits
        features = model.get_grid_features(inputs.pop("pixel_values_videos"))
        assert features.shape == (2, 3, 2, 2, 2, 32)
        torch.testing.assert_close(model(**inputs, grid_features=features).logits, expected)


def test_frames_that_clips_share_pass_the_cnn_once():
    model = ClipBertForVideoTextRetrieval(tiny_config()).eval()
    pixels = tiny_inputs(side=128)["pixel_values_videos"]  # (2, 3, 2, 3, 128, 128)
    # The first video is shorter than a clip, so that all its clips are the same; the second has a frame in common.
    indices = torch.tensor([[[0, 4], [0, 4], [0, 4]], [[0, 4], [4, 8], [9, 12]]])
    for video in range(2):
        for index in indices[video].unique():
            places = indices[video] == index
            pixels[video, places] = pixels[video, places][0].clone()
    seen = []
    model.clipbert.grid_backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with torch.no_grad():
        expected = model.get_grid_features(pixels)
        features = model.get_grid_features(pixels, indices)
    assert seen == [12, 2 + 5]
    torch.testing.assert_close(features, expected)
    with pytest.raises(InvalidInputError, match=r"frame_indices must have shape \(2, 3, 2\); got \(2, 3\)"):
        model.get_grid_features(pixels, indices[:, :, 0])


def test_padding_of_texts_changes_nothing():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inputs = tiny_inputs(videos=1)
    inputs["attention_mask"][:] = 1
    padded = {
        **inputs,
        "input_ids": F.pad(inputs["input_ids"], (0, 4)),
        "attention_mask": F.pad(inputs["attention_mask"], (0, 4)),
    }
    with torch.no_grad():
        torch.testing.assert_close(model(**padded).logits, model(**inputs).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temporal_fusion", ["mean", "conv3d", "conv2plus1d"])
@pytest.mark.parametrize("model_class", HEADS)
def test_every_head_learns_in_every_part(model_class, temporal_fusion):
    torch.manual_seed(0)
    config = tiny_config(temporal_fusion=temporal_fusion, freeze_batch_norm=False, freeze_backbone_stages=0)
    model = model_class(config).train()
    inputs = tiny_inputs(side=128)
    if model_class is ClipBertForMultipleChoice:
        for name in ("input_ids", "attention_mask"):
            inputs[name] = inputs[name][:, None].repeat(1, 4, 1)
        inputs["input_ids"] = torch.randint(1, 60, inputs["input_ids"].shape)
    if model_class is ClipBertForPreTraining:
        inputs |= {"mlm_labels": inputs["input_ids"], "itm_labels": torch.tensor([0, 1])}
    else:
        inputs["labels"] = torch.tensor([1, 0])
    output = model(**inputs)
    output.loss.backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert without == []
    assert output.clip_logits.shape[:2] == (2, 3)


def test_freezing_survives_loading_and_training_mode(tmp_path):
    config = tiny_config(freeze_batch_norm=True, freeze_backbone_stages=2)
    ClipBertModel(config).save_pretrained(tmp_path)
    model = ClipBertModel.from_pretrained(tmp_path).train()
    backbone = model.grid_backbone.backbone
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)
    frozen = {
        name.split(".")[0] for name, value in backbone.named_parameters() if not value.requires_grad and value.ndim == 4
    }
    trained = {name.split(".")[0] for name, value in backbone.named_parameters() if value.requires_grad}
    assert frozen == {"conv1", "layer1"}
    assert trained == {"layer2", "layer3", "layer4"}


def test_weights_survive_saving(tmp_path):
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inputs = tiny_inputs()
    model.save_pretrained(tmp_path)
    loaded = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_buffers_that_no_checkpoint_holds_are_restored(tmp_path):
    # resnetblur18 pools with fixed kernels, which are buffers that are not saved.
    config = tiny_config(backbone="resnetblur18")
    model = ClipBertForVideoQuestionAnswering(config).eval()
    model.save_pretrained(tmp_path)
    loaded = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(**tiny_inputs()).logits, model(**tiny_inputs()).logits)


def test_pixel_random_sampling_keeps_that_many_tokens_while_training():
    model = ClipBertModel(tiny_config(pixel_random_sampling_size=3))
    inputs = tiny_inputs(side=128)  # a 2x2 grid
    assert model.train()(**inputs).last_hidden_state.shape == (2, 3, 6 + 3, 32)
    assert model.eval()(**inputs).last_hidden_state.shape == (2, 3, 6 + 4, 32)


def test_hidden_states_and_attentions_come_on_request():
    model = ClipBertForVideoQuestionAnswering(
        tiny_config(),
    ).eval()
    model.set_attn_implementation("eager")
    output = model(**tiny_inputs(side=128), output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in output.hidden_states] == [(6, 10, 32)] * 3
    assert [tuple(attention.shape) for attention in output.attentions] == [(6, 2, 10, 10)] * 2
    assert model(**tiny_inputs()).hidden_states is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_full(dtype):
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inputs = tiny_inputs()
    with torch.no_grad():
        expected = model(**inputs).logits
        logits = model.to(dtype)(**inputs).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("aggregation", ["mean", "lse"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_clips_are_aggregated_in_full_precision(dtype, aggregation):
    """In 16 bits many videos would have the same score."""
    model = ClipBertForVideoTextRetrieval(tiny_config(score_aggregation=aggregation)).eval().to(dtype)
    seen = []  # of the clips, as the head gets them
    model.clipbert.register_forward_hook(lambda module, inputs, output: seen.append(output.pooler_output))
    with torch.no_grad():
        output = model(**tiny_inputs(videos=6, clips=16, frames=1))
        clip_logits = model.classifier(seen[0])
    of_clips = clip_logits.double()
    expected = of_clips.mean(1) if aggregation == "mean" else of_clips.exp().sum(1).log()
    torch.testing.assert_close(output.logits.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(output.scores.double(), expected.softmax(-1)[:, 1], atol=1e-6, rtol=1e-6)
    assert not torch.equal(output.logits, output.logits.to(dtype).float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_taken_in_full_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(1, 3129, generator=generator) - 4).to(dtype)
    labels = torch.zeros(1, 3129)
    labels[0, 7] = 1.0
    exact = logits.double()
    by_hand = -(labels * exact.sigmoid().log() + (1 - labels) * (1 - exact.sigmoid()).log()).sum()
    torch.testing.assert_close(classification_loss(logits, labels).double(), by_hand, atol=0, rtol=1e-5)
    of_class = -exact.log_softmax(-1)[0, 7]
    torch.testing.assert_close(classification_loss(logits, torch.tensor([7])).double(), of_class, atol=0, rtol=1e-5)


def test_a_batch_without_a_pair_adds_nothing_to_the_rank_loss():
    model = ClipBertForVideoTextRetrieval(tiny_config(retrieval_loss="rank"))
    loss = model(**tiny_inputs(), labels=torch.tensor([1, 1])).loss
    assert loss == 0
    loss.backward()
    assert all((parameter.grad == 0).all() for parameter in model.classifier.parameters())


def test_one_clip_trains_a_regression_with_the_running_statistics():
    model = ClipBertForVideoRegression(tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    inputs = tiny_inputs(videos=1, clips=1)
    trained = model.train()(**inputs, labels=torch.tensor([2.0]))
    trained.loss.backward()
    torch.testing.assert_close(trained.logits, model.eval()(**inputs).logits)
    assert model.regressor[2].weight.grad is not None


def test_numbers_are_not_added_up_over_clips():
    with pytest.raises(InvalidInputError, match=r"score_aggregation must be mean or max for a number"):
        ClipBertForVideoRegression(tiny_config(score_aggregation="lse"))


def test_bf16_autocast_trains():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**tiny_inputs(), labels=torch.tensor([0, 1])).loss
    loss.backward()
    assert loss.isfinite()


@pytest.mark.slow
def test_compiles_without_graph_breaks():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inputs = tiny_inputs()
    expected = model(**inputs).logits
    model.clipbert.encoder = torch.compile(model.clipbert.encoder, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-4)


def test_soft_labels_use_binary_cross_entropy_times_the_number_of_labels():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    labels = torch.tensor([[0, 0.3, 1, 0, 0], [0, 0, 0, 0.9, 0]])
    output = model(**tiny_inputs(), labels=labels)
    probability = output.logits.sigmoid()
    by_hand = -(labels * probability.log() + (1 - labels) * (1 - probability).log()).mean() * 5
    torch.testing.assert_close(output.loss, by_hand)


def test_problem_types_choose_the_loss():
    model = ClipBertForVideoQuestionAnswering(tiny_config(problem_type="multi_label_classification")).eval()
    inputs, hot = tiny_inputs(), torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]])
    loss = model(**inputs, labels=hot).loss
    inferred = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inferred.load_state_dict(model.state_dict())
    torch.testing.assert_close(loss, inferred(**inputs, labels=hot.float()).loss)
    with pytest.raises(InvalidInputError, match=r"labels must be soft scores of shape \(2, 5\) \(problem_type multi"):
        model(**inputs, labels=torch.tensor([1, 2]))
    model.config.problem_type = "single_label_classification"
    torch.testing.assert_close(
        model(**inputs, labels=torch.tensor([1, 2])).loss, inferred(**inputs, labels=torch.tensor([1, 2])).loss
    )
    with pytest.raises(InvalidInputError, match=r"labels must be indices of shape \(2,\) \(problem_type single"):
        model(**inputs, labels=hot.float())
    model.config.problem_type = "regression"
    with pytest.raises(InvalidInputError, match="ClipBertForVideoRegression predicts numbers"):
        model(**inputs, labels=torch.tensor([1.0, 2.0]))


def test_a_regression_is_no_classification():
    model = ClipBertForVideoRegression(tiny_config(problem_type="regression")).eval()
    assert model(**tiny_inputs(), labels=torch.tensor([1.0, 2.0])).loss > 0
    model.config.problem_type = "multi_label_classification"
    with pytest.raises(InvalidInputError, match="problem_type of a regression must be None or regression"):
        model(**tiny_inputs(), labels=torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("model_class", "labels"),
    [
        (ClipBertModel, {}),
        (ClipBertForVideoQuestionAnswering, {"labels": torch.tensor([1, 2])}),
        (ClipBertForVideoTextRetrieval, {"labels": torch.tensor([1, 0])}),
        (ClipBertForVideoRegression, {"labels": torch.tensor([1.0, 2.0])}),
        (ClipBertForPreTraining, {"itm_labels": torch.tensor([1, 0])}),
    ],
)
def test_tuples_on_request_hold_what_the_output_holds(model_class, labels):
    torch.manual_seed(0)
    model = model_class(tiny_config()).eval()
    options = tiny_inputs() | labels | {"output_hidden_states": True}
    expected = model(**options).to_tuple()
    model.config.return_dict = False
    for output in (model(**options), model(**options, return_dict=False)):
        assert isinstance(output, tuple)
        torch.testing.assert_close(output, expected)
    assert not isinstance(model(**options, return_dict=True), tuple)


def test_left_out_labels_do_not_count():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    inputs = tiny_inputs()
    output = model(**inputs, labels=torch.tensor([2, -100]))
    torch.testing.assert_close(output.loss, -output.logits[0].log_softmax(-1)[2])
    assert model(**inputs, labels=torch.tensor([-100, -100])).loss == 0


def test_multiple_choice_takes_several_questions_a_video():
    model = ClipBertForMultipleChoice(tiny_config()).eval()
    visual = tiny_inputs()["pixel_values_videos"]
    input_ids = torch.randint(1, 60, (3, 4, 6))
    with torch.no_grad():
        output = model(input_ids, pixel_values_videos=visual, texts_per_video=[1, 2])
        second = model(input_ids[2:], pixel_values_videos=visual[1:])
    assert output.logits.shape == (3, 4)
    torch.testing.assert_close(output.logits[2:], second.logits, atol=1e-5, rtol=1e-4)


def wrong(**changes):
    inputs = tiny_inputs()
    return {name: value for name, value in (inputs | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            wrong(pixel_values_videos=torch.zeros(2, 3, 3, 64, 64)),
            r"pixel_values_videos must have 6 dimensions .*got 5",
        ),
        (wrong(pixel_values_videos=torch.zeros(2, 1, 1, 4, 64, 64)), "3 colours"),
        (wrong(pixel_values_videos=torch.zeros(2, 1, 1, 3, 32, 32)), "at least 64 px .*got 32x32"),
        (wrong(pixel_values_videos=None), "neither"),
        (wrong(grid_features=torch.zeros(2, 1, 1, 2, 2, 32)), "both"),
        (wrong(pixel_values_videos=None, grid_features=torch.zeros(2, 1, 1, 2, 2, 31)), "hidden size 32; got .*31"),
        (wrong(pixel_values_videos=None, grid_features=torch.zeros(2, 1, 2, 2, 32)), "grid_features must have 6"),
        (wrong(pixel_values_videos=None, grid_features=torch.zeros(2, 1, 1, 200, 2, 32)), "got 200x2 .*too large for"),
        (
            wrong(input_ids=torch.zeros(2, 3, 6, dtype=torch.long)),
            r"input_ids must have 2 dimensions \(texts, tokens\)",
        ),
        (wrong(input_ids=torch.full((2, 6), 60)), "from 0 to 59 .*got 60"),
        (wrong(input_ids=torch.full((2, 6), -1)), "from 0 to 59 .*got -1"),
        (wrong(input_ids=torch.ones(2, 41, dtype=torch.long), attention_mask=None), "at most 40 tokens .*got 41"),
        (wrong(input_ids=torch.ones(2, 0, dtype=torch.long), attention_mask=None), "at least one token"),
        (wrong(attention_mask=torch.ones(2, 5)), "shape of input_ids"),
        (wrong(input_ids=torch.ones(3, 6, dtype=torch.long), attention_mask=None), "texts_per_video is needed"),
        (wrong(texts_per_video=[1, 2]), "add up to 2"),
        (wrong(texts_per_video=[2]), "one count for each of 2 videos"),
        (wrong(labels=torch.tensor([0, 5])), "labels must be indices from 0 to 4.*got 5"),
        (wrong(labels=torch.tensor([0.0, 1.0])), "soft scores of shape"),
    ],
)
def test_wrong_input_gives_one_clear_error(inputs, message):
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    with pytest.raises(InvalidInputError, match=message):
        model(**inputs)


def test_wrong_labels_of_the_other_heads():
    with pytest.raises(InvalidInputError, match="mlm_labels must have the shape"):
        ClipBertForPreTraining(tiny_config())(**tiny_inputs(), mlm_labels=torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(InvalidInputError, match=r"labels must have shape \(2,\)"):
        ClipBertForVideoRegression(tiny_config())(**tiny_inputs(), labels=torch.zeros(2, 1))
    with pytest.raises(InvalidInputError, match="questions, choices, tokens"):
        ClipBertForMultipleChoice(tiny_config())(**tiny_inputs())


def test_regression_loss_is_the_mean_squared_error():
    model = ClipBertForVideoRegression(tiny_config()).eval()
    output = model(**tiny_inputs(), labels=torch.tensor([3, 7]))
    by_hand = ((output.logits[0, 0] - 3) ** 2 + (output.logits[1, 0] - 7) ** 2) / 2
    torch.testing.assert_close(output.loss, by_hand)


def test_base_model_ties_the_decoder_to_the_word_embeddings():
    model = ClipBertForPreTraining(tiny_config())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.resize_token_embeddings(64)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.get_output_embeddings().bias.shape == (64,)


# --- Bytes for pixels, normalised by the model ---


def byte_inputs(**options):
    pixels = torch.randint(0, 256, (2, 3, 2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([[123.675, 116.28, 103.53], [1.5, 0, 3]]), torch.tensor([[1.0, 1, 1], [58.4, 57.1, 57.4]])
    statistics = {"pixel_mean": mean, "pixel_std": std}
    return {**tiny_inputs(), "pixel_values_videos": pixels, **statistics, **options}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_normalised_by_the_statistics_of_each_video(dtype):
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval().to(dtype)
    inputs = byte_inputs()
    normalized = inputs["pixel_values_videos"].float()
    for video in range(2):
        for colour in range(3):
            normalized[video, :, :, colour] -= inputs["pixel_mean"][video, colour]
            normalized[video, :, :, colour] /= inputs["pixel_std"][video, colour]
    with torch.no_grad():
        grid = model.get_grid_features(normalized)
        statistics = {name: inputs[name] for name in ("pixel_mean", "pixel_std")}
        assert torch.equal(model.get_grid_features(inputs["pixel_values_videos"], **statistics), grid)
        frames = torch.arange(6).reshape(1, 3, 2).expand(2, 3, 2)
        assert torch.equal(model.get_grid_features(inputs["pixel_values_videos"], frames, **statistics), grid)
        expected = model(**{**tiny_inputs(), "pixel_values_videos": normalized})
        assert torch.equal(model(**inputs).logits, expected.logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pixel_mean": None, "pixel_std": None},
            r"must be normalised; got torch.uint8: .* or give uint8 with pixel_me",
        ),
        ({"pixel_mean": None}, "pixel_mean and pixel_std go together; got pixel_std alone"),
        ({"pixel_std": None}, "pixel_mean and pixel_std go together; got pixel_mean alone"),
        (
            {"pixel_values_videos": torch.zeros(2, 3, 2, 3, 64, 64)},
            r"uint8 pixels; got torch.float32, normalised already",
        ),
        (
            {"pixel_values_videos": None, "grid_features": torch.zeros(2, 3, 2, 1, 1, 32)},
            "got grid_features, normalised",
        ),
        (
            {"pixel_mean": torch.zeros(1, 3)},
            r"pixel_mean must be floats of shape \(2, 3\), one row a video; got .* \(1, 3\)",
        ),
        ({"pixel_std": torch.ones(2, 3, dtype=torch.long)}, r"pixel_std must be floats of shape .*got torch.int64"),
    ],
)
def test_statistics_that_do_not_fit(change, message):
    model = ClipBertForVideoQuestionAnswering(tiny_config()).eval()
    with pytest.raises(InvalidInputError, match=message):
        model(**byte_inputs(**change))
