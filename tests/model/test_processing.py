from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from clipbert_hf import ClipBertProcessor, InvalidInputError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "red", "?", "blue", "circle"]
ID = {word: index for index, word in enumerate(WORDS)}
VIDEO = np.zeros((30, 40, 64, 3), dtype=np.uint8)


def ids(text: str) -> list[int]:
    return [ID[word] for word in f"[CLS] {text} [SEP]".split()]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return path


@pytest.fixture
def processor(vocab):
    return ClipBertProcessor.from_pretrained_parts(text=vocab, size={"longest_edge": 64}, num_clips=2, num_frames=1)


def test_one_question_about_one_video(processor):
    batch = processor(text="What is red?", videos=VIDEO)
    assert batch["input_ids"].tolist() == [ids("what is red ?")]
    assert batch["attention_mask"].tolist() == [[1] * 6]
    assert batch["pixel_values_videos"].shape == (1, 2, 1, 3, 64, 64)
    assert set(batch) == {"input_ids", "attention_mask", "pixel_values_videos"}


def test_groups_of_texts_are_counted(processor):
    batch = processor(text=[["red", "what is blue ?"], ["circle"]], videos=[VIDEO, VIDEO], num_clips=3)
    assert batch["texts_per_video"].tolist() == [2, 1]
    assert batch["input_ids"].tolist() == [
        [*ids("red"), 0, 0, 0],
        ids("what is blue ?"),
        [*ids("circle"), 0, 0, 0],
    ]
    assert batch["attention_mask"].sum(1).tolist() == [3, 6, 3]
    assert batch["pixel_values_videos"].shape[:2] == (2, 3)


def test_choices_follow_their_question_in_one_segment(processor):
    batch = processor(text=["what is", "is"], choices=[["red", "blue"], ["circle", "red ?"]])
    assert batch["input_ids"].tolist() == [
        [ids("what is red"), ids("what is blue")],
        [[*ids("is circle"), 0], ids("is red ?")],
    ]
    assert batch["attention_mask"].shape == (2, 2, 5)


def test_long_texts_are_cut_and_said_once(processor, caplog):
    processor.max_text_length = 5
    package = logging.getLogger("transformers")
    package.addHandler(caplog.handler)
    try:
        for _ in range(2):
            batch = processor(text=["what is red ? " * 9, "red"])
            assert batch["input_ids"].tolist() == [ids("what is red"), [*ids("red"), 0, 0]]
    finally:
        package.removeHandler(caplog.handler)
    messages = [record.message for record in caplog.records if "cut to that length" in record.message]
    assert messages == ["texts longer than 5 tokens are cut to that length"]


@pytest.mark.parametrize("text", ["", "   ", ["red", ""], [["red"], [" "]], [3], []])
def test_empty_questions_are_refused(processor, text):
    with pytest.raises(InvalidInputError, match="text must"):
        processor(text=text)


@pytest.mark.parametrize(
    "choices", [[["red"]], [["red", "blue"], ["red"]], [["red", ""], ["red", "blue"]], ["red", "is"]]
)
def test_choices_that_do_not_fit_are_refused(processor, choices):
    with pytest.raises(InvalidInputError, match="choices must"):
        processor(text=["what", "is"], choices=choices)


def test_nothing_and_unknown_options_are_refused(processor):
    with pytest.raises(InvalidInputError, match="got neither"):
        processor()
    with pytest.raises(TypeError, match="num_clops"):
        processor(text="red", videos=VIDEO, num_clops=3)
    with pytest.raises(TypeError, match="num_clips"):
        processor(text="red", num_clips=3)


def test_pixel_statistics_come_from_the_cnn(vocab):
    processor = ClipBertProcessor.from_pretrained_parts(text=vocab, vision="resnet50.a1_in1k")
    assert processor.video_processor.image_mean == pytest.approx([255 * x for x in (0.485, 0.456, 0.406)])
    assert processor.video_processor.image_std == pytest.approx([255 * x for x in (0.229, 0.224, 0.225)])
    published = ClipBertProcessor.from_pretrained_parts(text=vocab).video_processor
    assert list(published.image_mean) == [123.675, 116.28, 103.53]
    assert torch.tensor(published.image_std).tolist() == [1, 1, 1]
