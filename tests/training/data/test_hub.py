"""The same rows out of every form of a data set, and one clear error where something is missing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, Video
from hub_folders import FORMS, write_form, write_source

from clipbert_hf.training.data.media import EmbeddedMedia, readable
from clipbert_hf.training.data.rows import Rows, group_by_video
from clipbert_hf.training.data.shards import ParquetShards
from clipbert_hf.training.data.splits import load_source, load_task_splits
from clipbert_hf.training.recipe import DataSource, RecipeError, ScriptSettings

VIDEOS = ("a.mp4", "b.mp4", "c.mp4")


@pytest.fixture
def quiet(prepared_rows_in_a_folder: None) -> None:
    datasets.disable_progress_bars()


@pytest.fixture
def source(tmp_path: Path, quiet: None) -> tuple[Path, Path]:
    """Questions about three videos, and the folder of these, which are stubs: nothing is decoded here."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in VIDEOS:
        (videos / name).write_bytes(f"the bytes of {name}".encode())
    questions = [("a.mp4", 0), ("a.mp4", 1), ("b.mp4", 0), ("a.mp4", 2), ("c.mp4", 0)]
    rows = [{"video": name, "question": f"what {number} ?", "answer": name[0]} for name, number in questions]
    return write_source(tmp_path / "source", {"train": rows, "test": rows[:1]}), videos


def hub(data_dir: str | Path, config: str | None = None, *, streaming: bool = False, **options: Any) -> dict[str, Rows]:
    data = DataSource(dataset="hub", data_dir=str(data_dir), dataset_config=config, dataset_options=options)
    return load_source(data, config or "qa", needed="question", streaming=streaming)


def content(video: Any) -> bytes:
    found = readable(video)
    return Path(found).read_bytes() if isinstance(found, str) else found["bytes"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "videofolder"])
def test_each_form_gives_the_rows_of_the_files(
    form: str, streaming: bool, source: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = write_form(form, *source, tmp_path / form)
    found = hub(settings["data_dir"], streaming=streaming, **settings["dataset_options"])
    wanted = load_source(
        DataSource(dataset="custom", data_dir=str(source[0]), dataset_options={"video_dir": str(source[1])}), "qa"
    )
    assert found.keys() == wanted.keys()
    for split, rows in found.items():
        assert [Path(row["video"]).name for row in rows] == [Path(row["video"]).name for row in wanted[split]]
        assert [content(row["video"]) for row in rows] == [content(row["video"]) for row in wanted[split]]
        without = [[{**row, "video": None} for row in some] for some in (rows, wanted[split])]
        assert without[0] == without[1]
        groups = [[[row["id"] for row in group] for group in group_by_video(some)] for some in (rows, wanted[split])]
        assert groups[0] == groups[1]
        assert group_by_video(rows).fingerprint() == group_by_video(wanted[split]).fingerprint()
        sent: Rows = pickle.loads(pickle.dumps(rows))  # noqa: S301 (made here), as to a spawned worker
        assert [content(row["video"]) for row in sent] == [content(row["video"]) for row in rows]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_videos_with_metadata(streaming: bool, source: tuple[Path, Path], tmp_path: Path) -> None:
    one = [{"video": name, "question": "what ?", "answer": name[0]} for name in VIDEOS]
    settings = write_form("videofolder", write_source(tmp_path / "one", {"train": one}), source[1], tmp_path / "folder")
    rows = hub(settings["data_dir"], streaming=streaming)["train"]
    assert [row["video"] for row in rows] == [str(tmp_path / "folder" / "train" / name) for name in VIDEOS]
    assert [row["answer"] for row in rows] == ["a", "b", "c"]


def test_columns_of_other_names(tmp_path: Path, quiet: None) -> None:
    features = Features(
        {"clip": Video(decode=False), "asked": Value("string"), "label": ClassLabel(names=["no", "yes"])}
    )
    rows = [{"clip": {"bytes": b"v%d" % n, "path": None}, "asked": f"is {n} ?", "label": n % 2} for n in (0, 1, 0)]
    (tmp_path / "data").mkdir()
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "data" / "train.parquet")
    found = hub(tmp_path / "data", columns={"question": "asked", "answer": "label"})["train"]
    assert [(row["id"], row["question"], row["answer"]) for row in found] == [
        ("train_0", "is 0 ?", "no"),
        ("train_1", "is 1 ?", "yes"),
        ("train_2", "is 0 ?", "no"),
    ]
    assert [content(row["video"]) for row in found] == [b"v0", b"v1", b"v0"]
    with pytest.raises(RecipeError, match=r"videos without names: a stream needs a column that tells which rows are"):
        hub(tmp_path / "data", columns={"question": "asked", "answer": "label"}, streaming=True)
    # Videos without a name are told apart by their bytes.
    assert [[row["id"] for row in group] for group in group_by_video(found)] == [["train_0", "train_2"], ["train_1"]]


def test_what_an_embedded_video_is_to_others(source: tuple[Path, Path], tmp_path: Path) -> None:
    settings = write_form("embed", *source, tmp_path / "embed")
    rows = hub(settings["data_dir"])["train"]
    video = rows[2]["video"]
    assert isinstance(video, EmbeddedMedia)
    assert video == "b.mp4"
    assert type(pickle.loads(pickle.dumps(video))) is str  # noqa: S301 (made here)
    assert json.dumps(video) == '"b.mp4"'
    again: Rows = pickle.loads(pickle.dumps(rows))  # noqa: S301 (made here)
    assert content(again[2]["video"]) == b"the bytes of b.mp4"
    assert [*rows.select(np.array([2])).values("video")] == ["b.mp4"]


def test_an_address_with_a_format(source: tuple[Path, Path], tmp_path: Path) -> None:
    write_form("embed", *source, tmp_path / "embed")
    address = f"file://{tmp_path}/embed/qa"
    options = {"format": "parquet", "data_files": {"train": "train-*.parquet", "test": "test-*.parquet"}}
    found = hub(address, **options)
    assert [row["id"] for row in found["train"]] == ["a_0", "a_1", "b_0", "a_2", "c_0"]
    assert [content(row["video"]) for row in found["test"]] == [b"the bytes of a.mp4"]
    with pytest.raises(RecipeError, match=r"data_dir=file://.* is an address: say how to read it with --dataset_opt"):
        hub(address)


def test_splits_of_other_names(source: tuple[Path, Path], tmp_path: Path) -> None:
    settings = write_form("embed", *source, tmp_path / "embed")
    assert {*hub(settings["data_dir"], splits={"validation": "test"})} == {"train", "validation"}
    with pytest.raises(RecipeError, match=r"dataset_options.splits: .*embed has no split 'val'; there is train, test"):
        hub(settings["data_dir"], splits={"validation": "val"})


# --- What is refused ---


def parquet(folder: Path, rows: list[dict[str, Any]], **kinds: Any) -> Path:
    folder.mkdir()
    Dataset.from_list(rows, features=Features(kinds) if kinds else None).to_parquet(folder / "train.parquet")
    return folder


@pytest.mark.parametrize(
    ("rows", "options", "named"),
    [
        ([{"video": "a.mp4", "text": "x"}], {}, r"rows need 'question': .* has video, text; --dataset_options.columns"),
        (
            [{"video": "a.mp4", "question": "x"}],
            {"columns": {"question": "json.q"}},
            r"dataset_options.columns.question: there is no column 'json.q'; .* has video, question",
        ),
        (
            [{"video": "a.mp4", "question": "x"}],
            {"columns": {"qestion": "question"}},
            r"dataset_options.columns: unknown column 'qestion'; ours are video,",
        ),
        ([{"video": "a.mp4", "question": 3}], {}, r"the column 'question' of .* must be texts; it is Value\('int64'\)"),
        ([{"video": 3, "question": "x"}], {}, r"the column 'video' of .* must have videos, images, or their paths"),
        (
            [{"question": "x"}],
            {},
            r"dataset_options.columns.video must say which column has the videos: .* has question",
        ),
        (
            [{"video": "a.mp4", "question": "x"}],
            {},
            r"names the video .*/a\.mp4, which does not exist; --dataset_options.video_dir DIR says where",
        ),
        ([{"video": "a.mp4", "question": "x"}], {"video_dirs": "x"}, r"unknown key 'video_dirs' \(did you mean"),
        ([{"video": "a.mp4", "question": "x"}], {"format": "tar"}, r"dataset_options.format must be one of parquet"),
    ],
)
def test_columns_that_do_not_fit(
    rows: list[dict[str, Any]], options: dict[str, Any], named: str, tmp_path: Path, quiet: None
) -> None:
    folder = parquet(tmp_path / "data", rows)
    for streaming in (False, True):
        with pytest.raises(RecipeError, match=named):
            hub(folder, streaming=streaming, **options)


def test_embedded_videos_that_do_not_fit(tmp_path: Path, quiet: None) -> None:
    kinds = {"video": Video(decode=False), "question": Value("string")}
    one, other = {"bytes": b"one", "path": "a.mp4"}, {"bytes": b"another", "path": "a.mp4"}
    rows = [{"video": one, "question": "x"}, {"video": other, "question": "x"}]
    with pytest.raises(RecipeError, match=r"several videos called 'a.mp4': dataset_options.columns.video_name must"):
        hub(parquet(tmp_path / "several", rows, **kinds))
    with pytest.raises(RecipeError, match=r"row train_1 of .*lacking has no video in the column 'video'"):
        hub(parquet(tmp_path / "lacking", [rows[0], {"video": None, "question": "x"}], **kinds))
    two = {"first": Video(decode=False), "second": Video(decode=False), "question": Value("string")}
    with pytest.raises(RecipeError, match=r"columns.video must say which column has the videos: .* has first, second"):
        hub(parquet(tmp_path / "two", [{"first": one, "second": one, "question": "x"}], **two))


def test_places_that_are_none(source: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data_dir=/no/folder/here is neither a folder nor the name of a repository"):
        hub("/no/folder/here")
    settings = write_form("embed", *source, tmp_path / "embed")
    with pytest.raises(RecipeError, match=r"there is no dataset_config=retrieval: .*embed has qa"):
        hub(settings["data_dir"], "retrieval")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"data_dir=.*empty cannot be loaded: "):
        hub(tmp_path / "empty")


def test_rows_of_the_task_are_checked(source: tuple[Path, Path], tmp_path: Path) -> None:
    settings = write_form("embed", *source, tmp_path / "embed")
    recipe = ScriptSettings(output_dir="x", dataset="hub", epochs=1, **settings)
    assert len(load_task_splits(recipe, "qa")["train"]) == 5
    with pytest.raises(RecipeError, match=r"rows need 'caption': .* has id, video, question, answer, answer_type"):
        load_task_splits(recipe, "retrieval")


# --- Streams ---


def test_the_texts_of_a_stream_are_read_once(
    source: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    texts = ParquetShards.texts

    def counted(self: ParquetShards, number: int, media: str | None) -> Any:
        read.append(number)
        return texts(self, number, media)

    monkeypatch.setattr(ParquetShards, "texts", counted)
    data_dir = write_form("embed", *source, tmp_path / "embed")["data_dir"]
    first, again = (hub(data_dir, streaming=True)["train"] for _ in range(2))
    assert read == [0, 0]  # the one shard of each split
    assert [*first] == [*again]
    (shard,) = (tmp_path / "embed" / "qa").glob("train-*")
    table = pq.read_table(shard)
    pq.write_table(table.slice(1), shard)
    assert [row["id"] for row in hub(data_dir, streaming=True)["train"]] == [row["id"] for row in first][1:]


def test_only_a_data_set_with_shards_is_streamed(source: tuple[Path, Path]) -> None:
    recipe = ScriptSettings(output_dir="x", dataset="custom", data_dir=str(source[0]), streaming=True)
    with pytest.raises(RecipeError, match=r"streaming is for dataset=hub: the files of custom lie on a disk"):
        load_task_splits(recipe, "qa")
