"""From rows and processed samples to batches, checked against what the processor alone gives."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from reference_inputs import tiny_config
from video_files import write_video

from clipbert_hf import (
    ClipBertDataCollator,
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
    VideoDecodeError,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "red", "?", "blue", "circle"]
ANSWERS = {"no": 0, "yes": 1, "red": 2}


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> ClipBertProcessor:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return ClipBertProcessor.from_pretrained_parts(
        text=path, size={"longest_edge": 64}, num_clips=2, num_frames=1, image_std=(58.0, 57.0, 57.5)
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / f"{number}.mp4" for number in range(3)]
    for number, path in enumerate(paths):
        frames = np.random.default_rng(number).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
        write_video(path, frames, fps=8)
    return [str(path) for path in paths]


def rows_of(videos: list[str], **columns: list[Any]) -> list[dict[str, Any]]:
    texts = ["what is red ?", "is red", "blue ?"]
    rows = [{"video": video, "question": text} for video, text in zip(videos, texts, strict=False)]
    return [row | {name: values[place] for name, values in columns.items()} for place, row in enumerate(rows)]


def normalized(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """A batch's pixels as the model sees them, written out."""
    mean, std = (batch[name][:, None, None, :, None, None] for name in ("pixel_mean", "pixel_std"))
    return (batch["pixel_values_videos"].float() - mean) / std


# --- Rows ---


def test_rows_become_what_the_processor_gives(processor: ClipBertProcessor, videos: list[str]) -> None:
    batch = ClipBertDataCollator(processor, label2id=ANSWERS)(rows_of(videos, answer=["yes", "never heard", "red"]))
    expected = processor(text=["what is red ?", "is red", "blue ?"], videos=videos)
    assert batch["pixel_values_videos"].dtype == torch.uint8
    assert batch["pixel_mean"].shape == batch["pixel_std"].shape == (3, 3)
    assert torch.equal(normalized(batch), expected["pixel_values_videos"])
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(batch[name], expected[name])
    assert batch["labels"].tolist() == [1, -100, 2]
    assert set(batch) == {*expected, "pixel_mean", "pixel_std", "labels"}


@pytest.mark.parametrize("options", [{"exact_resize": True}, {"do_rescale": True}, {"pixel_dtype": "float32"}])
def test_what_bytes_cannot_hold_stays_float(
    processor: ClipBertProcessor, videos: list[str], options: dict[str, Any]
) -> None:
    batch = ClipBertDataCollator(processor, rescale_factor=0.3, **options)(rows_of(videos))
    expected = processor.video_processor(videos, rescale_factor=0.3, **options)["pixel_values_videos"]
    assert torch.equal(batch["pixel_values_videos"], expected)
    assert "pixel_mean" not in batch
    assert "labels" not in batch


def test_without_normalisation_the_statistics_are_zeros_and_ones(
    processor: ClipBertProcessor, videos: list[str]
) -> None:
    batch = ClipBertDataCollator(processor, do_normalize=False)(rows_of(videos))
    assert (batch["pixel_mean"].unique().tolist(), batch["pixel_std"].unique().tolist()) == ([0], [1])
    expected = processor.video_processor(videos, do_normalize=False)["pixel_values_videos"]
    assert torch.equal(normalized(batch), expected)


def test_images_are_clips_of_one_frame(processor: ClipBertProcessor, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (50, 64, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    sources = [array, Image.fromarray(array), str(tmp_path / "a.png")]
    batch = ClipBertDataCollator(processor)([{"image": source, "text": "red"} for source in sources])
    expected = processor(images=sources, text=["red"] * 3)["pixel_values_videos"]
    assert batch["pixel_values_videos"].shape == (3, 1, 1, 3, 64, 64)
    assert torch.equal(normalized(batch), expected)


def test_choices(processor: ClipBertProcessor, videos: list[str]) -> None:
    choices = [["red", "blue circle"], ["circle", "red"], ["is", "red"]]
    rows = rows_of(videos, options=choices, answer=["blue circle", 0, 1])
    batch = ClipBertDataCollator(processor)(rows)
    expected = processor(text=[row["question"] for row in rows], choices=choices)
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert batch["labels"].tolist() == [1, 0, 1]
    assert "texts_per_video" not in batch


def test_several_texts_of_a_video(processor: ClipBertProcessor, videos: list[str]) -> None:
    rows = [
        {"video": videos[0], "caption": ["red", "blue circle"], "label": [1, 0]},
        {"video": videos[1], "caption": "red ?", "label": 1},
    ]
    batch = ClipBertDataCollator(processor)(rows)
    assert batch["texts_per_video"].tolist() == [2, 1]
    assert batch["input_ids"].shape[0] == 3
    assert batch["labels"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        ([3, -100, True], [3, -100, 1], torch.int64),
        ([3, 1.5, np.float32(2)], [3, 1.5, 2], torch.float32),
        ([[0.5, 0, 1], (0, 1, 0), torch.tensor([0.25, 0, 0])], [[0.5, 0, 1], [0, 1, 0], [0.25, 0, 0]], torch.float32),
        (["no", "yes", "what"], [0, 1, -100], torch.int64),
        (
            [[{"answer": "red", "score": 0.6}, {"answer": "what", "score": 1}], [], [{"answer": "no", "score": 1}]],
            [[0, 0, 0.6], [0, 0, 0], [1, 0, 0]],
            torch.float32,
        ),
    ],
)
@pytest.mark.parametrize("column", ["label", "labels", "answer", "answers"])
def test_labels(
    processor: ClipBertProcessor, videos: list[str], column: str, values: list[Any], expected: Any, dtype: torch.dtype
) -> None:
    collator = ClipBertDataCollator(processor, label2id=ANSWERS, num_clips=1)
    labels = collator(rows_of(videos, **{column: values}))["labels"]
    assert labels.dtype == dtype
    assert torch.equal(labels, torch.tensor(expected).to(dtype))


def test_rows_of_a_data_set(processor: ClipBertProcessor, videos: list[str]) -> None:
    rows = rows_of(videos, answer=["yes", "no", "red"])
    expected = ClipBertDataCollator(processor, label2id=ANSWERS)(rows)
    table = datasets.Dataset.from_list(rows)
    encoded = [{"bytes": Path(row["video"]).read_bytes(), "path": None} for row in rows]
    labels = datasets.ClassLabel(names=list(ANSWERS))
    for data in (
        table,
        table.with_format("torch"),
        table.remove_columns("video").add_column("video", encoded),
        table.cast_column("answer", labels).rename_column("answer", "label"),
    ):
        batch = ClipBertDataCollator(processor, label2id=ANSWERS)(data.__getitems__([0, 1, 2]))
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in batch)


def test_it_goes_to_the_workers_of_a_loader(processor: ClipBertProcessor, videos: list[str]) -> None:
    collator = ClipBertDataCollator(processor, label2id=ANSWERS, num_clips=1)
    rows = rows_of(videos, answer=["yes", "no", "red"])
    expected = collator(rows)
    loader = torch.utils.data.DataLoader(
        rows,  # type: ignore[arg-type]
        batch_size=3,
        collate_fn=pickle.loads(pickle.dumps(collator)),  # noqa: S301 (our own)
        num_workers=1,
        multiprocessing_context="fork",
    )
    (batch,) = loader
    assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_random_clips_differ_from_batch_to_batch(processor: ClipBertProcessor, videos: list[str]) -> None:
    collator = ClipBertDataCollator(processor, sampling_strategy="random", num_clips=4)
    torch.manual_seed(0)
    first, second = (collator(rows_of(videos))["pixel_values_videos"] for _ in range(2))
    torch.manual_seed(0)
    assert torch.equal(collator(rows_of(videos))["pixel_values_videos"], first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("strategy", "times"), [("dense", 2), ("random", 4)])
def test_a_file_is_read_once_a_batch_unless_clips_are_drawn(
    processor: ClipBertProcessor, videos: list[str], strategy: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    original = type(processor.video_processor).preprocess

    def record(self: Any, sources: Any, **options: Any) -> Any:
        read.extend(sources)
        return original(self, sources, **options)

    monkeypatch.setattr(type(processor.video_processor), "preprocess", record)
    rows = [{"video": videos[place], "text": "red"} for place in (0, 0, 1, 0)]
    batch = ClipBertDataCollator(processor, sampling_strategy=strategy)(rows)
    assert len(read) == times
    assert len(batch["pixel_values_videos"]) == 4
    monkeypatch.undo()
    if strategy == "dense":
        expected = processor.video_processor([row["video"] for row in rows])["pixel_values_videos"]
        assert torch.equal(normalized(batch), expected)


# --- Processed samples ---


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_processed_samples(processor: ClipBertProcessor, videos: list[str], dtype: str, batched: bool) -> None:
    texts, labels = ["what is red ?", "red"], [2, 0]
    samples: list[dict[str, Any]] = []
    for text, video, label in zip(texts, videos, labels, strict=False):
        sample = {**processor(text=text, videos=video, pixel_dtype=dtype), "labels": torch.tensor([label])}
        samples.append(sample if batched else {name: value[0] for name, value in sample.items()})
    batch = ClipBertDataCollator(processor)(samples)
    rows = [
        {"video": video, "text": text, "label": label}
        for text, video, label in zip(texts, videos, labels, strict=False)
    ]
    expected = ClipBertDataCollator(processor, pixel_dtype=dtype)(rows)
    assert batch.keys() == expected.keys()
    assert all(torch.equal(batch[name], expected[name]) for name in batch)


@pytest.mark.parametrize("batched", [True, False])
def test_processed_choices(processor: ClipBertProcessor, videos: list[str], batched: bool) -> None:
    choices = [["red", "blue circle"], ["is", "red circle ?"]]
    samples = [dict(processor(text="red", videos=v, choices=[c])) for v, c in zip(videos, choices, strict=False)]
    samples = samples if batched else [{name: value[0] for name, value in sample.items()} for sample in samples]
    batch = ClipBertDataCollator(processor)(samples)
    expected = processor(text=["red", "red"], videos=videos[:2], choices=choices)
    assert batch.keys() == set(expected)
    assert all(torch.equal(batch[name], expected[name]) for name in batch)


def test_processed_samples_with_several_texts(processor: ClipBertProcessor, videos: list[str]) -> None:
    samples = [dict(processor(text=[texts], videos=videos[0])) for texts in (["red"], ["is red ?", "blue"])]
    batch = ClipBertDataCollator(processor)(samples)
    expected = processor(text=[["red"], ["is red ?", "blue"]])
    for name in ("input_ids", "attention_mask", "texts_per_video"):
        assert torch.equal(batch[name], expected[name])


def test_samples_that_a_data_set_kept(processor: ClipBertProcessor, videos: list[str]) -> None:
    """It holds tensors as lists, and makes other integers of bytes."""
    rows = datasets.Dataset.from_list(rows_of(videos, label=[1, 0, 2]))
    samples = rows.map(lambda row: {**processor(text=row["question"], videos=row["video"], pixel_dtype="uint8")})
    expected = ClipBertDataCollator(processor)(rows_of(videos, label=[1, 0, 2]))
    for data in (samples, samples.with_format("torch")):
        batch = ClipBertDataCollator(processor)(data.__getitems__([0, 1, 2]))
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_bytes_beside_floats_are_normalised(processor: ClipBertProcessor, videos: list[str]) -> None:
    samples = [
        dict(processor(text="red", videos=v, pixel_dtype=d)) for v, d in zip(videos, ["uint8", "float32"], strict=False)
    ]
    batch = ClipBertDataCollator(processor)(samples)
    assert torch.equal(
        batch["pixel_values_videos"], processor(text=["red"] * 2, videos=videos[:2])["pixel_values_videos"]
    )
    assert "pixel_mean" not in batch


# --- The models take what it gives ---


@pytest.mark.parametrize(
    ("model_class", "columns", "options"),
    [
        (ClipBertForVideoQuestionAnswering, {"label": [1, 0, 2]}, {}),
        (ClipBertForVideoQuestionAnswering, {"label": [[0.5, 0, 1], [0, 1, 0], [0, 0, 0]]}, {}),
        (ClipBertForVideoRegression, {"answer": [1, 0, 2]}, {}),
        (ClipBertForVideoTextRetrieval, {"label": [1, 0, 1]}, {}),
        (ClipBertForMultipleChoice, {"choices": [["red", "blue"]] * 3, "label": [1, 0, 1]}, {}),
        (
            ClipBertForVideoTextRetrieval,
            {"question": [["red", "blue ?"]] * 3, "label": [[1, 0]] * 3},
            {"retrieval_loss": "rank"},
        ),
    ],
)
def test_all_heads_normalise_bytes_bit_for_bit(
    processor: ClipBertProcessor, videos: list[str], model_class: Any, columns: dict[str, Any], options: dict[str, Any]
) -> None:
    model = model_class(tiny_config(num_labels=3, **options)).eval()
    rows = rows_of(videos, **columns)
    with torch.no_grad():
        late = model(**ClipBertDataCollator(processor)(rows))
        early = model(**ClipBertDataCollator(processor, pixel_dtype="float32")(rows))
    assert torch.equal(late.loss, early.loss)
    assert torch.equal(late.clip_logits, early.clip_logits)


# --- What is wrong names row and column ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": None}, r"row 1 needs a column 'video' or 'image'; it has .*remove_unused_columns=False"),
        ({"image": "a.png"}, r"row 1 must have one of the columns 'video' and 'image'; got both"),
        ({"video": 3}, r"row 1, column 'video': video: expected a path"),
        ({"video": "file:///x", "question": " "}, r"row 1, column 'question' must be text that is not empty"),
        ({"question": None}, r"row 1 needs a column 'question' or 'text' or 'caption'"),
        ({"text": "red"}, r"row 1 must have one of the columns 'question' and 'text'"),
        ({"answer": None}, r"row 1 needs a label in one of label, labels, answer"),
        ({"answer": float("nan")}, r"row 1, column 'answer' must be an index, a number, scores or text; got nan"),
        ({"answer": [0.5, 0.5]}, r"row 1, column 'answer' must be one number, as in row 0; got \[0.5, 0.5\]"),
        ({"answer": [{"answer": "yes"}]}, r"row 1, column 'answer' must have 'answer' and 'score' in each"),
        ({"choices": ["red"]}, r"row 0 needs a column 'choices' or 'options'"),
        ({"pixel_values_videos": 1}, r"row 1 has column 'pixel_values_videos', and row 0 has none"),
    ],
)
def test_rows_that_are_wrong(
    processor: ClipBertProcessor, videos: list[str], change: dict[str, Any], message: str
) -> None:
    rows = rows_of(videos, answer=["yes", "no", "red"])
    rows[1] |= change
    with pytest.raises(InvalidInputError, match=message):
        ClipBertDataCollator(processor, label2id=ANSWERS)(rows)


@pytest.mark.parametrize(
    ("choices", "answer", "message"),
    [
        ([["red", "blue"], "red"], [0, 0], r"row 1, column 'choices' must be a list of texts; got 'red'"),
        ([["red", "blue"], ["red", ""]], [0, 0], r"row 1, column 'choices' must be text that is not empty"),
        ([["red", "blue"], ["red"]], [0, 0], r"row 1, column 'choices' must have 2 choices, as row 0; got 1"),
        ([["red", "blue"]] * 2, [0, 2], r"row 1, column 'answer' must be an index of its 2 choices; got 2"),
        ([["red", "blue"]] * 2, [0, "yes"], r"row 1, column 'answer' must be one of the choices .*; got 'yes'"),
    ],
)
def test_choices_that_are_wrong(
    processor: ClipBertProcessor, videos: list[str], choices: list[Any], answer: list[Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ClipBertDataCollator(processor)(rows_of(videos[:2], choices=choices, answer=answer))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": None}, r"row 1 needs a column 'input_ids'"),
        ({"input_ids": "red"}, r"row 1, column 'input_ids' must be a tensor"),
        ({"input_ids": torch.ones(2, 1, 4), "attention_mask": None}, r"row 1, column 'input_ids' must be \(tokens,\)"),
        ({"attention_mask": torch.ones(1, 2)}, r"row 1, column 'attention_mask' must have the shape of input_ids"),
        ({"pixel_values_videos": torch.ones(2, 2, 1, 3, 64, 64)}, r"row 1, column 'pixel_values_videos' must hold one"),
        ({"pixel_values_videos": torch.full((1, 2, 1, 3, 64, 64), 256)}, r"must be floats, or from 0 to 255"),
        (
            {"pixel_values_videos": torch.ones(1, 3, 1, 3, 64, 64)},
            r"row 1: all videos of a batch must have clips of one",
        ),
    ],
)
def test_samples_that_are_wrong(
    processor: ClipBertProcessor, videos: list[str], change: dict[str, Any], message: str
) -> None:
    samples = [dict(processor(text="red", videos=videos[0])) for _ in range(2)]
    samples[1] |= change
    with pytest.raises(InvalidInputError, match=message):
        ClipBertDataCollator(processor)(samples)


def test_other_mistakes(processor: ClipBertProcessor, videos: list[str], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no option 'clips'"):
        ClipBertDataCollator(processor, clips=3)
    with pytest.raises(InvalidInputError, match="seed belongs to one call"):
        ClipBertDataCollator(processor, seed=3)
    collator = ClipBertDataCollator(processor)
    with pytest.raises(InvalidInputError, match="at least one row"):
        collator([])
    with pytest.raises(InvalidInputError, match="row 0 must be a mapping from columns to values; got str"):
        collator(["a.mp4"])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match=r"row 0, column 'answer': for labels in words, such as 'yes', give"):
        collator(rows_of(videos, answer=["yes", "no", "red"]))
    with pytest.raises(InvalidInputError, match=r"row 0, column 'label' must be a label for each of 2 texts; got 1"):
        collator([{"video": videos[0], "text": ["red", "blue"], "label": 1}])
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoDecodeError, match=r"broken.mp4 .*\(row 1, column 'video'\)"):
        collator([*rows_of(videos[:1]), {"video": str(tmp_path / "broken.mp4"), "text": "red"}])
    with pytest.raises(InvalidInputError, match=r"row 0, column 'image' must hold one picture; got 12"):
        collator([{"image": videos[0], "text": "red"}])
