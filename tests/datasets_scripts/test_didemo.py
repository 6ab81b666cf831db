"""DiDeMo on miniature files in the published form, odd extensions and trailing dots included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import List, Value
from miniature_files import load_rows, write_json, write_jsonl, write_media

import datasets_scripts
from datasets_scripts.errors import DatasetError

FIRST, SECOND, THIRD = (
    "10015567@N08_3655084291_d8b58466fa",
    "12090392@N02_13482799053_87ef417396",
    "54322086@N00_2408598493",
)


def entry(key: int, video: str, description: str, times: list[list[int]]) -> dict[str, Any]:
    return {
        "annotation_id": key,
        "description": description,
        "video": video,
        "times": times,
        "num_segments": 6,
        "dl_link": "https://www.flickr.com/video_download.gne",
    }


# The sentences of the first video do not stand together.
TRAIN = [
    entry(7, f"{FIRST}.mov", "the car turns ", [[0, 0], [0, 0], [1, 2], [0, 0]]),
    entry(8, f"{SECOND}.", "a bird flies", [[5, 5], [4, 5], [5, 5], [5, 5]]),
    entry(9, f"{FIRST}.mov", "a man waves", [[3, 3], [3, 3], [3, 3], [3, 3]]),
]
TEST = [entry(10, f"{THIRD}.3gp", "it starts to rain", [[2, 2], [2, 2], [2, 2], [2, 2]])]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # As the authors' script stores them (.mov.mp4), as a bare dot, and re-encoded.
    return write_media(tmp_path_factory.mktemp("videos"), f"{FIRST}.mov.mp4", f"{SECOND}.", f"{THIRD}.avi")


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    write_json(tmp_path / "official" / "train_data.json", TRAIN)
    write_json(tmp_path / "official" / "test_data.json", TEST)
    return tmp_path / "official"


def paragraphs(videos: Path) -> dict[str, list[dict[str, str]]]:
    return {
        "train": [
            {"id": FIRST, "video": str(videos / f"{FIRST}.mov.mp4"), "caption": "the car turns a man waves"},
            {"id": SECOND, "video": str(videos / f"{SECOND}."), "caption": "a bird flies"},
        ],
        "test": [{"id": THIRD, "video": str(videos / f"{THIRD}.avi"), "caption": "it starts to rain"}],
    }


def test_paragraphs_in_both_forms(annotations: Path, videos: Path, tmp_path: Path) -> None:
    assert load_rows("didemo", "retrieval", annotation_dir=annotations, video_dir=videos) == paragraphs(videos)
    home = tmp_path / "released" / "didemo_retrieval"
    write_jsonl(
        home / "train.jsonl",
        [
            {"caption": "the car turns a man waves", "clip_name": FIRST, "sen_id": 0},
            {"caption": "a bird flies", "clip_name": f"{SECOND}.", "sen_id": 1},
        ],
    )
    write_jsonl(home / "test.jsonl", [{"caption": "it starts to rain", "clip_name": f"{THIRD}.3gp", "sen_id": 0}])
    released = tmp_path / "released"
    assert load_rows("didemo", "retrieval", annotation_dir=released, video_dir=videos) == paragraphs(videos)
    with pytest.raises(DatasetError, match="sentences needs the official files"):
        load_rows("didemo", "sentences", annotation_dir=released, video_dir=videos)


def test_sentences_with_the_moment_of_each_annotator_in_seconds(annotations: Path, videos: Path) -> None:
    splits = datasets_scripts.load("didemo", "sentences", annotation_dir=annotations, video_dir=videos)
    assert splits["train"].features["times"] == List(List(Value("float64")))
    first, second = str(videos / f"{FIRST}.mov.mp4"), str(videos / f"{SECOND}.")
    assert list(splits["train"]) == [
        {"id": f"{FIRST}_0", "video": first, "caption": "the car turns", "times": [[0, 5], [0, 5], [5, 15], [0, 5]]},
        {"id": f"{FIRST}_1", "video": first, "caption": "a man waves", "times": [[15, 20]] * 4},
        {
            "id": f"{SECOND}_0",
            "video": second,
            "caption": "a bird flies",
            "times": [[25, 30], [20, 30], [25, 30], [25, 30]],
        },
    ]


def test_id_lists_select_the_videos_of_the_papers(
    annotations: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = tmp_path / "train_ids.txt"
    chosen.write_bytes(f"{SECOND}.mov\r\n\r\n".encode())
    options = {"annotation_dir": annotations, "video_dir": videos, "id_lists": {"train": str(chosen)}}
    rows = load_rows("didemo", "retrieval", **options)
    assert rows == paragraphs(videos) | {"train": paragraphs(videos)["train"][1:]}
    assert "train is narrowed to the 1 videos of its list" in capsys.readouterr().err
    chosen.write_text(f"{FIRST}\n")  # an edited list is read anew
    assert [row["id"] for row in load_rows("didemo", "retrieval", **options)["train"]] == [FIRST]
    assert [row["id"] for row in load_rows("didemo", "sentences", **options)["train"]] == [f"{FIRST}_0", f"{FIRST}_1"]
    chosen.write_text(f"{FIRST}\nunknown\n")
    with pytest.raises(DatasetError, match="has no video 'unknown', one of 1 on the id list"):
        load_rows("didemo", "retrieval", **options)
    chosen.write_text(f"{FIRST}\n{SECOND}\n{FIRST}\n")
    with pytest.raises(DatasetError, match=r"line 3: '10015567.*' stands on line 1 too"):
        load_rows("didemo", "retrieval", **options)
    with pytest.raises(DatasetError, match="id_lists has 'val', but the splits are test, train"):
        load_rows("didemo", "retrieval", **options | {"id_lists": {"val": str(chosen)}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotation_id": 7}, r"\[1\]: the id '7' is that of another"),
        ({"times": [[5]]}, r"\[1\]: 'times\[0\]' must be two finite numbers, not \[5\]"),
        ({"times": [["a", 1]]}, r"'times\[0\]' must be two finite numbers"),
        ({"times": [[-1, 2]]}, r"\[1\]: 'times' must be numbers of pieces from 0"),
        ({"times": 3}, r"'times' must be a list, not 3"),
        ({"video": "../../secret.mov"}, "points outside of the folder"),
        ({"video": None}, "'video' must be a text, not None"),
    ],
)
def test_malformed_annotations(videos: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_json(tmp_path / "train_data.json", [TRAIN[0], TRAIN[1] | change, TRAIN[2]])
    with pytest.raises(DatasetError, match=message) as caught:
        load_rows("didemo", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert str(tmp_path / "train_data.json") in str(caught.value)
