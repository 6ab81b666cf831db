"""ActivityNet Captions on miniature files in the published form."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniature_files import load_rows, write_json, write_jsonl, write_media

from datasets_scripts.errors import DatasetError

# Sentences after the first begin with a space, as published.
TRAIN = {
    "v_QOlSCBRmfWY": {
        "duration": 82.73,
        "timestamps": [[0.83, 19.86], [17.37, 60.81]],
        "sentences": ["A young woman is seen standing in a room.", " The girl dances around the room."],
    },
    "v_ehGHCYKzyZ8": {"duration": 61, "timestamps": [[0, 10]], "sentences": ["Men laugh."]},
}
VAL = {"v_uqiMw7tQ1Cc": {"duration": 55.15, "timestamps": [[0, 55.15]], "sentences": ["A weight lifter."]}}
NAMES = {
    "v_QOlSCBRmfWY": "v_QOlSCBRmfWY.mp4",
    "v_ehGHCYKzyZ8": "v_ehGHCYKzyZ8.mkv",
    "v_uqiMw7tQ1Cc": "v_uqiMw7tQ1Cc.webm",
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("videos"), *NAMES.values())


def test_paragraphs_in_both_forms(videos: Path, tmp_path: Path) -> None:
    official, released = tmp_path / "official", tmp_path / "released"
    for name, content in (("train", TRAIN), ("val_1", VAL), ("val_2", VAL)):
        write_json(official / f"{name}.json", content)
    first, second, third = ((key, str(videos / name)) for key, name in NAMES.items())
    caption = "A young woman is seen standing in a room. The girl dances around the room."
    expected = {
        "train": [
            {"id": first[0], "video": first[1], "caption": caption},
            {"id": second[0], "video": second[1], "caption": "Men laugh."},
        ],
        "val1": [{"id": third[0], "video": third[1], "caption": "A weight lifter."}],
        "val2": [{"id": third[0], "video": third[1], "caption": "A weight lifter."}],
    }
    assert load_rows("activitynet_captions", "retrieval", annotation_dir=official, video_dir=videos) == expected
    lines = {
        "train": [
            {"caption": caption, "clip_name": first[0], "sen_id": 0},
            {"caption": "Men laugh.", "clip_name": second[0], "sen_id": 1},
        ],
        "dev": [{"caption": "A weight lifter.", "clip_name": third[0], "sen_id": 0}],
        "val_2": [{"caption": "A weight lifter.", "clip_name": third[0], "sen_id": 0}],
    }
    for name, rows in lines.items():
        write_jsonl(released / "anet_retrieval" / f"{name}.jsonl", rows)
    assert load_rows("activitynet_captions", "retrieval", annotation_dir=released, video_dir=videos) == expected
    with pytest.raises(DatasetError, match="sentences needs the official files"):
        load_rows("activitynet_captions", "sentences", annotation_dir=released, video_dir=videos)


def test_sentences_with_times(videos: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "train.json", TRAIN)
    rows = load_rows("activitynet_captions", "sentences", annotation_dir=tmp_path, video_dir=videos)
    first, second = str(videos / "v_QOlSCBRmfWY.mp4"), str(videos / "v_ehGHCYKzyZ8.mkv")
    assert rows == {
        "train": [
            {
                "id": "v_QOlSCBRmfWY_0",
                "video": first,
                "caption": "A young woman is seen standing in a room.",
                "times": [[0.83, 19.86]],
            },
            {
                "id": "v_QOlSCBRmfWY_1",
                "video": first,
                "caption": "The girl dances around the room.",
                "times": [[17.37, 60.81]],
            },
            {"id": "v_ehGHCYKzyZ8_0", "video": second, "caption": "Men laugh.", "times": [[0.0, 10.0]]},
        ]
    }


def test_blank_sentences_are_left_out_and_counted(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = {"duration": 5, "timestamps": [[0, 1], [1, 2]], "sentences": [" ", "Fun."]}
    write_json(tmp_path / "train.json", TRAIN | {"v_uqiMw7tQ1Cc": blank})
    options = {"annotation_dir": tmp_path, "video_dir": videos}
    assert load_rows("activitynet_captions", "retrieval", **options)["train"][2]["caption"] == "Fun."
    assert "left out" not in capsys.readouterr().err
    rows = load_rows("activitynet_captions", "sentences", **options)["train"]
    assert [row["id"] for row in rows[3:]] == ["v_uqiMw7tQ1Cc_1"]
    assert "left out, because the text is blank: train 1 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"v_a": {"timestamps": [[0, 1]], "sentences": []}}', "key 'v_a': 0 sentences, but 1 timestamps"),
        ('{"v_a": {"sentences": ["b"]}}', "key 'v_a': 'timestamps' is missing"),
        ('{"v_a": {"timestamps": [[0, NaN]], "sentences": ["b"]}}', "NaN is not a JSON number"),
        ('{"v_a": {"timestamps": [[0, 1e999]], "sentences": ["b"]}}', "must be two finite numbers"),
        ('{"v_a": {"timestamps": [[0, 1]], "sentences": [3]}}', r"'sentences\[0\]' must be a text, not 3"),
        ('{"v_a": {}, "v_a": {}}', "key 'v_a' stands there twice"),
        ('{"v_a": 3}', "key 'v_a': must be an object, not 3"),
        ("[]", r"line 1: must hold an object, not \[\]"),
        ("{}", "line 1: the object is empty"),
        ('{"v_a": {"timestamps": [[0, 1]],\n "sentences": ["b"', "line 2, column 19: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_malformed_annotations(videos: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        load_rows("activitynet_captions", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert str(tmp_path / "train.json") in str(caught.value)


@pytest.mark.parametrize("annotated", ["v_QOlSCBRmfWY", "QOlSCBRmfWY"])
@pytest.mark.parametrize("lies", ["v_QOlSCBRmfWY.mp4", "QOlSCBRmfWY.mkv"])
@pytest.mark.parametrize("config", ["retrieval", "sentences", "jsonl"])
def test_ids_with_and_without_the_letter_before_them(config: str, lies: str, annotated: str, tmp_path: Path) -> None:
    videos = write_media(tmp_path / "videos", lies)
    if config == "jsonl":
        write_jsonl(tmp_path / "train.jsonl", [{"caption": "Fun.", "clip_name": annotated, "sen_id": 0}])
    else:
        write_json(tmp_path / "train.json", {annotated: {"timestamps": [[0, 1]], "sentences": ["Fun."]}})
    name = "sentences" if config == "sentences" else "retrieval"
    rows = load_rows("activitynet_captions", name, annotation_dir=tmp_path, video_dir=videos)["train"]
    assert [row["video"] for row in rows] == [str(videos / lies)]
    # Where both lie there it is the one that is annotated.
    write_media(videos, "v_QOlSCBRmfWY.mp4", "QOlSCBRmfWY.mp4")
    rows = load_rows("activitynet_captions", name, annotation_dir=tmp_path, video_dir=videos)["train"]
    assert [Path(row["video"]).stem for row in rows] == [annotated]
