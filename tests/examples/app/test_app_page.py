"""The app's page: which tabs there are, what programs may call, and what the server hands out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from app_fixtures import ANSWERS, QUESTION, app_home
from documentation import blocks
from forked_runs import free_port
from script_runs import ROOT

pytest.importorskip("gradio", reason='the page needs gradio: pip install "clipbert_hf[app]"')
pytest.importorskip("lancedb")

import httpx  # of gradio
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from clipbert_hf import VideoDecodeError
from clipbert_hf.retrieval import VideoIndex
from examples.app.video_app.errors import message_of
from examples.app.video_app.models import Models, load_models
from examples.app.video_app.page import build_page
from examples.app.video_app.samples import find_samples
from examples.app.video_app.search_tab import _shown
from examples.app.video_app.searching import Hit
from examples.app.video_app.serving import serve
from examples.app.video_app.settings import Settings

__all__ = ["app_home"]


@pytest.fixture(scope="module")
def models(app_home: Path) -> Models:
    uri = str(app_home / "an.index")
    VideoIndex.build(app_home / "videos", uri, model=app_home / "retrieval", device="cpu")
    return load_models(Settings(models=(str(app_home / "qa"), str(app_home / "choice")), index=uri))


@pytest.fixture(scope="module")
def address(app_home: Path, models: Models) -> Iterator[str]:
    """Where the page is served, in a thread of this process."""
    settings = Settings(examples=app_home / "videos", port=free_port(), max_megabytes=1)
    page = build_page(models, find_samples(settings.examples), settings)
    serve(page, models, settings, wait=False)
    yield f"http://127.0.0.1:{settings.port}/"
    page.close()


def test_a_model_has_its_tab(models: Models) -> None:
    for shown, tabs in (
        (models, ["Ask", "Choose", "Search"]),
        (Models(ask=models.ask), ["Ask"]),
        (Models(choose=models.choose), ["Choose"]),
        (Models(), []),
    ):
        components = build_page(shown, [], Settings()).get_config_file()["components"]
        assert [each["props"]["label"] for each in components if each["type"] == "tabitem"] == tabs
        texts = " ".join(str(each["props"].get("value")) for each in components if each["type"] == "markdown")
        assert ("Name a model or an index" in texts) == (not tabs)


def test_programs_ask_and_choose(app_home: Path, models: Models, address: str) -> None:
    client = Client(address, verbose=False)
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/ask", "/choose", "/search"}
    video = str(app_home / "videos/one.mp4")
    label, remark, timeline, maps = client.predict(handle_file(video), QUESTION, api_name="/ask")
    assert models.ask is not None
    expected = models.ask.answer(video, QUESTION)
    assert expected.confidences is not None
    assert label["label"] == expected.why.answer
    of_page = {each["label"]: each["confidence"] for each in label["confidences"]}
    assert of_page == pytest.approx(expected.confidences, abs=1e-5)
    assert remark == expected.remark
    for path in (timeline, maps):
        assert Path(path).read_bytes()[:4] == b"\x89PNG"
    withheld = client.predict(handle_file(video), QUESTION, draw=False, abstain_below=1, api_name="/ask")
    assert withheld[0]["label"] == "no answer"
    assert withheld[3] is None
    chosen = client.predict(handle_file(video), QUESTION, "red\nblue", draw=False, api_name="/choose")
    assert {each["label"] for each in chosen[0]["confidences"]} == {"red", "blue"}


def test_the_program_of_the_page(
    app_home: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands in docs/how_to/app.md, but for the port."""
    monkeypatch.chdir(app_home)
    (program,) = blocks(ROOT / "docs/how_to/app.md", "python")
    found: dict[str, Any] = {}
    exec(program.code.replace("http://127.0.0.1:7860", address), found)
    assert found["label"]["label"] in ANSWERS
    assert found["table"]["headers"] == ["rank", "video", "score", "start", "end", "all spans"]
    assert sorted(row[1] for row in found["table"]["data"]) == ["it's #2.mp4", "one.mp4", "three.avi"]
    assert str(found["table"]["data"]) in capsys.readouterr().out


def test_errors_are_told(app_home: Path, address: str, tmp_path: Path) -> None:
    client = Client(address, verbose=False)
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(AppError) as found:
        client.predict(handle_file(str(text)), QUESTION, api_name="/ask")
    assert str(found.value).startswith("cannot decode text.mp4 with pyav: ")  # without where it lies
    with pytest.raises(AppError, match="question: expected text, got a blank"):
        client.predict(handle_file(str(app_home / "videos/one.mp4")), " ", api_name="/ask")
    with pytest.raises(AppError, match="video: expected one, got none"):
        client.predict(None, QUESTION, api_name="/ask")
    too_large = httpx.post(f"{address}gradio_api/upload", files={"files": ("big.mp4", bytes(2**20 + 1))})
    assert too_large.status_code == 413
    told = message_of(VideoDecodeError("/tmp/<img src=x>.mp4", "pyav", "no video"))
    assert told == "cannot decode &lt;img src=x&gt;.mp4 with pyav: no video"


def test_a_search_outlives_a_video_that_is_gone(models: Models, app_home: Path) -> None:
    assert models.search is not None
    gone = Hit(str(app_home / "videos/gone.mp4"), "gone.mp4", 1.0, ((1.0, 2.0),), 1.5)
    _, player = _shown(models.search, [gone], 0)
    assert player.startswith("<p>cannot decode gone.mp4 with file: ")


def test_only_what_is_meant_for_visitors_is_handed_out(app_home: Path, address: str) -> None:
    with urlopen(address) as page:
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self' ")
        text = page.read().decode()
    assert "fonts.googleapis" not in text
    videos = app_home / "videos"
    for path in ("/etc/passwd", ROOT / "README.md", app_home / "qa/config.json", f"{videos}/../qa/config.json"):
        with pytest.raises(HTTPError, match=r"403|404"):
            urlopen(f"{address}gradio_api/file={path}")
    with pytest.raises(HTTPError, match=r"404|405|422"):  # nothing gets past the queue
        urlopen(f"{address}gradio_api/run/ask", data=b'{"data": [null, "what ?", false, 0]}')
