"""What the page about one's own videos says, done to the letter: its tables, its commands, a tiny model."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked_runs import SCRIPTS
from script_runs import EXAMPLES, ROOT, TINY
from video_files import write_video

from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.recipe_files import find_recipe

PAGE = (ROOT / "docs" / "how_to" / "fine_tune.md").read_text("utf-8")
SECTION = PAGE.split("## Your tables\n")[1].split("\n## ")[0]
# For each table of the section its folder, its text, and the command that follows it.
FOLDERS = re.findall(r"`(data/mine[\w/]*)/train\.csv`", SECTION)
TABLES = [list(csv.reader(text.splitlines())) for text in re.findall(r"```csv\n(.*?)```", SECTION, re.DOTALL)]
COMMANDS = [shlex.split(text.replace("\\\n", " ")) for text in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)]
NAMES = ["questions", "captions", "choices", "columns"]
VIDEOS = 12
# What a machine without network, GPU and patience changes.
SMALL = [*TINY, "--vision", "null", "--text", "null", "--processor", "{size: {longest_edge: 64}, num_frames: 1}"]
SMALL += ["--model.num_hidden_layers", "1", "--model.num_attention_heads", "2"]
SMALL += ["--num_workers", "0", "--tracker", "none", "--epochs", "2", "--batch_size", "4", "--inference_clips", "1,2"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve mp4 files of a second."""
    folder = tmp_path_factory.mktemp("mine") / "videos"
    folder.mkdir()
    for number in range(VIDEOS):
        frames = np.random.default_rng(number).integers(0, 256, (8, 48, 64, 3), dtype=np.uint8)
        write_video(folder / f"clip_{number:02}.mp4", frames, fps=8)
    return folder


@pytest.fixture
def home(videos: Path, tmp_path: Path, prepared_rows_in_a_folder: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the videos and the tables, whose rows take turns: for six videos, three and three."""
    (tmp_path / "data" / "mine").mkdir(parents=True)
    (tmp_path / "data" / "mine" / "videos").symlink_to(videos)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    for folder, (head, *rows) in zip(FOLDERS, TABLES, strict=True):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        for split, numbers in {"train": range(6), "validation": range(6, 9), "test": range(9, 12)}.items():
            with (path / f"{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(head)
                for number in numbers:
                    writer.writerow([f"clip_{number:02}.mp4", *rows[number % len(rows)][1:]])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, *more: str) -> dict[str, Any]:
    """The section's command, within this process."""
    launcher, action, script, *options = COMMANDS[NAMES.index(name)]
    assert (launcher, action, Path(script).parent) == ("accelerate", "launch", Path("examples"))
    results: dict[str, Any] = SCRIPTS[Path(script).name].main([*options, *SMALL, *more])
    return results


def change(path: str, *, row: int, column: int, value: str) -> None:
    """Write something else into a table; row 1 is the first below the head."""
    with open(path, newline="") as file:
        cells = list(csv.reader(file))
    cells[row][column] = value
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(cells)


def test_the_section_is_all_read() -> None:
    assert FOLDERS == ["data/mine", "data/mine/captions", "data/mine/choices", "data/mine/columns"]
    assert len(TABLES) == len(COMMANDS) == len(NAMES)
    for command in COMMANDS:
        assert (EXAMPLES.parent / command[2]).is_file()
        assert find_recipe(command[3]).is_file()


MAIN = {"questions": "accuracy", "captions": "text_to_video", "choices": "accuracy", "columns": "accuracy"}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_works(name: str, home: Path) -> None:
    results = run(name)
    assert results["steps"] == 4  # two epochs of six samples in batches of four
    assert MAIN[name] in results["validation"]
    assert MAIN[name] in results["test"]
    output = COMMANDS[NAMES.index(name)][COMMANDS[NAMES.index(name)].index("--output_dir") + 1]
    assert (home / output / "model.safetensors").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_without_a_validation_split(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / FOLDERS[NAMES.index(name)] / "validation.csv").unlink()
    with pytest.raises(RecipeError, match=r"best_metric=.* the split 'validation', and .* has train, test; .*null"):
        run(name)
    results = run(name, "--best_metric", "null")
    assert (results["best_step"], results["validation"]) == (4, {})
    assert MAIN[name] in results["test"]
    assert "the latest weights are kept" in capsys.readouterr().err


def test_only_evaluated(home: Path) -> None:
    trained = run("questions", "--best_metric", "null")
    for split in ("train", "validation"):
        (home / "data" / "mine" / f"{split}.csv").unlink()
    again = run("questions", "--start_from", "runs/mine", "--epochs", "0", "--output_dir", "runs/again")
    assert again["test"] == trained["test"]


def test_both_forms_of_options_are_the_same(home: Path) -> None:
    assert run("choices")["test"] == run("columns")["test"]


# --- What is wrong is one error before anything is trained ---


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("name", "column", "value", "more", "message"),
    [
        ("choices", 1, " ", [], r"question clip_{n}_0 .* must be a text that is not blank; .*answer_by=retrieval"),
        ("choices", 2, '["x", "y"]', [], r"all questions of the split .* and 2 of question clip_{n}_0"),
        ("choices", 2, '["x"]', [], r"question clip_{n}_0 of the split .* at least two options"),
        ("questions", 1, " ", [], r"qa needs rows whose 'question' is a text .* row clip_{n}_0 of the split"),
        ("questions", 2, "An Onion", [], r"an onion' .* 'An Onion' .*question clip_{n}_0 .*--answer_case lower"),
        (
            "questions",
            2,
            "thrice",
            ["--answer_kind", "count"],
            r"question clip_{n}_0 .* must be a number; got 'thrice'",
        ),
    ],
)
def test_what_is_wrong_is_named(
    name: str, column: int, value: str, more: list[str], message: str, split: str, home: Path
) -> None:
    folder, number = FOLDERS[NAMES.index(name)], {"train": 1, "validation": 7, "test": 10}[split]
    if more:  # numbers, but for one
        for each, rows in {"train": 6, "validation": 3, "test": 3}.items():
            for row in range(rows):
                change(f"{folder}/{each}.csv", row=row + 1, column=column, value=str(row))
    if value == '["x"]':
        for each, rows in {"train": 6, "validation": 3, "test": 3}.items():
            for row in range(rows):
                change(f"{folder}/{each}.csv", row=row + 1, column=column, value='["a", "b"]')
                change(f"{folder}/{each}.csv", row=row + 1, column=3, value="0")
    if name == "choices":
        change(f"{folder}/{split}.csv", row=2, column=3, value="0")
    change(f"{folder}/{split}.csv", row=2, column=column, value=value)
    with pytest.raises(RecipeError) as caught:
        run(name, *more)
    assert re.search(message.replace("{n}", f"{number:02}"), str(caught.value)), caught.value
    assert repr(split) in str(caught.value)
    assert not (home / "runs").exists()


def test_a_retrieval_model_reads_no_question(home: Path) -> None:
    run("captions")
    for row in (1, 2, 3):
        change("data/mine/choices/test.csv", row=row, column=1, value="")
    for split in ("train", "validation"):
        (home / "data" / "mine" / "choices" / f"{split}.csv").unlink()
    options = ["--answer_by", "retrieval", "--epochs", "0", "--start_from", "runs/mine_retrieval"]
    assert 0 <= run("choices", *options)["test"]["accuracy"] <= 1
    with pytest.raises(RecipeError, match=r"question clip_09_0 of the split 'test' .*answer_by=retrieval"):
        run("choices", *options, "--answer_by", "choice")


def test_answers_in_lower_case(home: Path) -> None:
    change("data/mine/train.csv", row=1, column=2, value="An Onion")
    change("data/mine/test.csv", row=1, column=2, value="On The Beach")
    results = run("questions", "--answer_case", "lower")
    assert results["test"]["upper_bound"] == 1.0
    kept = run("questions", "--answer_case", "keep", "--output_dir", "runs/kept")
    assert kept["test"]["upper_bound"] == pytest.approx(2 / 3)
