"""Reports hold what runs left, ask for nothing from elsewhere, and take no text of users for HTML."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from reference_inputs import tiny_config

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor, InvalidInputError
from clipbert_hf.explanation.report import read_run, write_report
from clipbert_hf.explanation.report.examples import choose_examples

EVIL = "<script>alert('&amp;')</script>\"'{{ 7 * 7 }}<img src=//x.example/y>"
ANSWERS = ["red", "blue", EVIL]


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.cells: list[list[str]] = []
        self._in_cell = False
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._in_cell:
            self.cells[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next(cells[1:] for cells in self.cells if cells and cells[0] == name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run about two videos, of which one is there, with texts that try to get out of theirs."""
    folder = tmp_path / "qa <script> & '\""
    folder.mkdir()
    frames = tmp_path / "frames"
    frames.mkdir()
    for place in range(8):
        Image.fromarray(np.full((40, 64, 3), 30 * place, np.uint8)).save(frames / f"{place}.png")
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({"seed": 42, "best_metric": "accuracy", "model": {"hidden_size": 32}, "dataset": EVIL})
    )
    test = {"accuracy": 0.75, "accuracy_by_inference_clips": {"1": 0.5, "4": 0.75}, "accuracy_by_type": {EVIL: 0.25}}
    results = {
        "steps": 1200,
        "seconds": 75.0,
        "stall_share": 0.125,
        "test": test,
        "calibration": {"temperature": 0.5, "questions": 600},
        "environment": {"parameters": 1234567, "device": "cpu", "versions": {"torch": "2.9"}},
    }
    (folder / "results.json").write_text(json.dumps(results))
    log = [{"step": step, "loss": 3 / step, "samples_per_second": 12.5} for step in (10, 20, 30)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    common = {"video": str(frames), "question": f"what ? {EVIL}", "answer": "red"}
    predictions = [
        {**common, "id": "0", "predicted": "red", "correct": 1.0, "score": 0.9, "uncalibrated_score": 0.6},
        {**common, "id": "1", "predicted": EVIL, "correct": 0.0, "score": 0.8, "uncalibrated_score": 0.6},
        {**common, "id": "2", "predicted": "blue", "correct": 0.0, "score": 0.7, "uncalibrated_score": 0.5},
        {**common, "id": "3", "video": "gone.mp4", "predicted": "red", "correct": 1.0, "score": 1.0,
         "uncalibrated_score": 0.7},
    ]  # fmt: skip
    (folder / "predictions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in predictions))
    return folder


def save_model(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "?"]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    ClipBertForVideoQuestionAnswering(tiny_config(vocab_size=60, **labels)).save_pretrained(folder)
    ClipBertProcessor.from_pretrained_parts(
        text=folder / "vocab.txt", size={"longest_edge": 64}, num_clips=20, num_frames=1, max_text_length=12
    ).save_pretrained(folder)


def test_what_a_page_holds(run: Path, tmp_path: Path) -> None:
    write_report([run], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.row("accuracy") == ["75.0 %"]
    assert page.row("1") == ["50.0 %"]
    assert page.row("temperature") == ["0.500"]
    # |1 - 0.9| + |0 - 0.8| + |0 - 0.7| + |1 - 1| over 4; without temperature two are in one bin: 2 * |0.5 - 0.6|.
    assert page.row("test error, calibrated") == ["0.4000"]
    assert page.row("test error, uncalibrated") == [f"{(2 * 0.1 + 0.5 + 0.3) / 4:.4f}"]
    assert page.row("training") == ["1 min 15 s"]
    assert page.row("steps") == ["1,200"]
    assert page.row("waiting for data") == ["12.5 %"]
    assert page.row("parameters") == ["1,234,567"]
    assert page.row("torch") == ["2.9"]
    assert page.row("model.hidden_size") == ["32"]
    assert page.tags["svg"] == 4  # clips, loss, reliability, coverage
    # Wrong: one of each video; right: one of each. Three frames of the video that is there.
    assert page.tags["img"] == 2 * 3
    assert "no pictures: " in "".join(page.text)
    assert "gone.mp4" in "".join(page.text)


def test_texts_are_texts_and_nothing_is_asked_for(run: Path, tmp_path: Path) -> None:
    save_model(run)
    write_report([run], tmp_path / "report.html", title=EVIL)
    page = Page(tmp_path / "report.html")
    assert page.tags["script"] == 0
    assert f"{run.name}" in "".join(page.text)
    assert "".join(page.text).count("<script>alert('&amp;')</script>\"'{{ 7 * 7 }}") >= 5
    for name, value in page.attributes:
        assert name not in ("onload", "onerror", "srcdoc", "action"), name
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:image/jpeg;base64,", "#")), value[:60]
    assert not re.search(r"@import|url\((?!#)", page.source)
    ids = Counter(value for name, value in page.attributes if name == "id" and not value.startswith(("DejaVu",)))
    referred = re.findall(r"(?:url\(#|href=\"#)([\w-]+)", page.source)
    assert all(ids[name] == 1 for name in referred)
    # The model says what each of its 20 clips says, of which every other one, and the deciding one, are shown.
    assert "how surely each clip alone says" in "".join(page.text)
    assert 2 * 10 <= page.tags["img"] <= 2 * 11


def test_runs_side_by_side(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "recipe.yaml").write_text(yaml.safe_dump({"seed": 43, "best_metric": None, "model": {"hidden_size": 32}}))
    (other / "results.json").write_text(json.dumps({"test": {}, "validation": {"loss_of": 1.5}}))
    write_report({"first": run, "second": other}, tmp_path / "report.html", examples=0)
    page = Page(tmp_path / "report.html")
    assert page.row("accuracy") == ["75.0 %", "–"]
    assert page.row("loss of") == ["–", "1.5"]
    assert page.row("seed") == ["42", "43"]
    differing = re.findall(r'<tr class="differs"><th>([\w.]+)</th>', page.source)
    assert {"seed", "best_metric", "dataset"} <= set(differing)
    assert "model.hidden_size" not in differing
    assert page.tags["img"] == 0
    write_report([run, other], tmp_path / "again.html", examples=0, explains=False)
    assert "ClipBERT: " in (tmp_path / "again.html").read_text()


def test_which_examples_are_chosen(run: Path) -> None:
    chosen = choose_examples(read_run(run), 3)
    # Of one video the wrong answer that was surest; of each of two a right one.
    assert [entry["id"] for entry in chosen] == ["1", "0", "3"]
    assert [entry["id"] for entry in choose_examples(read_run(run), 1)] == ["1", "0"]


def test_searches(run: Path, tmp_path: Path) -> None:
    """What a run of retrieval leaves: a text found first, one whose video stands third, one whose video is gone."""
    frames, other = str(tmp_path / "frames"), str(tmp_path / "other frames")
    shutil.copytree(frames, other)
    common = {"video": frames, "predicted": other, "found": [{"video": other, "score": 2.5}]}
    entries = [
        {**common, "id": "0", "text": f"red {EVIL}", "rank": 1.0, "correct": 1.0, "predicted": frames},
        {**common, "id": "1", "text": "blue", "rank": 2.0, "correct": 0.0},
        {**common, "id": "2", "text": "green", "rank": 3.0, "correct": 0.0},
        {**common, "id": "3", "text": "grey", "rank": 1.5, "correct": 0.0, "video": "gone.mp4"},
    ]
    (run / "predictions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert [entry["id"] for entry in choose_examples(read_run(run), 3)] == ["2", "3", "0"]
    assert read_run(run).confidence is None  # scores of searches are no probabilities
    write_report([run], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    text = " ".join("".join(page.text).split())
    assert "green its video has rank 3 2 its video" in text
    assert "grey its video has rank 1.5 3 its video · no pictures: " in text
    assert re.search(r"red <script>.* found first 0", text)
    # Three frames of the right one; of the wrong ones, of the video that was found, and once of the text's own.
    assert page.tags["img"] == 3 * (1 + 2 + 1)
    assert page.tags["script"] == 0


def test_wrong_folders(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at least one folder"):
        write_report([], tmp_path / "r.html")
    with pytest.raises(
        InvalidInputError, match=r"recipe\.yaml is missing: a report needs the folder of a finished run"
    ):
        write_report([tmp_path / "none"], tmp_path / "r.html")
    with pytest.raises(InvalidInputError, match="different folders"):
        write_report([run, run], tmp_path / "r.html")
    with (run / "predictions.jsonl").open("a") as file:
        file.write("{half\n")
    with pytest.raises(InvalidInputError, match=r"predictions\.jsonl, line 5, is not JSON"):
        write_report([run], tmp_path / "r.html")
    (run / "results.json").write_text("[]")
    with pytest.raises(InvalidInputError, match=r"results\.json must hold a mapping; got list"):
        write_report([run], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
    assert (tmp_path / "frames").exists()


def test_names_tell_runs_apart(run: Path, tmp_path: Path) -> None:
    twin: Any = tmp_path / "b" / run.name
    twin.parent.mkdir()
    twin.mkdir()
    for name in ("recipe.yaml", "results.json"):
        (twin / name).write_text((run / name).read_text())
    write_report([run, twin], tmp_path / "r.html", examples=0)
    text = "".join(Page(tmp_path / "r.html").text)
    assert f"b/{run.name}" in text
