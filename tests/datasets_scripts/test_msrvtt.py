"""MSR-VTT on miniature files in the published forms: every field, every scheme, both forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import List, Value
from miniature_files import load_rows, write_json, write_jsonl, write_media, write_table

import datasets_scripts
from datasets_scripts.errors import DatasetError

# Real videos have these numbers: 0-6512 train, 6513-7009 validate, 7010-9999 test.
TRAIN_VAL = [("video0", "train"), ("video6512", "train"), ("video6513", "validate")]
TEST = [("video7010", "test"), ("video7011", "test"), ("video7020", "test")]
FILES = ("video0.mp4", "video6512.avi", "video6513.webm", "video7010.mkv", "sub/video7011.mov", "video7020.gif")
CAPTIONS = {
    "video0": ["a man is driving a car", "a caf\u00e9 scene"],
    "video6512": ["two dogs play"],
    "video6513": ["a woman sings"],
    "video7010": ["a person cooks", "someone stirs a pot"],
    "video7011": ["a cartoon"],
    "video7020": ["a cartoon"],
}
# Two captions of the 1k-A test are the same; the second row has a quoted comma.
TEST_TABLE = [
    ("key", "vid_key", "video_id", "sentence"),
    ("ret0", "msr7010", "video7010", "a cartoon"),
    ("ret1", "msr7020", "video7020", '"a cartoon, drawn"'),
    ("ret2", "msr7011", "video7011", "a cartoon"),
]


def official(pairs: list[tuple[str, str]], first: int) -> dict[str, Any]:
    """An official file whose captions are numbered from a given number."""
    videos = [
        {
            "id": number,
            "video_id": video,
            "category": 9,
            "url": "https://u",
            "start time": 1.5,
            "end time": 9.5,
            "split": split,
        }
        for number, (video, split) in enumerate(pairs)
    ]
    captions = [(video, caption) for video, _ in pairs for caption in CAPTIONS[video]]
    sentences = [
        {"sen_id": number, "video_id": video, "caption": caption}
        for number, (video, caption) in enumerate(captions, first)
    ]
    return {"info": {"year": "2016"}, "videos": videos, "sentences": sentences}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("videos"), *FILES)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    write_json(folder / "train_val_videodatainfo.json", official(TRAIN_VAL, 0))
    write_json(folder / "test_videodatainfo.json", official(TEST, 4))
    write_table(folder / "MSRVTT_JSFusion_test.csv", TEST_TABLE, delimiter=",", end="\n")
    return folder


def row(videos: Path, name: str, key: str, caption: str) -> dict[str, str]:
    stem = Path(name).stem
    return {"id": f"{stem}_{key}", "video": str(videos / name), "caption": caption}


def train_rows(videos: Path) -> list[dict[str, str]]:
    return [
        row(videos, "video0.mp4", "0", "a man is driving a car"),
        row(videos, "video0.mp4", "1", "a caf\u00e9 scene"),
        row(videos, "video6512.avi", "2", "two dogs play"),
    ]


def rows_of_1k(videos: Path) -> list[dict[str, str]]:
    return [
        row(videos, "video7010.mkv", "ret0", "a cartoon"),
        row(videos, "video7020.gif", "ret1", "a cartoon, drawn"),
        row(videos, "sub/video7011.mov", "ret2", "a cartoon"),
    ]


def test_the_papers_scheme(annotations: Path, videos: Path) -> None:
    splits = datasets_scripts.load("msrvtt", "retrieval", annotation_dir=annotations, video_dir=videos)
    assert splits["train"].features == {"id": Value("string"), "video": Value("string"), "caption": Value("string")}
    assert {split: list(rows) for split, rows in splits.items()} == {
        "train": [*train_rows(videos), row(videos, "video6513.webm", "3", "a woman sings")],
        "test": rows_of_1k(videos),
    }


def test_scheme_9k_trains_on_all_videos_outside_the_1k_test(videos: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "train_val_videodatainfo.json", official(TRAIN_VAL, 0))
    write_json(tmp_path / "test_videodatainfo.json", official(TEST, 4))
    write_table(tmp_path / "MSRVTT_JSFusion_test.csv", TEST_TABLE[:2], delimiter=",")
    rows = load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos, scheme="9k")
    assert rows["test"] == rows_of_1k(videos)[:1]
    assert rows["train"] == [
        *train_rows(videos),
        row(videos, "video6513.webm", "3", "a woman sings"),
        row(videos, "sub/video7011.mov", "6", "a cartoon"),
        row(videos, "video7020.gif", "7", "a cartoon"),
    ]


def test_official_scheme(annotations: Path, videos: Path) -> None:
    rows = load_rows("msrvtt", "retrieval", annotation_dir=annotations, video_dir=videos, scheme="official")
    assert rows == {
        "train": train_rows(videos),
        "validation": [row(videos, "video6513.webm", "3", "a woman sings")],
        "test": [
            row(videos, "video7010.mkv", "4", "a person cooks"),
            row(videos, "video7010.mkv", "5", "someone stirs a pot"),
            row(videos, "sub/video7011.mov", "6", "a cartoon"),
            row(videos, "video7020.gif", "7", "a cartoon"),
        ],
    }


@pytest.mark.parametrize("scheme", ["7k", "9k", "official"])
def test_merged_and_plain_files_give_the_same_rows(
    annotations: Path, videos: Path, tmp_path: Path, scheme: str
) -> None:
    expected = load_rows("msrvtt", "retrieval", annotation_dir=annotations, video_dir=videos, scheme=scheme)
    merged = official([*TRAIN_VAL, *TEST], 0)
    plain = [{"image_id": s["video_id"], "caption": s["caption"], "id": s["sen_id"]} for s in merged["sentences"]]
    for name, content in (("MSRVTT_data.json", merged), ("MSR_VTT.json", {"info": {}, "annotations": plain})):
        folder = tmp_path / name.removesuffix(".json")
        write_json(folder / name, content)
        write_table(folder / "msrvtt_jsfusion_test.csv", TEST_TABLE, delimiter=",", end="\n")
        assert load_rows("msrvtt", "retrieval", annotation_dir=folder, video_dir=videos, scheme=scheme) == expected


def test_the_jsonl_form_gives_identical_rows(
    annotations: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = load_rows("msrvtt", "retrieval", annotation_dir=annotations, video_dir=videos)
    assert "msrvtt retrieval from the official files " in capsys.readouterr().err
    home = tmp_path / "msrvtt_retrieval"
    sentences = official(TRAIN_VAL, 0)["sentences"]
    write_jsonl(
        home / "train.jsonl",
        [{"caption": s["caption"], "clip_name": s["video_id"], "sen_id": s["sen_id"]} for s in sentences],
    )
    write_jsonl(
        home / "test.jsonl",
        [{"caption": r[3].strip('"'), "clip_name": r[2], "sen_id": r[0]} for r in TEST_TABLE[1:]],
    )
    assert load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos) == expected
    assert "msrvtt retrieval from the jsonl files of the paper " in capsys.readouterr().err
    with pytest.raises(DatasetError, match="scheme 9k needs the official files"):
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos, scheme="9k")


def test_both_forms_in_one_folder(
    annotations: Path, videos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in annotations.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_jsonl(tmp_path / "train.jsonl", [{"caption": "only here", "clip_name": "video0", "sen_id": 0}])
    options = {"annotation_dir": tmp_path, "video_dir": videos}
    assert len(load_rows("msrvtt", "retrieval", **options)["train"]) == 4
    assert "there are jsonl files too, which form='jsonl' reads" in capsys.readouterr().err
    rows = load_rows("msrvtt", "retrieval", form="jsonl", **options)
    assert rows == {"train": [row(videos, "video0.mp4", "0", "only here")]}


def test_the_files_of_the_hub(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = [
        {"video_id": v, "video": f"{v}.mp4", "caption": CAPTIONS[v], "id": n} for n, (v, _) in enumerate(TRAIN_VAL)
    ]
    train[1]["caption"] = CAPTIONS["video6512"][0]  # one caption may stand alone
    test = [{"video_id": "video7020", "video": "video7020.mp4", "caption": "a cartoon, drawn", "category": 3}]
    write_json(tmp_path / "msrvtt_train_9k.json", train)
    write_json(tmp_path / "msrvtt_test_1k.json", test)
    options = {"annotation_dir": tmp_path, "video_dir": videos}
    assert load_rows("msrvtt", "retrieval", scheme="9k", **options) == {
        "train": [
            row(videos, "video0.mp4", "0", "a man is driving a car"),
            row(videos, "video0.mp4", "1", "a caf\u00e9 scene"),
            row(videos, "video6512.avi", "0", "two dogs play"),
            row(videos, "video6513.webm", "0", "a woman sings"),
        ],
        "test": [row(videos, "video7020.gif", "0", "a cartoon, drawn")],
    }
    capsys.readouterr()
    assert list(load_rows("msrvtt", "retrieval", **options)) == ["test"]
    assert "there is msrvtt_train_9k.json too, which scheme='9k' reads" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="scheme official needs the official files: those of the Hub hold"):
        load_rows("msrvtt", "retrieval", scheme="official", **options)
    write_json(tmp_path / "msrvtt_test_1k.json", [{"video_id": "video7020", "caption": []}])
    with pytest.raises(DatasetError, match=r"msrvtt_test_1k\.json, \[0\]: 'caption' is empty"):
        load_rows("msrvtt", "retrieval", **options)


def test_a_list_of_the_hub_by_another_name_beside_the_test_table(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "train.json", [{"video_id": "video0", "caption": "a car"}])
    write_table(tmp_path / "MSRVTT_JSFusion_test.csv", TEST_TABLE, delimiter=",", end="\n")
    rows = load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert rows == {"train": [row(videos, "video0.mp4", "0", "a car")], "test": rows_of_1k(videos)}
    assert "train.json is taken for the training split of scheme 7k as it is" in capsys.readouterr().err
    write_json(tmp_path / "train_val_videodatainfo.json", official(TRAIN_VAL, 0))
    rows = load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert rows["train"][0]["caption"] == "a man is driving a car"
    assert "there is train.json too, which is not read" in capsys.readouterr().err


def test_the_test_table_as_a_spreadsheet_program_saved_it(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "train_val_videodatainfo.json", official(TRAIN_VAL, 0))
    path = write_table(tmp_path / "MSRVTT_JSFusion_test.csv", TEST_TABLE, delimiter=";")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    rows = load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert rows["test"] == rows_of_1k(videos)
    assert "read as separated by semicolons: MSRVTT_JSFusion_test.csv" in capsys.readouterr().err


# --- Questions ---

QUESTIONS = {
    "train": [
        (0, 0, "what is a man doing?", "drive"),
        (1, 0, "Who drives?", "man"),
        (2, 6512, "how many dogs play?", "two"),
    ],
    "val": [(3, 6513, "who sings?", "woman")],
    "test": [(4, 7010, "what is stirred?", "pot"), (5, 7011, "when does it end?", "night")],
}
TYPES = ["what", "who", "how", "who", "what", "when"]


def test_open_ended_questions_in_both_forms(videos: Path, tmp_path: Path) -> None:
    for split, questions in QUESTIONS.items():
        keys = ("id", "video_id", "question", "answer")
        content = [dict(zip(keys, question, strict=True)) | {"category_id": 3} for question in questions]
        write_json(tmp_path / "official" / f"{split}_qa.json", content)
        write_jsonl(
            tmp_path / "released" / "msrvtt_qa" / f"{split}.jsonl",
            [
                {"video_id": f"video{v}", "question": q, "answer": a, "answer_type": TYPES[n]}
                for n, v, q, a in questions
            ],
        )
    rows = load_rows("msrvtt", "qa", annotation_dir=tmp_path / "official", video_dir=videos)
    assert rows["train"] == [
        {
            "id": "video0_0",
            "video": str(videos / "video0.mp4"),
            "question": "what is a man doing?",
            "answer": "drive",
            "answer_type": "what",
        },
        {
            "id": "video0_1",
            "video": str(videos / "video0.mp4"),
            "question": "Who drives?",
            "answer": "man",
            "answer_type": "who",
        },
        {
            "id": "video6512_0",
            "video": str(videos / "video6512.avi"),
            "question": "how many dogs play?",
            "answer": "two",
            "answer_type": "how",
        },
    ]
    assert [r["answer_type"] for split in ("train", "validation", "test") for r in rows[split]] == TYPES
    assert rows["test"][1]["video"] == str(videos / "sub" / "video7011.mov")
    assert load_rows("msrvtt", "qa", annotation_dir=tmp_path / "released", video_dir=videos) == rows


def test_questions_whose_videos_are_named(videos: Path, tmp_path: Path) -> None:
    for number, video in enumerate([0, "0", "video0"]):
        content = [{"id": 1, "video_id": video, "question": "who ?", "answer": "man", "category_id": 1}]
        write_json(tmp_path / str(number) / "train_qa.json", content)
        rows = load_rows("msrvtt", "qa", annotation_dir=tmp_path / str(number), video_dir=videos)["train"]
        assert [(r["id"], r["video"]) for r in rows] == [("video0_0", str(videos / "video0.mp4"))]
    write_json(tmp_path / "0" / "train_qa.json", [{"id": 1, "video_id": "clip0", "question": "who ?", "answer": "a"}])
    with pytest.raises(DatasetError, match=r"\[0\]: 'video_id' must be an integer, not 'clip0'"):
        load_rows("msrvtt", "qa", annotation_dir=tmp_path / "0", video_dir=videos)


# --- Multiple choice ---

CHOICES = [
    ("vid_key", "a1", "a2", "a3", "a4", "a5", "answer"),
    ("msr7010", "a person cooks", "a dog runs", "a car", "a boat", "a cat", 0),
    ("msr7011", "a person cooks", "a dog runs", "a car", "a boat", "a cartoon", 4),
]


def test_multiple_choice_in_both_forms(videos: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "official" / "any_name.csv", CHOICES)
    write_table(tmp_path / "official" / "MSRVTT_JSFusion_test.csv", TEST_TABLE, delimiter=",")
    write_jsonl(
        tmp_path / "released" / "msrvtt_retrieval_mc_test.jsonl",
        [
            {"qid": n, "clip_name": c[0].replace("msr", "video"), "options": list(c[1:6]), "answer": c[6]}
            for n, c in enumerate(CHOICES[1:])
        ],
    )
    splits = datasets_scripts.load("msrvtt", "multiple_choice", annotation_dir=tmp_path / "official", video_dir=videos)
    assert splits["test"].features["options"] == List(Value("string"))
    assert splits["test"].features["answer"] == Value("int64")
    assert {split: list(rows) for split, rows in splits.items()} == {
        "test": [
            {
                "id": "video7010_0",
                "video": str(videos / "video7010.mkv"),
                "question": "",
                "options": ["a person cooks", "a dog runs", "a car", "a boat", "a cat"],
                "answer": 0,
            },
            {
                "id": "video7011_0",
                "video": str(videos / "sub" / "video7011.mov"),
                "question": "",
                "options": ["a person cooks", "a dog runs", "a car", "a boat", "a cartoon"],
                "answer": 4,
            },
        ]
    }
    released = load_rows("msrvtt", "multiple_choice", annotation_dir=tmp_path / "released", video_dir=videos)
    assert released["test"] == list(splits["test"])


# --- What is refused ---


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "train_val_videodatainfo.json",
            lambda c: c["sentences"].append(dict(c["sentences"][0])),
            r"sentences\[4\]: the id 'video0_0' is that",
        ),
        (
            "train_val_videodatainfo.json",
            lambda c: c["videos"].pop(),
            r"sentences\[3\]: video 'video6513' is not among",
        ),
        (
            "train_val_videodatainfo.json",
            lambda c: c["videos"][1].update(split="dev"),
            r"videos\[1\]: 'split' must be one of",
        ),
        (
            "train_val_videodatainfo.json",
            lambda c: c["sentences"][1].pop("caption"),
            r"sentences\[1\]: 'caption' is missing",
        ),
        (
            "train_val_videodatainfo.json",
            lambda c: c["sentences"][1].update(caption=7),
            r"sentences\[1\]: 'caption' must be a text, not 7",
        ),
        (
            "train_val_videodatainfo.json",
            lambda c: c["sentences"][2].update(caption=" "),
            r"sentences\[2\]: 'caption' is empty",
        ),
        ("train_val_videodatainfo.json", lambda c: c.pop("sentences"), "there is no key 'sentences'"),
        ("train_val_videodatainfo.json", lambda c: c.update(sentences=[]), "the list under 'sentences' is empty"),
        (
            "train_val_videodatainfo.json",
            lambda c: c["sentences"][0].update(video_id="../video0"),
            "is not among the videos",
        ),
    ],
)
def test_malformed_captions(
    annotations: Path, videos: Path, tmp_path: Path, name: str, change: Any, message: str
) -> None:
    content = official(TRAIN_VAL, 0)
    change(content)
    write_json(tmp_path / name, content)
    (tmp_path / "MSRVTT_JSFusion_test.csv").write_bytes((annotations / "MSRVTT_JSFusion_test.csv").read_bytes())
    with pytest.raises(DatasetError, match=message) as caught:
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([("msr7010", *"abcde", 5)], r"line 2: 'answer' must be from 0 to 4, not 5"),
        (
            [("msr7010", *"abcde", 0), ("msr7010", *"abcd", 0)],
            "line 3: 7 fields|line 3: 6 fields, but the header has 7",
        ),
        ([("7010", *"abcde", 0)], "line 2: 'vid_key' must be such as msr7010, not '7010'"),
        ([("msr7010", *"abcde", "b")], "line 2: 'answer' must be an integer, not 'b'"),
    ],
)
def test_malformed_choices(videos: Path, tmp_path: Path, choices: list[Any], message: str) -> None:
    write_table(tmp_path / "mc.csv", [CHOICES[0], *choices])
    with pytest.raises(DatasetError, match=message):
        load_rows("msrvtt", "multiple_choice", annotation_dir=tmp_path, video_dir=videos)


def test_what_is_not_there(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"msrvtt retrieval needs train_val_videodatainfo\.json or .* no annotation file"
    ):
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    with pytest.raises(DatasetError, match=r"msrvtt qa needs train_qa\.json or msrvtt_qa/train\.jsonl"):
        load_rows("msrvtt", "qa", annotation_dir=tmp_path, video_dir=videos)
    with pytest.raises(DatasetError, match=r"needs one tab-separated table .* there is none"):
        load_rows("msrvtt", "multiple_choice", annotation_dir=tmp_path, video_dir=videos)
    write_json(tmp_path / "train_val_videodatainfo.json", official(TRAIN_VAL, 0))
    with pytest.raises(DatasetError, match=r"scheme 7k needs MSRVTT_JSFusion_test\.csv"):
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos)
    with pytest.raises(DatasetError, match=r"scheme official needs test_videodatainfo\.json"):
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos, scheme="official")
    with pytest.raises(DatasetError, match="scheme must be one of 7k, 9k, official, not '8k'"):
        load_rows("msrvtt", "retrieval", annotation_dir=tmp_path, video_dir=videos, scheme="8k")
