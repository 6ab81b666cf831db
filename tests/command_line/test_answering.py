"""``ask``, ``choose`` and ``match`` print what the pipelines return."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from transformers import pipeline


def nearly(expected: object) -> object:
    """Equal to the same with its numbers rounded otherwise: how pairs are scored together is found by speed."""
    if isinstance(expected, list):
        return [nearly(each) for each in expected]
    if isinstance(expected, dict):
        return {name: nearly(each) for name, each in expected.items()}
    return pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else expected


def returned(task: str, model: Path, *arguments: object, **options: object) -> object:
    """What the pipeline of a saved folder returns."""
    return nearly(pipeline(task, model=str(model), trust_remote_code=True)(*arguments, **options))


def test_ask_prints_what_the_pipeline_returns(clipbert, saved):
    video, question = str(saved / "bikes.mp4"), "what color ?"
    done = clipbert("ask", video, question, "--model", saved / "qa", "--json")
    assert done.status == 0
    assert json.loads(done.out) == returned("video-question-answering", saved / "qa", video, question)
    options = ["--top_k", "2", "--num_clips", "3", "--return_clip_scores"]
    done = clipbert("ask", video, question, "--model", saved / "qa", "--json", *options)
    found = returned(
        "video-question-answering", saved / "qa", video, question, top_k=2, num_clips=3, return_clip_scores=True
    )
    assert json.loads(done.out) == found


def test_several_videos_are_a_line_each(clipbert, saved, monkeypatch):
    videos = [str(saved / "bikes.mp4"), str(saved / "carphone.mp4")]
    expected = returned("video-question-answering", saved / "qa", videos, "what color ?", top_k=1)
    options = ["what color ?", "--model", saved / "qa", "--json", "--top_k", "1"]
    assert [json.loads(line) for line in clipbert("ask", *videos, *options).out.splitlines()] == expected
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(videos) + "\n\n"))
    done = clipbert("ask", "-", *options, "--batch_size", "2")
    assert [json.loads(line)[0]["answer"] for line in done.out.splitlines()] == [one[0]["answer"] for one in expected]


def test_several_questions_from_standard_input(clipbert, saved, monkeypatch):
    video, questions = str(saved / "bikes.mp4"), ["what color ?", "what ?"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(questions)))
    done = clipbert("ask", video, "-", "--model", saved / "qa", "--json")
    assert json.loads(done.out) == returned("video-question-answering", saved / "qa", video, questions)


def test_choose_and_match_print_what_the_pipelines_return(clipbert, saved):
    video = str(saved / "bikes.mp4")
    choices = ["red", "a circle", "blue"]
    given = [part for choice in choices for part in ("--option", choice)]
    done = clipbert("choose", video, "what ?", *given, "--model", saved / "choice", "--json")
    assert json.loads(done.out) == returned("video-multiple-choice", saved / "choice", video, "what ?", choices=choices)
    done = clipbert("match", video, *choices, "--model", saved / "retrieval", "--json")
    assert json.loads(done.out) == returned("video-text-matching", saved / "retrieval", video, choices)


def test_people_see_a_table_with_the_moment_that_decided(clipbert, saved):
    video = str(saved / "bikes.mp4")
    done = clipbert("ask", video, "what [b]color[/b] ?", "--model", saved / "qa", "--top_k", "1")
    pipe = pipeline("video-question-answering", model=str(saved / "qa"), trust_remote_code=True)
    (best,) = pipe(video, "what [b]color[/b] ?", top_k=1, return_clip_scores=True)
    surest = max(best["clips"], key=lambda clip: clip["score"])
    title, heads, row = done.out.splitlines()
    assert title == "what [b]color[/b] ?"
    assert heads.split() == ["answer", "score", "surest"]
    assert row.split()[:2] == [best["answer"], f"{best['score']:.3f}"]
    assert row.endswith(f"{surest['start']:.1f}–{surest['end']:.1f} s")
    assert done.err == ""


def test_an_answer_can_be_withheld(clipbert, saved):
    command = ["ask", saved / "bikes.mp4", "what color ?", "--model", saved / "qa", "--abstain_below", "1"]
    (withheld,) = json.loads(clipbert(*command, "--json").out)
    assert withheld["answer"] is None
    assert "(withheld)" in clipbert(*command).out


@pytest.mark.parametrize("name", ["qa", "retrieval"])
def test_code_in_a_model_folder_is_never_run(name, clipbert, saved, tmp_path):
    """The code that a saved folder carries is for those who have not installed the package."""
    import shutil

    folder = shutil.copytree(saved / name, tmp_path / name)
    for file in folder.glob("*.py"):
        file.write_text("raise SystemExit('code of the folder was run')")
    command = ["ask", saved / "bikes.mp4", "what ?"] if name == "qa" else ["match", saved / "bikes.mp4", "a"]
    assert clipbert(*command, "--model", folder, "--json").status == 0


@pytest.mark.parametrize(
    ("command", "model", "texts"),
    [
        ("ask", "qa", ["what color ?"]),
        ("choose", "choice", ["what color ?", "--option", "red", "--option", "blue"]),
        ("match", "retrieval", ["a circle"]),
    ],
)
def test_answers_are_drawn(command, model, texts, clipbert, saved, tmp_path):
    files = {"--plot": tmp_path / "when.png", "--attention": tmp_path / "where.png"}
    drawn = [part for name, path in files.items() for part in (name, path)]
    arguments = [str(saved / "bikes.mp4"), *texts, "--model", saved / model, "--num_clips", "3", "--json"]
    done = clipbert(command, *arguments, *drawn)
    assert done.status == 0, done.err
    assert json.loads(done.out) == json.loads(clipbert(command, *arguments).out)
    for path in files.values():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200
