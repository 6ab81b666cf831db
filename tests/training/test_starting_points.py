from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from clipbert_hf import ClipBertForVideoQuestionAnswering
from clipbert_hf.training.recipe import DataSettings, RecipeError, StartSettings
from clipbert_hf.training.starting_points import (
    create_model,
    create_processor,
    is_cnn_parameter,
    texts_of,
    train_tokenizer,
)

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "backbone": "resnet18",
    "backbone_kwargs": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_width": 4, "stem_type": "deep"},
    "backbone_stride_in_1x1": False,
}
ROWS = [{"video": "a.mp4", "question": "what color is the Ring ?", "answer": "red"}]


def test_texts_of_every_schema() -> None:
    rows = [
        {"id": "1", "video": "v", "caption": "a b"},
        {"id": "2", "video": "v", "question": "c ?", "options": ["d", "e"], "answer": 1},
        {"id": "3", "video": "v", "question": "f ?", "answer": "g", "answer_type": "t"},
        {"id": "4", "video": "v", "caption": "h", "hard_negatives": ["i"], "key_words": ["h"]},
    ]
    assert list(texts_of(rows)) == ["a b", "c ?", "d", "e", "f ?", "g", "h", "i"]


def test_tokenizer_survives_saving(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["what color is the ring ?"] * 3, 200)
    assert tokenizer.tokenize("What color is THE ring?") == ["what", "color", "is", "the", "ring", "?"]
    assert tokenizer.pad_token_id == 0
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("the ring")["input_ids"] == tokenizer("the ring")["input_ids"]


def test_no_text_to_make_a_tokenizer_of() -> None:
    with pytest.raises(
        RecipeError, match="the words of a new model are those of the split 'train', and data set moving_"
    ):
        create_processor(StartSettings(), DataSettings(data_dir="x"), [], num_clips=1)


def test_equal_texts_give_equal_tokenizers() -> None:
    # Many pieces are equally frequent here, and each time a hash table would be in another order.
    texts = ["a purple square", "a yellow circle", "an orange triangle"]
    first, *others = (train_tokenizer(texts, 60).get_vocab() for _ in range(5))
    assert all(other == first for other in others)
    assert len(first) == 60
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##b", "a", "b", "ab"]
    assert train_tokenizer(["ab ab b", "ab"], 100).get_vocab() == {piece: index for index, piece in enumerate(pieces)}


def test_new_model() -> None:
    start, data = StartSettings(model=TINY), DataSettings(data_dir="x", processor={"size": {"longest_edge": 32}})
    processor = create_processor(start, data, ROWS, num_clips=7)
    model = create_model(ClipBertForVideoQuestionAnswering, start, processor, labels=["red", "blue"])
    assert processor.video_processor.num_clips == 7
    assert model.config.vocab_size == len(processor.tokenizer)
    assert model.config.id2label == {0: "red", 1: "blue"}
    cnn = {name for name, _ in model.named_parameters() if is_cnn_parameter(name)}
    assert any("grid_encoder" in name for name in cnn)
    assert not any("embeddings" in name or "classifier" in name for name in cnn)


def test_frozen_parts() -> None:
    start = StartSettings(model=TINY, frozen=["cnn", "word_embeddings"])
    processor = create_processor(start, DataSettings(data_dir="x"), ROWS, num_clips=1)
    model = create_model(ClipBertForVideoQuestionAnswering, start, processor, labels=["red"])
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any("backbone.conv1" in name or "word_embeddings" in name for name in trained)
    assert any("grid_encoder" in name for name in trained)
    assert any("classifier" in name for name in trained)


def test_parts(tmp_path: Path) -> None:
    cnn = timm.create_model("resnet18", pretrained=False, layers=[1, 1, 1, 1])
    torch.save(cnn.state_dict(), tmp_path / "cnn.pt")
    tokenizer = train_tokenizer(["a red ring"] * 3, 100)
    bert = BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
    )
    bert.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    model_settings = {"backbone": "resnet18", "backbone_kwargs": {"layers": [1, 1, 1, 1]}}
    start = StartSettings(vision=str(tmp_path / "cnn.pt"), text=str(tmp_path / "bert"), model=model_settings)
    processor = create_processor(start, DataSettings(data_dir="x"), ROWS, num_clips=2)
    model = create_model(ClipBertForVideoQuestionAnswering, start, processor, labels=["red"])
    torch.testing.assert_close(model.clipbert.grid_backbone.backbone.conv1.weight, cnn.conv1.weight)
    torch.testing.assert_close(model.clipbert.embeddings.word_embeddings.weight, bert.embeddings.word_embeddings.weight)
    assert processor.video_processor.image_std[0] == pytest.approx(255 * 0.229)
    assert processor.tokenizer.tokenize("a red ring") == ["a", "red", "ring"]


def test_wrong_settings() -> None:
    processor = create_processor(StartSettings(model=TINY), DataSettings(data_dir="x"), ROWS, num_clips=1)
    with pytest.raises(RecipeError, match=r"model: unknown key 'hidden_sizes' \(did you mean 'hidden_size'\?\)"):
        create_model(ClipBertForVideoQuestionAnswering, StartSettings(model={"hidden_sizes": 1}), processor)
    with pytest.raises(RecipeError, match="either start_from, or vision and text"):
        create_model(ClipBertForVideoQuestionAnswering, StartSettings(start_from="a", vision="b"), processor)
