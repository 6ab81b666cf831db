from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from published_miniatures import WRITERS

from clipbert_hf.training.data.splits import LOADERS, load_source, load_splits, load_task_splits, some_videos
from clipbert_hf.training.recipe import DataSettings, DataSource, RecipeError, ScriptSettings
from datasets_scripts.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path, prepared_rows_in_a_folder: None) -> Path:
    """All data sets in miniature."""
    for write in WRITERS.values():
        write(tmp_path)
    return tmp_path


def test_unknown_data_set() -> None:
    with pytest.raises(RecipeError, match=r"dataset must be one of .*moving_shapes.*; got 'moving_shape'"):
        load_splits(DataSettings(dataset="moving_shape", data_dir="x"), "qa")


def test_annotated_data_sets_come_by_name(tmp_path: Path, prepared_rows_in_a_folder: None) -> None:
    (tmp_path / "train.csv").write_text("video,question,answer\na.mp4,what ?,red\nb.mp4,what ?,blue\n")
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"a stub; nothing is decoded here")
    settings = DataSettings(data_dir=str(tmp_path), dataset="custom", dataset_options={"video_dir": str(tmp_path)})
    rows = load_splits(settings, "qa")["train"]
    assert [(row["video"], row["question"], row["answer"]) for row in rows] == [
        (str(tmp_path / "a.mp4"), "what ?", "red"),
        (str(tmp_path / "b.mp4"), "what ?", "blue"),
    ]


def test_the_first_validation_split_of_activitynet_is_the_test(tmp_path: Path, prepared_rows_in_a_folder: None) -> None:
    for split, video in {"train": "v_a", "val_1": "v_b", "val_2": "v_c"}.items():
        entry = {"duration": 4.0, "timestamps": [[0, 2], [1, 4]], "sentences": ["One.", "Two."]}
        (tmp_path / f"{split}.json").write_text(json.dumps({video: entry}))
        (tmp_path / f"{video}.mp4").write_bytes(b"a stub; nothing is decoded here")
    options = {"video_dir": str(tmp_path)}
    settings = DataSettings(data_dir=str(tmp_path), dataset="activitynet_captions", dataset_options=options)
    splits = load_splits(settings, "retrieval")
    assert {name: Path(rows[0]["video"]).stem for name, rows in splits.items()} == {
        "train": "v_a",
        "test": "v_b",
        "val2": "v_c",
    }


# --- Several data sets ---


def images(root: Path, **more: Any) -> DataSettings:
    """COCO captions with Visual Genome."""
    coco = {"image_dir": str(root / "coco_images")}
    genome = {"image_dir": str(root / "visual_genome" / "images"), "coco_dir": str(root / "coco_captions")}
    second = DataSource(
        dataset="visual_genome", data_dir=str(root / "visual_genome"), dataset_options={**genome, **more}
    )
    return DataSettings(
        dataset="coco_captions", data_dir=str(root / "coco_captions"), dataset_options=coco, more_data=[second]
    )


def test_several_data_sets_are_joined(root: Path) -> None:
    splits = load_splits(images(root), "captions")
    assert {split: [row["id"] for row in rows] for split, rows in splits.items()} == {
        "train": [
            *(f"coco_captions/{name}" for name in ("9_0", "25_0", "9_1", "30_0")),
            *(f"visual_genome/{name}" for name in ("1_0", "1_1", "4_0", "4_1", "5_0")),
        ],
        "validation": ["coco_captions/42_0", "coco_captions/42_1", "visual_genome/2_0", "visual_genome/3_0"],
    }
    bus, tree = splits["train"][3], splits["train"][-1]
    image = str(root / "coco_images" / "train2014" / "COCO_train2014_000000000030.jpg")
    source = {"id": "coco_captions/30_0", "source": "coco_captions"}
    assert bus == {**source, "image": image, "video": image, "caption": "A red bus."}
    assert tree["video"] == str(root / "visual_genome" / "images" / "VG_100K" / "5.jpg")


def test_one_data_set_keeps_its_ids(root: Path) -> None:
    settings = DataSettings(dataset="custom", data_dir=str(root / "mine"))
    rows = load_splits(settings, "qa")["train"]
    assert [set(row) for row in rows] == [{"id", "video", "question", "answer", "answer_type"}] * 2
    assert [row["id"] for row in rows] == ["a_0", "b_0"]


def test_the_same_kind_of_data_twice(root: Path) -> None:
    mine = DataSource(dataset="custom", data_dir=str(root / "mine"))
    second = DataSource(
        dataset="custom",
        dataset_config="retrieval",
        data_dir=str(root / "mine"),
        dataset_options={"columns": {"caption": "question"}},
    )
    settings = DataSettings(dataset="custom", data_dir=mine.data_dir, more_data=[mine, second])
    rows = load_splits(settings, "qa")["train"]
    assert [(row["id"], row["source"]) for row in rows[::2]] == [
        ("custom/a_0", "custom"),
        ("custom.2/a_0", "custom.2"),
        ("custom.3/a_0", "custom.3"),
    ]
    assert rows[4]["caption"] == "who ?"


def test_what_one_trains_on_is_not_in_the_test_of_another(root: Path) -> None:
    turned = {"files": {"train": "test.csv", "test": "train.csv"}}
    second = DataSource(dataset="custom", data_dir=str(root / "mine"), dataset_options=turned)
    settings = DataSettings(dataset="custom", data_dir=str(root / "mine"), more_data=[second])
    with pytest.raises(RecipeError, match=r"is in the split 'train' of custom(\.2)? and in 'test' of custom"):
        load_splits(settings, "qa")


# --- The splits that a run cannot do without ---


def task_splits(root: Path, task: str, dataset: str, folder: str, **loop: Any) -> dict[str, int]:
    settings = ScriptSettings(output_dir="x", dataset=dataset, data_dir=str(root / folder), **loop)
    splits = load_task_splits(settings, task)
    return {split: len(rows) for split, rows in splits.items()}


def test_an_evaluation_needs_no_training_split(root: Path) -> None:
    assert task_splits(root, "multiple_choice", "msrvtt", "msrvtt", epochs=0) == {"train": 0, "test": 2}
    assert task_splits(root, "multiple_choice", "msrvtt", "msrvtt", max_steps=0) == {"train": 0, "test": 2}
    named = (
        r"training needs a split 'train', and data set msrvtt \(multiple_choice\) in .*msrvtt has test; .*--epochs 0"
    )
    with pytest.raises(RecipeError, match=named):
        task_splits(root, "multiple_choice", "msrvtt", "msrvtt")


def test_without_a_validation_split(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def written() -> bool:
        return "no split 'validation'" in capsys.readouterr().err

    assert task_splits(root, "retrieval", "msrvtt", "msrvtt") == {"train": 6, "test": 2}
    assert written()
    assert task_splits(root, "retrieval", "msrvtt", "msrvtt", epochs=0, best_metric="x") == {"train": 6, "test": 2}
    assert not written()
    assert task_splits(root, "qa", "msrvtt", "msrvtt", best_metric="x") == {"train": 2, "validation": 1, "test": 2}
    assert not written()
    named = r"best_metric=x chooses .* data set msrvtt \(retrieval\) in .*msrvtt has train, test; .*--best_metric null"
    with pytest.raises(RecipeError, match=named):
        task_splits(root, "retrieval", "msrvtt", "msrvtt", best_metric="x")


def test_rows_of_another_task(root: Path) -> None:
    data = {"dataset": "msrvtt", "dataset_config": "qa", "data_dir": str(root / "msrvtt")}
    with pytest.raises(RecipeError, match=r"retrieval needs rows with 'caption', and row video0_0 of data set msrvtt"):
        load_task_splits(ScriptSettings(output_dir="x", **data), "retrieval")


@pytest.mark.parametrize("text", ["", " \t", None])
@pytest.mark.parametrize(
    ("task", "column"),
    [("retrieval", "caption"), ("pretraining", "caption"), ("qa", "question"), ("retrieval", "hard_negatives")],
)
def test_blank_texts_are_named(task: str, column: str, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: str, folder: str, **options: Any) -> DatasetDict:
        rows: list[dict[str, Any]] = [{"id": str(n), "video": "v.mp4", "caption": "a caption"} for n in range(2)]
        for row, value in zip(rows, ("a text", text), strict=True):
            row[column] = ["a text", value] if column == "hard_negatives" else value
        return DatasetDict(train=Dataset.from_list(rows[:1]), test=Dataset.from_list(rows))

    monkeypatch.setitem(LOADERS, "own", load)
    with pytest.raises(RecipeError) as caught:
        load_task_splits(ScriptSettings(output_dir="x", dataset="own", data_dir="here"), task)
    assert str(caught.value) == (
        f"{task} needs rows whose {column!r} is a text that is not blank, and row 1 of the split 'test' of data set "
        f"own ({task}) in here has {text!r}"
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data.more_data.append(DataSource(dataset="coco", data_dir="x")), "got 'coco'"),
        (lambda data: data.more_data[0].dataset_options.update(coco_dir="/there/is/none"), "/there/is/none"),
    ],
)
def test_further_data_sets_are_checked_too(root: Path, change: Callable[[DataSettings], Any], named: str) -> None:
    settings = images(root)
    change(settings)
    with pytest.raises((RecipeError, DatasetError), match=named):
        load_splits(settings, "captions")


def test_some_videos() -> None:
    rows = [
        {"video": name, "id": f"{name}{number}"}
        for name, count in zip("abcde", (3, 1, 2, 1, 3), strict=True)
        for number in range(count)
    ]
    some = [*some_videos(rows, 4, seed=1)]
    assert some == [*some_videos(rows, 4, seed=1)]
    assert some == [row for row in rows if row["video"] in {one["video"] for one in some}]  # whole videos, in order
    largest = 3
    assert 4 <= len(some) < 4 + largest
    assert [*some_videos(rows, 100, seed=1)] == rows
    assert {len({row["video"] for row in some_videos(rows, 1, seed=seed)}) for seed in range(9)} == {1}
    assert len({some_videos(rows, 1, seed=seed)[0]["video"] for seed in range(40)}) == 5


def test_options_of_a_data_set_are_checked(small_data: Path) -> None:
    source = DataSource(dataset="moving_shapes", data_dir=str(small_data), dataset_options={"trian": 3})
    with pytest.raises(RecipeError, match=r"dataset_options: unknown key 'trian' \(did you mean 'train'\?\)"):
        load_source(source, "qa")
