"""The app in Chromium, as visitors use it: an answer, a moment that plays, a wrong file, two visitors at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from app_fixtures import QUESTION, app_home
from documentation import blocks, commands
from script_runs import ROOT

from clipbert_hf.explanation import Explainer

pytest.importorskip("gradio", reason='the app needs gradio: pip install "clipbert_hf[app]"')
pytest.importorskip("lancedb", reason='the app searches with lancedb: pip install "clipbert_hf[search]"')
pytest.importorskip("selenium", reason="selenium drives the browser: pip install selenium")

from browser_visitor import CHROMEDRIVER, CHROMIUM, PATIENCE, Visitor
from selenium.webdriver.common.by import By

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None,
        reason="needs chromium and chromedriver (apt-get install chromium-driver)",
    ),
]

__all__ = ["app_home"]

SEARCHED = "red circle moves"


@pytest.fixture(scope="module")
def address(app_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as a process of its own, by the commands of its page."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    (clipbert, *index), (python, *app) = commands(blocks(ROOT / "docs/how_to/app.md", "sh")[0])
    assert (clipbert, python) == ("clipbert", "python")
    indexing = [sys.executable, "-m", "clipbert_command_line", *index]
    subprocess.run(indexing, cwd=app_home, env=environment, check=True)
    log = tmp_path_factory.mktemp("log") / "app.txt"
    with log.open("w") as output:
        serving = [sys.executable, *app, "--port", str(port)]
        process = subprocess.Popen(serving, cwd=app_home, env=environment, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}/"
    try:
        until(lambda: answers(address) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait()
    assert "Traceback" not in log.read_text()


def answers(address: str) -> bool:
    try:
        return urlopen(address).status == 200
    except URLError:
        return False


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


@pytest.fixture
def visitors(address: str, tmp_path: Path) -> Iterator[list[Visitor]]:
    found = [Visitor(address, tmp_path / str(number)) for number in range(2)]
    yield found
    for each in found:
        each.browser.quit()


@pytest.fixture
def visitor(address: str, tmp_path: Path) -> Iterator[Visitor]:
    found = Visitor(address, tmp_path / "profile")
    yield found
    found.browser.quit()


def expected(app_home: Path, name: str, question: str = QUESTION, model: str = "qa", **options: Any) -> list[str]:
    """The answers with their percentages, as the page shows them, best first."""
    why = Explainer.from_pretrained(app_home / model).explain(str(app_home / "videos" / name), question, **options)
    return [text for answer, score in why.ranked for text in (answer, f"{round(100 * score)}%")]


def shown(visitor: Visitor, tab: str = "ask") -> list[str]:
    """The same, as it stands on the page: below the name of the answer."""
    visitor.find(f"#{tab}-answer [data-testid$=confidence-set], #{tab}-answer .confidence-set")
    lines = visitor.find(f"#{tab}-answer").text.split("\n")
    return lines[lines.index("Answer") + 2 :]


def test_an_answer_with_its_reasons(app_home: Path, address: str, visitor: Visitor) -> None:
    visitor.find(".gallery-item").click()  # the first example: it's #2.mp4
    visitor.find("#ask-video video")
    visitor.type("ask-question", QUESTION)
    visitor.find("#ask-button").click()
    assert visitor.width_of("ask-timeline") > 1000
    assert visitor.width_of("ask-heat-maps") > 1000
    assert shown(visitor) == expected(app_home, "it's #2.mp4")
    assert "of 2 clips" in visitor.find("#ask-remark textarea, #ask-remark input").get_attribute("value")
    visitor.open("Choose")
    visitor.upload(app_home / "videos/one.mp4", "choose")
    visitor.type("choose-question", QUESTION)
    visitor.type("choose-options", "red\nblue circle")
    visitor.find("#choose-button").click()
    assert visitor.width_of("choose-heat-maps") > 1000
    assert shown(visitor, "choose") == expected(app_home, "one.mp4", model="choice", choices=["red", "blue circle"])
    assert visitor.hosts() == {urlsplit(address).netloc}
    assert all(visitor.overhang(width) <= 0 for width in (390, 1280))


def test_a_moment_plays(app_home: Path, visitor: Visitor) -> None:
    """Out of the file where the browser plays it, from its own start to its own end; else the part alone."""
    visitor.open("Search")
    visitor.type("search-text", SEARCHED)
    visitor.find("#search-button").click()
    visitor.find("#search-player video")
    assert len(visitor.browser.find_elements(By.CSS_SELECTOR, "#search-found .gallery-item")) == 3
    played = set()
    for place in range(3):
        found = visitor.browser.find_elements(By.CSS_SELECTOR, "#search-found .gallery-item button")[place]
        title, moment = found.text.split("\n")
        name, (start, end) = title.split(". ", 1)[1], map(float, moment.split(" s · ")[0].split("–"))
        found.click()
        visitor.wait(lambda browser, name=name: browser.find_element(By.TAG_NAME, "figcaption").text.startswith(name))
        is_file = name.endswith(".mp4")
        assert visitor.video()["source"].startswith("http" if is_file else "data:video/mp4;base64,")
        start, end = (start, end) if is_file else (0, end - start)
        visitor.wait(lambda _: visitor.video()["ready"] >= 2)
        assert visitor.video()["time"] >= start - 0.05  # as rounded in the caption
        # It pauses at the end by itself.
        state = visitor.wait(lambda _, end=end: (now := visitor.video())["paused"] and now["time"] > end - 0.3 and now)
        assert state["error"] is None
        assert state["time"] < end + 0.5
        played.add(name)
    assert played == {path.name for path in (app_home / "videos").iterdir()}
    assert all(visitor.overhang(width) <= 0 for width in (390, 1280))
    visitor.find("button.label-wrap").click()  # the table below
    visitor.wait(lambda browser: "one.mp4" in browser.find_element(By.ID, "search-table").text)


def test_a_wrong_file_is_told(visitor: Visitor, app_home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video\n")

    def told(text: str) -> None:
        visitor.wait(
            lambda browser: text in "".join(e.text for e in browser.find_elements(By.CLASS_NAME, "toast-body"))
        )

    visitor.type("ask-question", QUESTION)
    visitor.find("#ask-button").click()
    told("video: expected one, got none; upload a file or pick an example")
    visitor.upload(tmp_path / "notes.mp4")
    visitor.find("#ask-button").click()
    told("cannot decode notes.mp4 with pyav: it is damaged, cut short or no video")
    visitor.find("#ask-video button[aria-label=Clear]").click()
    visitor.upload(app_home / "videos/one.mp4")
    visitor.type("ask-question", "   ")
    visitor.find("#ask-button").click()
    told("question: expected text, got a blank")
    assert "Traceback" not in visitor.find("body").text


def test_two_visitors_get_their_own(app_home: Path, visitors: list[Visitor]) -> None:
    names, questions = ("one.mp4", "it's #2.mp4"), (QUESTION, "is it a circle ?", "what moves ?")
    wanted = [[expected(app_home, name, question) for question in questions] for name in names]
    assert all(one != other for one, other in zip(*wanted, strict=True))

    def visit(visitor: Visitor, name: str, wanted: list[list[str]]) -> None:
        visitor.upload(app_home / "videos" / name)
        for question, answers in zip(questions, wanted, strict=True):
            visitor.type("ask-question", question)
            visitor.find("#ask-button").click()
            visitor.wait(lambda _, answers=answers: shown(visitor) == answers)

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(visit, visitors, names, wanted)) == [None, None]
