from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer

from clipbert_hf import ClipBertProcessor, ClipBertVideoProcessor, InvalidInputError

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


# -- which text belongs to which video ------------------------------------------------------------------------------


def test_texts_and_videos_that_differ_in_number_are_refused(processor):
    images = [VIDEO[0], VIDEO[1]]
    with pytest.raises(InvalidInputError, match="each of 1 videos; got 2 texts: the 2 frames are one video"):
        processor(text=["red", "blue"], videos=images)
    with pytest.raises(InvalidInputError, match="each of 1 videos; got 2 texts: several texts of a video"):
        processor(text=["red", "blue"], videos=VIDEO)
    with pytest.raises(InvalidInputError, match="one text for each of 2 videos; got 1 texts"):
        processor(text="red", videos=[VIDEO, VIDEO])
    with pytest.raises(InvalidInputError, match="one list for each of 2 videos; got 1 lists"):
        processor(text=[["red", "blue"]], videos=[VIDEO, VIDEO])


def test_images_are_clips_of_one_frame(processor, tmp_path):
    red, blue = (np.full((40, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    Image.fromarray(red).save(tmp_path / "red.png")
    for images in ([red, blue], [Image.fromarray(red), blue], np.stack([red, blue]), [tmp_path / "red.png", blue]):
        batch = processor(text=["red", "blue"], images=images)
        assert batch["pixel_values_videos"].shape == (2, 1, 1, 3, 64, 64)
        assert set(batch) == {"input_ids", "attention_mask", "pixel_values_videos"}
        plain = processor.video_processor(red[None], num_clips=1, num_frames=1).pixel_values_videos
        assert batch["pixel_values_videos"][0].equal(plain[0])
    assert processor(text="red", images=red)["pixel_values_videos"].shape[:3] == (1, 1, 1)
    assert processor(images=[red, blue])["pixel_values_videos"].shape[0] == 2
    with pytest.raises(InvalidInputError, match="number 1 holds 30: give it as videos"):
        processor(images=[red, VIDEO])
    with pytest.raises(InvalidInputError, match="videos or images; got both"):
        processor(images=red, videos=VIDEO)
    with pytest.raises(TypeError, match="num_clips is an option of videos, of which this call has none"):
        processor(images=red, num_clips=2)
    with pytest.raises(InvalidInputError, match="one text for each of 1 images; got 2 texts"):
        processor(text=["red", "blue"], images=red)


# -- options as transformers spells them ---------------------------------------------------------------------------


def test_options_flat_nested_and_common_are_the_same(processor):
    texts, videos = ["red", "what is blue ?"], [VIDEO, VIDEO]
    flat = processor(text=texts, videos=videos, padding="max_length", max_length=9, num_clips=3, return_tensors="np")
    nested = processor(
        text=texts,
        videos=videos,
        text_kwargs={"padding": "max_length", "max_length": 9},
        videos_kwargs={"num_clips": 3},
        common_kwargs={"return_tensors": "np"},
    )
    assert set(flat) == set(nested) == {"input_ids", "attention_mask", "pixel_values_videos"}
    for name in flat:
        assert isinstance(flat[name], np.ndarray)
        assert np.array_equal(flat[name], nested[name])
    assert flat["input_ids"].shape == (2, 9)
    assert flat["pixel_values_videos"].shape[1] == 3


def test_options_of_the_tokenizer_are_obeyed(processor):
    texts = ["what is red ?", "blue"]
    assert processor(text=texts, truncation=True, max_length=4)["input_ids"].shape == (2, 4)
    long = processor(text=["red " * 60], truncation=False, max_length=5)["input_ids"]
    assert long.shape == (1, 62)
    left = processor(text=texts, padding_side="left")
    assert left["attention_mask"].tolist()[1] == [0, 0, 0, 1, 1, 1]
    assert processor(text=texts, pad_to_multiple_of=8)["input_ids"].shape == (2, 8)
    assert processor(text=texts, add_special_tokens=False)["input_ids"][0].tolist() == ids("what is red ?")[1:-1]
    assert processor(text=texts, return_token_type_ids=True)["token_type_ids"].tolist() == [[0] * 6] * 2
    assert "attention_mask" not in processor(text=texts, return_attention_mask=False)
    grouped = processor(text=[["red", "blue"], ["is"]], return_tensors="np")
    assert grouped["texts_per_video"].tolist() == [2, 1]
    assert isinstance(grouped["texts_per_video"], np.ndarray)


def test_the_tokenizers_own_defaults_hold_unless_told_otherwise(vocab):
    tokenizer = BertTokenizer(vocab=str(vocab), do_lower_case=True, max_length=7, padding="max_length")
    processor = ClipBertProcessor(ClipBertVideoProcessor(), tokenizer)
    assert processor(text="red")["input_ids"].shape == (1, 7)
    assert processor(text="red", padding=True)["input_ids"].shape == (1, 3)
    processor.max_text_length = 5  # the processor's own setting is nearer than the tokenizer's
    assert processor(text="red")["input_ids"].shape == (1, 5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding": "max_length", "text_kwargs": {"padding": True}}, InvalidInputError, "padding is given twice"),
        ({"num_clips": 1, "videos_kwargs": {"num_clips": 1}}, InvalidInputError, "num_clips is given twice"),
        ({"text_kwargs": {"num_clips": 2}}, TypeError, "text_kwargs has no option 'num_clips'"),
        ({"common_kwargs": {"colour": 2}}, TypeError, "common_kwargs: no modality has an option 'colour'"),
        ({"audio_kwargs": {"sampling_rate": 2}}, TypeError, "the models do not listen"),
        ({"padding": False}, InvalidInputError, "padding must be True or 'max_length' where texts differ"),
        ({"return_tensors": "tf"}, InvalidInputError, "return_tensors must be 'pt' or 'np'; got 'tf'"),
        ({"text_pair": ["a", "b"]}, InvalidInputError, "text_pair is not for this processor"),
        ({"stride": 3}, InvalidInputError, "stride is not for this processor"),
    ],
)
def test_options_that_are_wrong(processor, options, error, message):
    with pytest.raises(error, match=message):
        processor(text=["red", "what is blue ?"], videos=[VIDEO, VIDEO], **options)


def test_there_is_no_chat(processor):
    with pytest.raises(NotImplementedError, match="no chat template"):
        processor.apply_chat_template([{"role": "user", "content": "hello"}])
