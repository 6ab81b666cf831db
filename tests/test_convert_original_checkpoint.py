from __future__ import annotations

import json

import pytest
import torch
from forked_runs import run_module
from reference_inputs import CASES, case_inputs, published_parameter, published_state

from clipbert_hf import (
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertProcessor,
    InvalidInputError,
)
from clipbert_hf.convert_original_checkpoint import (
    convert,
    infer_config,
    infer_task,
    load_published_state,
    main,
    rename_published,
)

CASE = CASES["cases"][0]
LEFTOVERS = {
    "cnn.feature.proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(15, 4),
    "cnn.feature.roi_heads.box_predictor.cls_score.weight": torch.zeros(3, 3),
    "cnn.feature.pixel_mean": torch.zeros(3, 1, 1),
}


@pytest.fixture(scope="module")
def state():
    return published_state(CASE)


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    words = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"word{i}" for i in range(30522 - len(words))]
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(words))
    return path


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("cnn.feature.backbone.stem.conv1.weight", "clipbert.grid_backbone.backbone.conv1.weight"),
        ("cnn.feature.backbone.stem.conv1.norm.running_var", "clipbert.grid_backbone.backbone.bn1.running_var"),
        (
            "cnn.feature.backbone.res2.0.shortcut.weight",
            "clipbert.grid_backbone.backbone.layer1.0.downsample.0.weight",
        ),
        (
            "cnn.feature.backbone.res5.0.shortcut.norm.bias",
            "clipbert.grid_backbone.backbone.layer4.0.downsample.1.bias",
        ),
        ("cnn.feature.backbone.res4.5.conv3.norm.weight", "clipbert.grid_backbone.backbone.layer3.5.bn3.weight"),
        ("cnn.grid_encoder.0.weight", "clipbert.grid_backbone.grid_encoder.0.weight"),
        ("transformer.bert.embeddings.LayerNorm.gamma", "clipbert.embeddings.LayerNorm.weight"),
        ("transformer.bert.encoder.layer.3.output.LayerNorm.beta", "clipbert.encoder.layer.3.output.LayerNorm.bias"),
        ("transformer.classifier.2.bias", "classifier.2.bias"),
        ("transformer.regressor.4.weight", "regressor.4.weight"),
        ("transformer.cls.seq_relationship.weight", "cls.seq_relationship.weight"),
        ("transformer.bert.visual_embeddings.position_embeddings.weight", None),
        ("cnn.feature.roi_heads.anything", None),
    ],
)
def test_names(published, ours):
    assert rename_published(published) == ours


def test_command_line_writes_a_folder_that_gives_the_published_logits(tmp_path, state, vocab):
    torch.save(state | LEFTOVERS, tmp_path / "published.pt")
    answers = {f"answer {index}": index for index in range(11)}
    (tmp_path / "ans2label.json").write_text(json.dumps(answers))
    arguments = ["--checkpoint", tmp_path / "published.pt", "--task", "qa", "--output", tmp_path / "out"]
    arguments += ["--num_attention_heads", "4", "--vocab", vocab, "--size", "64"]
    arguments += ["--answers", tmp_path / "ans2label.json"]
    status, output = run_module("clipbert_hf.convert_original_checkpoint", *arguments)
    assert status == 0, output
    assert "dropped 4 names" in output
    for name in [*LEFTOVERS, "transformer.bert.visual_embeddings.position_embeddings.weight"]:
        assert f"\n  {name}\n" in output
    model = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path / "out")
    assert model.config.id2label[10] == "answer 10"
    assert model.config.score_aggregation == "lse"
    with torch.no_grad():
        logits = model(**case_inputs(CASE)).logits
    torch.testing.assert_close(logits, torch.tensor(CASE["aggregated"]["lse"]["logits"]), atol=1e-4, rtol=0)
    processor = ClipBertProcessor.from_pretrained(tmp_path / "out")
    assert processor(text="word7 word8").input_ids.tolist() == [[101, 111, 112, 102]]
    assert processor.video_processor.size["longest_edge"] == 64


def test_missing_and_unexpected_names_are_listed(state):
    broken = dict(state)
    del broken["transformer.bert.pooler.dense.bias"]
    broken["transformer.bert.extra"] = torch.zeros(1)
    model = ClipBertForVideoQuestionAnswering(infer_config(state, "qa", num_attention_heads=4))
    message = r"unexpected names: transformer.bert.extra; missing names: clipbert.pooler.dense.bias"
    with pytest.raises(InvalidInputError, match=message):
        load_published_state(model, broken)


def test_a_checkpoint_of_another_task_is_refused(tmp_path, vocab):
    torch.save(published_state(CASES["cases"][-1]), tmp_path / "pretrained.pt")
    with pytest.raises(InvalidInputError, match=r"lacks 'transformer.classifier.2.weight'"):
        convert(tmp_path / "pretrained.pt", "qa", tmp_path / "out", vocab=vocab)
    assert not (tmp_path / "out").exists()


def test_tied_decoders_stay_tied():
    state = published_state(CASES["cases"][-1])
    assert not infer_config(state, "pretraining").tie_word_embeddings
    state["transformer.cls.predictions.decoder.weight"] = state["transformer.bert.embeddings.word_embeddings.weight"]
    config = infer_config(state, "pretraining")
    assert config.tie_word_embeddings
    assert config.num_attention_heads == 1
    load_published_state(ClipBertForPreTraining(config), state)


def test_a_tied_decoder_may_be_left_out():
    state = published_state(CASES["cases"][-1])
    del state["transformer.cls.predictions.decoder.weight"]
    config = infer_config(state, "pretraining")
    assert config.tie_word_embeddings
    model = ClipBertForPreTraining(config)
    load_published_state(model, state)
    words = state["transformer.bert.embeddings.word_embeddings.weight"]
    assert torch.equal(model.cls.predictions.decoder.weight, words)
    with pytest.raises(InvalidInputError, match=r"missing names: cls\.predictions\.decoder\.weight"):
        load_published_state(
            ClipBertForPreTraining(infer_config(published_state(CASES["cases"][-1]), "pretraining")), state
        )


def heads(outputs=None, *names):
    classifier = {} if outputs is None else {"transformer.classifier.2.weight": torch.zeros(outputs, 4)}
    return classifier | {name: torch.zeros(1) for name in names}


@pytest.mark.parametrize(
    ("checkpoint", "task"),
    [
        (heads(1500), "qa"),
        (heads(2), "retrieval"),
        (heads(None, "transformer.regressor.4.weight"), "regression"),
        (heads(None, "transformer.cls.seq_relationship.weight"), "pretraining"),
    ],
)
def test_the_heads_tell_the_task(checkpoint, task):
    assert infer_task(checkpoint) == task


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (heads(1), "may be of multiple-choice or retrieval, whose heads have equal shapes: say which, as --task"),
        (heads(7, "transformer.cls.seq_relationship.weight"), "may be of qa or pretraining"),
        (heads(), "no ClipBERT checkpoint: it has none of the heads of qa, multiple-choice"),
    ],
)
def test_heads_that_do_not_tell(checkpoint, message):
    with pytest.raises(InvalidInputError, match=message):
        infer_task(checkpoint)


@pytest.mark.parametrize(
    ("content", "aggregation"),
    [
        ([f"answer {index}" for index in range(11)], "mean"),
        ({str(index): f"answer {index}" for index in range(11)}, "max"),
    ],
)
def test_task_aggregation_and_labels_of_a_checkpoint(tmp_path, state, vocab, content, aggregation):
    torch.save(state, tmp_path / "frameqa.pt")
    (tmp_path / "labels.json").write_text(json.dumps(content))
    options = {"num_attention_heads": 4, "vocab": vocab, "answers": tmp_path / "labels.json"}
    convert(tmp_path / "frameqa.pt", None, tmp_path / "out", score_aggregation=aggregation, **options)
    model = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {index: f"answer {index}" for index in range(11)}
    assert model.config.score_aggregation == aggregation
    with torch.no_grad():
        logits = model(**case_inputs(CASE)).logits
    expected = torch.tensor(CASE["aggregated"][aggregation]["logits"])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_labels_that_name_an_answer_twice(tmp_path, state):
    torch.save(state, tmp_path / "good.pt")
    (tmp_path / "labels.json").write_text(json.dumps(["red"] * 2 + list("abcdefghi")))
    with pytest.raises(InvalidInputError, match=r"labels\.json must name each answer once; it repeats red"):
        convert(tmp_path / "good.pt", None, tmp_path / "out", answers=tmp_path / "labels.json")
    with pytest.raises(InvalidInputError, match="answers belong to the task qa"):
        convert(tmp_path / "good.pt", "retrieval", tmp_path / "out", answers=tmp_path / "labels.json")


def test_regression_checkpoints(state):
    names = ClipBertForVideoRegression(infer_config(state, "regression")).regressor.state_dict()
    counting = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    counting |= {
        f"transformer.regressor.{name}": published_parameter(name, list(tensor.shape))
        for name, tensor in names.items()
        if not name.endswith("num_batches_tracked")
    }
    model = ClipBertForVideoRegression(infer_config(counting, "regression"))
    load_published_state(model, counting)
    assert torch.equal(model.regressor[4].weight, counting["transformer.regressor.4.weight"])


class Harmful:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize("content", [Harmful(), [1, 2], {"weights": {"nested": torch.zeros(1)}}])
def test_only_tensors_are_read(tmp_path, content, capsys):
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(InvalidInputError, match=r"bad\.pt must hold"):
        convert(tmp_path / "bad.pt", "qa", tmp_path / "out")
    assert "this ran" not in capsys.readouterr().out


def test_errors_name_the_file(tmp_path, state, vocab):
    with pytest.raises(InvalidInputError, match=r"none\.pt must be a file"):
        convert(tmp_path / "none.pt", "qa", tmp_path / "out")
    with pytest.raises(InvalidInputError, match="task must be one of"):
        convert(tmp_path / "none.pt", "dancing", tmp_path / "out")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(InvalidInputError, match=r"text\.pt must hold names and tensors"):
        convert(tmp_path / "text.pt", "qa", tmp_path / "out")
    torch.save(state, tmp_path / "good.pt")
    (tmp_path / "answers.json").write_text('{"red": 0}')
    with pytest.raises(InvalidInputError, match=r"answers\.json must map 11 answers"):
        convert(tmp_path / "good.pt", "qa", tmp_path / "out", answers=tmp_path / "answers.json", vocab=vocab)
    (tmp_path / "short.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]")
    with pytest.raises(InvalidInputError, match=r"processor is not: --vocab.*has 5 tokens; the checkpoint needs 30522"):
        convert(tmp_path / "good.pt", "qa", tmp_path / "out", vocab=tmp_path / "short.txt", num_attention_heads=4)


def test_weights_are_kept_where_no_tokenizer_can_be_had(tmp_path, state, capsys):
    torch.save(state, tmp_path / "good.pt")
    arguments = ["--checkpoint", tmp_path / "good.pt", "--task", "qa", "--output", tmp_path / "out"]
    arguments += ["--num_attention_heads", "4", "--vocab", tmp_path / "nowhere"]
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert f"the model is written to {tmp_path / 'out'}, its processor is not" in message
    model = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path / "out")
    assert torch.equal(model.classifier[2].bias, state["transformer.classifier.2.bias"])
