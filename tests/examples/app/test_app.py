"""The app's parts without its page: settings, models, answers, examples, and parts of videos to be played."""

from __future__ import annotations

import html
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from app_fixtures import ANSWERS, FRAMES, QUESTION, app_home
from transformers import pipeline
from video_files import FPS, read_numbers, write_audio_only

from clipbert_hf import (
    ClipBertError,
    ClipBertForVideoQuestionAnswering,
    ClipBertProcessor,
    InvalidInputError,
    VideoDecodeError,
    open_video,
)
from examples.app.video_app.answering import Answerer
from examples.app.video_app.models import load_models
from examples.app.video_app.playing import encode_part, player, plays_in_browsers
from examples.app.video_app.samples import Sample, find_samples
from examples.app.video_app.settings import Settings, read_settings

__all__ = ["app_home"]


@pytest.fixture(scope="module")
def ask(app_home: Path) -> Answerer:
    model = load_models(Settings(models=(str(app_home / "qa"),))).ask
    assert model is not None
    return model


@pytest.fixture(scope="module")
def choose(app_home: Path) -> Answerer:
    model = load_models(Settings(models=(str(app_home / "choice"),))).choose
    assert model is not None
    return model


def test_settings_of_the_environment_and_of_the_command_line() -> None:
    space = {"MODEL": "me/qa, me/choice", "INDEX": "s3://index", "EXAMPLES": "videos", "SEARCH_MODEL": ""}
    settings = read_settings([], space)
    assert (settings.models, settings.index, settings.search_model) == (("me/qa", "me/choice"), "s3://index", None)
    assert settings.examples == Path("videos")
    given = read_settings(["--model", "qa", "--index", "i", "--max_minutes", "0.5", "--port", "80"], space)
    assert (given.models, given.index, given.max_minutes, given.port) == (("qa",), "i", 0.5, 80)
    assert read_settings([], {}) == Settings()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--max_megabytes", "0", "a whole number of at least 1"),
        ("--waiting", "few", "a whole number of at least 1"),
        ("--max_minutes", "inf", "a number above 0"),
        ("--port", "65536", "a whole number from 1 to 65535"),
    ],
)
def test_settings_that_cannot_be(option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings([option, value], {})
    assert f"argument {option}: expected {expected}; got {value}" in capsys.readouterr().err


def test_what_cannot_be_shown(app_home: Path) -> None:
    qa, retrieval = str(app_home / "qa"), str(app_home / "retrieval")
    for settings, message in {
        Settings(models=(qa, qa)): f"--model {qa}: there is another model to ask; give one of each kind",
        Settings(models=(retrieval,)): "one for retrieval goes to --search_model, with the --index",
        Settings(search_model=retrieval): "expected the --index that it searches as well",
        Settings(models=(str(app_home / "videos"),)): f"--model {app_home / 'videos'}: cannot be loaded: ",
        Settings(index=str(app_home / "no.index")): f"--index {app_home / 'no.index'}: cannot be loaded: ",
    }.items():
        with pytest.raises(InvalidInputError) as found:
            load_models(settings)
        assert message in str(found.value)


def test_answers_are_those_of_the_pipeline_in_one_run(app_home: Path, ask: Answerer) -> None:
    video, folder = str(app_home / "videos/one.mp4"), app_home / "qa"
    model = ClipBertForVideoQuestionAnswering.from_pretrained(folder)
    pipe = pipeline(
        "video-question-answering", model=model, processor=ClipBertProcessor.from_pretrained(folder), device="cpu"
    )
    expected = {each["answer"]: each["score"] for each in pipe(video, QUESTION)}
    runs: list[object] = []
    counting = ask._explainer.model.register_forward_hook(lambda *_: runs.append(None))
    answer = ask.answer(video, QUESTION)
    picture = ask.timeline(answer.why)
    counting.remove()
    assert len(runs) == 1
    assert answer.confidences == pytest.approx(expected, abs=1e-5)
    assert list(answer.confidences or ()) == list(expected)
    deciding = [answer.why.clips[place] for place in sorted(answer.why.deciding)]
    spans = ", ".join(f"{clip.start:.1f}–{clip.end:.1f} s" for clip in deciding)
    assert answer.remark == f"Decided by {len(deciding)} of 2 clips: {spans}"
    for image in (picture, ask.heat_maps(answer.why)):
        assert np.asarray(image.convert("L")).std() > 10
    assert ask.vocabulary == ANSWERS
    assert ask.is_calibrated


def test_an_unsure_answer_is_withheld(app_home: Path, ask: Answerer) -> None:
    video = str(app_home / "videos/one.mp4")
    best = ask.answer(video, QUESTION).why.score
    unsure = ask.answer(video, QUESTION, abstain_below=best + 0.01)
    assert unsure.confidences is None
    assert unsure.remark == f"The best answer has {best:.0%}, less than {best + 0.01:.0%}."
    assert ask.answer(video, QUESTION, abstain_below=best - 0.01).confidences is not None


def test_options_are_chosen_among(app_home: Path, choose: Answerer) -> None:
    answer = choose.answer(str(app_home / "videos/one.mp4"), QUESTION, ["red", "blue circle", "square"])
    assert answer.confidences is not None
    assert set(answer.confidences) == {"red", "blue circle", "square"}
    assert sum(answer.confidences.values()) == pytest.approx(1)
    assert (choose.answers, choose.chooses, choose.vocabulary, choose.is_calibrated) == (False, True, (), False)


def test_two_at_once_get_what_each_gets_alone(app_home: Path, ask: Answerer) -> None:
    """One has maps drawn, for which the model attends another way, while the other is answered."""
    videos = [str(app_home / "videos" / name) for name in ("one.mp4", "it's #2.mp4")]
    alone = [ask.answer(video, QUESTION).confidences for video in videos]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)

    def visit(place: int) -> list[dict[str, float] | None]:
        found = []
        for _ in range(4):
            answer = ask.answer(videos[place], QUESTION)
            ask.heat_maps(answer.why)
            found.append(answer.confidences)
        return found

    with ThreadPoolExecutor(2) as both:
        for expected, found in zip(alone, both.map(visit, (0, 1)), strict=True):
            assert all(each == pytest.approx(expected, abs=1e-6) for each in found)


def test_wrong_input(app_home: Path, ask: Answerer, choose: Answerer, tmp_path: Path) -> None:
    video = str(app_home / "videos/one.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "torn.png.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    write_audio_only(tmp_path / "sound.mp4")
    short = load_models(Settings(models=(str(app_home / "qa"),), max_minutes=0.05)).ask
    assert short is not None
    for call, message in (
        (lambda: ask.answer(None, QUESTION), "video: expected one, got none"),
        (lambda: ask.answer(video, " "), "question: expected text, got a blank"),
        (lambda: choose.answer(video, QUESTION, ["red"]), "options: expected at least two, a line each; got 1"),
        (lambda: choose.answer(video, QUESTION, ["red", "red"]), "options: expected each once; got 'red' again"),
        (lambda: ask.answer(str(tmp_path / "text.mp4"), QUESTION), "it is damaged, cut short or no video"),
        (lambda: ask.answer(str(tmp_path / "torn.png.mp4"), QUESTION), "torn.png.mp4"),
        (lambda: ask.answer(str(tmp_path / "sound.mp4"), QUESTION), "expected a video stream, found: audio"),
        (lambda: short.answer(video, QUESTION), "its 4 s are longer than 3 s (max_duration)"),
    ):
        with pytest.raises(ClipBertError) as found:
            call()
        assert message in str(found.value)


def test_examples_of_a_folder(app_home: Path, tmp_path: Path) -> None:
    folder = app_home / "videos"
    assert [Path(sample.video).name for sample in find_samples(folder)] == ["it's #2.mp4", "one.mp4", "three.avi"]
    assert find_samples(None) == []
    shutil.copy(folder / "one.mp4", tmp_path)
    table = tmp_path / "examples.csv"
    table.write_text("video,question,options\none.mp4,what ?,red|blue\none.mp4\n")
    one = str(tmp_path / "one.mp4")
    assert find_samples(tmp_path) == [Sample(one, "what ?", "red\nblue"), Sample(one)]
    table.write_text("video\nother.mp4\n")
    with pytest.raises(InvalidInputError, match=r"examples\.csv, line 2: video must be a file in .*'other\.mp4'"):
        find_samples(tmp_path)
    with pytest.raises(InvalidInputError, match=r"--examples .*: there is no such folder"):
        find_samples(tmp_path / "none")


def test_a_part_alone_has_the_frames_of_the_part(app_home: Path, tmp_path: Path) -> None:
    """At 10 frames a second, from 0.5 to 2 s: frames 5 to 19."""
    part = encode_part(str(app_home / "videos/one.mp4"), 0.5, 2)
    with open_video(part) as video:
        assert read_numbers(video.read(range(video.frames))) == list(range(5, 20))
        assert (video.fps, video.info.width, video.info.height) == (FPS, 128, 96)
    for start, end, numbers in ((3.9, 9, [39]), (8, 9, [FRAMES - 1])):
        with open_video(encode_part(str(app_home / "videos/one.mp4"), start, end)) as video:
            assert read_numbers(video.read(range(video.frames))) == numbers
    with pytest.raises(VideoDecodeError):
        encode_part(str(tmp_path / "gone.mp4"), 0, 1)


def test_a_part_is_played_out_of_the_file_where_that_is_served(app_home: Path, tmp_path: Path) -> None:
    videos = app_home / "videos"
    (tmp_path / "text.mp4").write_text("#EXTM3U\n")
    plays = {name: plays_in_browsers(str(videos / name)) for name in ("one.mp4", "it's #2.mp4", "three.avi")}
    assert plays == {"one.mp4": True, "it's #2.mp4": True, "three.avi": False}
    assert not plays_in_browsers(str(tmp_path / "text.mp4"))
    served = player(str(videos / "it's #2.mp4"), 0.5, 2, [str(videos)])
    source = html.unescape(served.split('src="')[1].split('"')[0])
    address, _, fragment = source.rpartition("#")
    assert "#" not in address
    assert unquote(address) == "gradio_api/file=" + str(videos / "it's #2.mp4")
    assert fragment == "t=0.500,2.000"
    for name, folders in (("three.avi", [str(videos)]), ("one.mp4", []), ("one.mp4", [str(videos / "one")])):
        assert 'src="data:video/mp4;base64,' in player(str(videos / name), 0.5, 2, folders)
