"""The rows of MovingShapes: every configuration, and never those of before."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from datasets import List, Value
from shapes import CONFIGS_WITHOUT_MOTION, COUNTS, videos

from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes import MovingShapes, generate, load_moving_shapes, loading, read_plans, scenes, text


def test_the_same_seed_gives_the_same_bytes_and_rows_however_many_processes(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=3, **COUNTS, workers=1, progress=False)
    assert videos(tmp_path) == videos(folder)
    for config in CONFIGS_WITHOUT_MOTION:
        first = load_moving_shapes(config, folder, progress=False)
        second = load_moving_shapes(config, tmp_path, progress=False)
        for split in COUNTS:
            assert first[split].remove_columns("video")[:] == second[split].remove_columns("video")[:]


def test_every_field_of_every_config(folder: Path) -> None:
    text, number = Value("string"), Value("float64")
    common = {"id": text, "video": text}
    expected = {
        "qa": {**common, "question": text, "answer": text, "answer_type": text},
        "retrieval": {**common, "caption": text},
        "multiple_choice": {**common, "question": text, "options": List(text), "answer": Value("int64")},
        "pretraining": {
            **common,
            **{"start": number, "end": number, "caption": text},
            **{"hard_negatives": List(text), "key_words": List(text)},
        },
    }
    for config in CONFIGS_WITHOUT_MOTION:
        data = load_moving_shapes(config, folder, progress=False)
        assert list(data) == ["train", "validation", "test"]
        for split, rows in data.items():
            assert dict(rows.features) == expected[config]
            assert len(set(rows["id"])) == len(rows)
            videos = list(dict.fromkeys(rows["video"]))  # the rows of a video stand together
            assert videos == [str(folder / plan.file) for plan in read_plans(folder, split)]
            assert all(Path(video).is_file() for video in videos)
            for row in rows.select(range(6)):
                assert row["id"].startswith(Path(row["video"]).stem + "_")


def test_row_counts(folder: Path) -> None:
    scenes = {split: [len(plan.scenes) for plan in read_plans(folder, split)] for split in COUNTS}
    sizes = {
        config: {split: len(rows) for split, rows in load_moving_shapes(config, folder, progress=False).items()}
        for config in CONFIGS_WITHOUT_MOTION
    }
    six_each = {split: 6 * count for split, count in COUNTS.items()}
    assert sizes["qa"] == sizes["multiple_choice"] == six_each
    orders = {2: 2, 3: 6}
    assert sizes["retrieval"] == {**COUNTS, "train": sum(orders[count] for count in scenes["train"])}
    assert sizes["pretraining"] == {
        "train": 4 * sum(scenes["train"]),
        "validation": sum(scenes["validation"]),
        "test": sum(scenes["test"]),
    }
    fewer = load_moving_shapes("retrieval", folder, captions_per_video=1, progress=False)
    assert len(fewer["train"]) == COUNTS["train"]


def test_a_split_grows_without_changing_what_it_has(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=3, train=4, validation=0, test=3, progress=False)
    first = load_moving_shapes("qa", tmp_path, progress=False)
    assert {split: len(rows) for split, rows in first.items()} == {"train": 24, "test": 18}
    done = generate(tmp_path, seed=3, train=6, validation=2, test=3, progress=False)
    assert (done.written, done.kept) == (4, 7)
    grown = load_moving_shapes("qa", tmp_path, progress=False)  # never the cached rows of before
    assert {split: len(rows) for split, rows in grown.items()} == {"train": 36, "validation": 12, "test": 18}
    assert grown["train"][:24] == first["train"][:]
    assert videos(tmp_path).items() <= videos(folder).items()


def test_a_moved_folder_and_an_edited_annotation_are_read_anew(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    load_moving_shapes("retrieval", old, train=0, validation=0, test=2, progress=False)
    old.rename(new)
    rows = load_moving_shapes("retrieval", new, progress=False)["test"]
    assert [Path(video).parent.parent.parent for video in rows["video"]] == [new, new]
    path = new / "annotations" / "test.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    for scene, color in zip(line["scenes"], ("white", "black", "red"), strict=False):
        scene["color"] = color
    path.write_text(json.dumps(line) + "\n" + path.read_text().splitlines()[1] + "\n")
    edited = MovingShapes(config_name="retrieval", data_dir=new)
    edited.download_and_prepare()
    assert {"white", "black"} <= set(edited.as_dataset()["test"]["caption"][0].split())


@pytest.mark.parametrize("module", [loading, scenes, text])
def test_other_code_makes_rows_anew(
    folder: Path, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = MovingShapes(config_name="qa", data_dir=folder).cache_dir
    (tmp_path / "changed.py").write_bytes(Path(str(module.__file__)).read_bytes() + b"#")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "changed.py"))
    assert MovingShapes(config_name="qa", data_dir=folder).cache_dir != before


def test_streaming_gives_the_same_rows(folder: Path) -> None:
    builder = MovingShapes(config_name="multiple_choice", data_dir=folder)
    streamed = list(builder.as_streaming_dataset("validation"))
    assert streamed == list(load_moving_shapes("multiple_choice", folder, progress=False)["validation"])


def test_folders_that_are_not_ours(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no moving_shapes\.json: generate"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    (tmp_path / "videos").mkdir()
    with pytest.raises(DatasetError, match=r"holds a folder 'videos' but no moving_shapes\.json"):
        generate(tmp_path, test=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="a file of that name exists"):
        generate(tmp_path / "file", test=1)
    with pytest.raises(DatasetError, match="config must be one of qa, retrieval"):
        load_moving_shapes("captions", tmp_path)  # type: ignore[arg-type]


def test_incomplete_folders_are_noticed_before_any_row_is_made(tmp_path: Path) -> None:
    generate(tmp_path, train=0, validation=0, test=2, progress=False)
    path = tmp_path / "annotations" / "test.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0])
    with pytest.raises(DatasetError, match="lists 1 videos instead of 2"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    path.write_text(lines[0] + "{}\n")
    with pytest.raises(DatasetError, match=r"test\.jsonl, line 2, is not an annotation"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    path.write_text("".join(lines))
    (tmp_path / "videos" / "test" / "test_00001.mp4").unlink()
    with pytest.raises(DatasetError, match=r"1 videos are missing .* videos/test/test_00001\.mp4"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
