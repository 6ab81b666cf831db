"""Exports are read by a plain load_dataset where nothing of ours can be imported."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from miniature_files import load_rows, write_json, write_jsonl, write_media, write_table

import datasets_scripts
from datasets_scripts.errors import DatasetError
from datasets_scripts.export import export, push_to_hub

READ = """
import base64, json, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("clipbert_hf", "datasets_scripts"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
for name in ("clipbert_hf", "datasets_scripts"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported")
from datasets import get_dataset_config_names, load_dataset
folder, configs = sys.argv[1], sys.argv[2:]
encode = lambda value: base64.b64encode(value).decode()
found = {"configs": get_dataset_config_names(folder)}
for config in configs:
    splits = load_dataset(folder, config)
    found[config] = {split: list(rows) for split, rows in splits.items()}
    found[config + " types"] = {name: str(kind) for name, kind in splits["train"].features.items()}
print(json.dumps(found, default=encode))
"""


def read_elsewhere(folder: Path, home: Path, *configs: str) -> dict[str, Any]:
    """Load an exported folder in a new process that cannot import this project."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    environment.pop("PYTHONPATH", None)
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-c", READ, str(folder), *configs]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def make_msrvtt(folder: Path) -> None:
    videos = [{"video_id": f"video{n}", "split": "train"} for n in range(2)]
    sentences = [{"sen_id": n, "video_id": f"video{n % 2}", "caption": f"caption \u00e9 {n}"} for n in range(5)]
    write_json(folder / "train_val_videodatainfo.json", {"videos": videos, "sentences": sentences})
    write_table(folder / "test.csv", [("vid_key", "a1", "a2", "a3", "a4", "a5", "answer"), ("msr2", *"abcde", 3)])
    table = [("key", "vid_key", "video_id", "sentence"), ("ret0", "msr2", "video2", "caption")]
    write_table(folder / "MSRVTT_JSFusion_test.csv", table, delimiter=",")
    write_media(folder / "videos", "video0.mp4", "below/video1.gif", "video2.webm")


def create(folder: Path, config: str, **options: Any) -> Any:
    return datasets_scripts.create_builder(
        "msrvtt", config, annotation_dir=folder, video_dir=folder / "videos", **options
    )


def expected_rows(folder: Path, config: str, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """The loader's own rows, with paths below the video folder instead of this machine's."""
    splits = load_rows("msrvtt", config, annotation_dir=folder, video_dir=folder / "videos")
    for rows in splits.values():
        for row in rows:
            row["video"] = prefix + Path(row["video"]).relative_to(folder / "videos").as_posix()
    return splits


@pytest.mark.parametrize(("media", "prefix"), [("names", ""), ("files", "media/")])
def test_identical_rows_without_our_package(media: Any, prefix: str, tmp_path: Path) -> None:
    make_msrvtt(tmp_path)
    output = tmp_path / "hub"
    done = export(create(tmp_path, "retrieval"), output, media=media)
    assert (done.rows, done.config) == ({"train": 5, "test": 1}, "retrieval")
    # Another configuration, whose only split is not train, joins the folder.
    export(create(tmp_path, "multiple_choice"), output, media=media)
    found = read_elsewhere(output, tmp_path / "home", "retrieval")
    assert found["configs"] == ["retrieval", "multiple_choice"]
    assert found["retrieval"] == expected_rows(tmp_path, "retrieval", prefix)
    assert found["retrieval types"] == dict.fromkeys(("id", "video", "caption"), "Value('string')")
    copied = {path.relative_to(output).as_posix() for path in output.glob("media/**/*") if path.is_file()}
    named = {row["video"] for rows in found["retrieval"].values() for row in rows}
    assert copied == (named if media == "files" else set())
    if media == "files":
        source = (tmp_path / "videos" / "below" / "video1.gif").read_bytes()
        assert (output / "media" / "below" / "video1.gif").read_bytes() == source


def test_every_schema_keeps_its_types(tmp_path: Path) -> None:
    write_media(tmp_path, "a.mp4", "b.jpg")
    rows: dict[str, dict[str, Any]] = {
        "qa": {"id": "1", "video": "a.mp4", "question": "q", "answer": "a", "answer_type": "what"},
        "count": {"id": "1", "video": "a.mp4", "question": "q", "answer": 3, "answer_type": ""},
        "multiple_choice": {"id": "1", "video": "a.mp4", "question": "", "options": ["x", "y"], "answer": 1},
        "image_captions": {"id": "1", "image": "b.jpg", "caption": "c"},
        "image_qa": {
            "id": "1",
            "image": "b.jpg",
            "question": "q",
            "answers": [{"answer": "a", "score": 0.5}],
            "people_answers": ["A", "a.", "", "b"],
            "answer_type": "other",
        },
    }
    for config, row in rows.items():
        write_jsonl(tmp_path / "train.jsonl", [row])
        export(datasets_scripts.create_builder("custom", config, annotation_dir=tmp_path), tmp_path / "hub")
    found = read_elsewhere(tmp_path / "hub", tmp_path / "home", *rows)
    assert {config: found[config]["train"] for config in rows} == {config: [row] for config, row in rows.items()}
    assert found["count types"]["answer"] == found["multiple_choice types"]["answer"] == "Value('int64')"
    # What people answered comes back from the export, which the custom loader reads too.
    again = load_rows("custom", "image_qa", annotation_dir=tmp_path / "hub" / "image_qa", image_dir=tmp_path)
    assert again == {"train": [rows["image_qa"] | {"image": str(tmp_path / "b.jpg")}]}


def test_embedded_videos(tmp_path: Path) -> None:
    make_msrvtt(tmp_path)
    done = export(create(tmp_path, "retrieval"), tmp_path / "hub", media="embed")
    assert done.media == 3
    found = read_elsewhere(tmp_path / "hub", tmp_path / "home", "retrieval")
    for row, name in zip(found["retrieval"]["train"], ["video0.mp4", "below/video1.gif"] * 2, strict=False):
        assert row["video"]["path"] == name
        assert base64.b64decode(row["video"]["bytes"]) == (tmp_path / "videos" / name).read_bytes()
    assert found["retrieval types"]["video"].startswith("Video(decode=False")


def test_an_export_is_read_again_by_the_custom_loader(tmp_path: Path) -> None:
    make_msrvtt(tmp_path)
    output = export(create(tmp_path, "retrieval"), tmp_path / "hub", media="files").folder
    rows = load_rows("custom", "retrieval", annotation_dir=output / "retrieval", video_dir=output)
    expected = expected_rows(tmp_path, "retrieval", f"{output}/media/")
    assert rows == expected


def test_shards_and_a_second_export_that_is_not_stale(tmp_path: Path) -> None:
    write_media(tmp_path, "a.mp4")
    write_jsonl(tmp_path / "train.jsonl", [{"id": str(n), "video": "a", "caption": f"old {n}"} for n in range(2500)])
    output = tmp_path / "hub"
    first = export(datasets_scripts.create_builder("custom", annotation_dir=tmp_path), output, shard_size=1)
    assert len(list((output / "retrieval").glob("train-*-of-00003.parquet"))) == 3
    found = read_elsewhere(output, tmp_path / "home", "retrieval")
    assert [row["caption"] for row in found["retrieval"]["train"]] == [f"old {n}" for n in range(2500)]
    write_jsonl(tmp_path / "train.jsonl", [{"id": "1", "video": "a", "caption": "new"}])
    second = export(datasets_scripts.create_builder("custom", annotation_dir=tmp_path), output)
    assert second.version != first.version
    again = read_elsewhere(output, tmp_path / "home", "retrieval")  # with the cache of before
    assert again["retrieval"]["train"] == [{"id": "1", "video": "a.mp4", "caption": "new"}]


def test_the_card_says_what_was_left_out_and_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    make_msrvtt(tmp_path)
    (tmp_path / "videos" / "video0.mp4").unlink()
    output = export(create(tmp_path, "retrieval", missing="drop"), tmp_path / "hub").folder
    card = (output / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert [config["config_name"] for config in head["configs"]] == ["retrieval"]
    assert [part["split"] for part in head["configs"][0]["data_files"]] == ["train", "test"]
    assert "train: 3 rows of 1 missing or unreadable files are left out" in card
    for path in output.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    make_msrvtt(tmp_path)
    builder = create(tmp_path, "retrieval")
    with pytest.raises(DatasetError, match="exists and was not exported; choose another folder"):
        export(builder, tmp_path / "videos")
    export(builder, tmp_path / "hub")
    write_jsonl(tmp_path / "own" / "train.jsonl", [{"video": "video0", "caption": "c"}])
    own = datasets_scripts.create_builder("custom", annotation_dir=tmp_path / "own", video_dir=tmp_path / "videos")
    with pytest.raises(DatasetError, match="holds the data set msrvtt; choose another folder for custom"):
        export(own, tmp_path / "hub")
    with pytest.raises(DatasetError, match="media must be one of names, files, embed, shards, not 'copy'"):
        export(builder, tmp_path / "hub", media="copy")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"has no export\.json: export the data set there first"):
        push_to_hub(tmp_path / "videos", "team/name")
    (tmp_path / "hub" / "export.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"export\.json, line 1: is not the manifest"):
        export(builder, tmp_path / "hub")
