from __future__ import annotations

import pytest
from reference_inputs import save_tiny
from running_server import running

from benchmarks.serving.__main__ import summary
from benchmarks.serving.load import Round, ask_all, http_clients
from benchmarks.serving.processes import serving
from benchmarks.serving.questions import Asked, choose_questions
from clipbert_hf import ClipBertForVideoQuestionAnswering

ANSWERS = ("red", "blue", "yes", "no")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "color", "is", "the", "circle", "?"]
    (folder / "vocab.txt").write_text("\n".join(words))
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    save_tiny(ClipBertForVideoQuestionAnswering, folder / "model", folder / "vocab.txt", labels)
    return folder / "model"


def test_what_is_right():
    asked = Asked("a.mp4", b"", "what ?", answers=[{"answer": "red", "score": 0.75}, {"answer": "blue", "score": 0.25}])
    right = [{"answer": "red", "score": 0.75004}, {"answer": "blue", "score": 0.24996}]
    assert asked.is_right(200, {"answers": right})
    assert not asked.is_right(200, {"answers": right[:1]})
    assert not asked.is_right(200, {"answers": right[::-1]})
    assert not asked.is_right(200, {"answers": [{**right[0], "score": 0.7502}, right[1]]})
    assert not asked.is_right(503, {"error": "too many"})
    bad = Asked("a.txt", b"", "what ?", error="no video")
    assert bad.is_right(422, {"error": "no video"})
    assert not bad.is_right(500, {"error": "no video"})
    assert not bad.is_right(200, {"answers": right})


def test_figures_of_rounds():
    rounds = [Round(2.0, (0.1,) * 10, 10, (), 100.0), Round(4.0, (0.1,) * 19 + (2.0,), 19, ("x: 500 {}",), 101.0)]
    assert rounds[1].figures() == {
        "requests_per_second": 5.0,
        "p50_ms": pytest.approx(100),
        "p95_ms": pytest.approx(195),  # 0.05 of the way from the 19th to the 20th
        "right": 19,
        "memory_mib": 101.0,
    }
    found = summary(rounds)
    assert (found["requests"], found["wrong"], found["memory_mib"]) == (30, ["x: 500 {}"], [100.0, 101.0])
    assert found["requests_per_second"] == 5.0  # that to warm up does not count


def test_a_server_under_load(model, small_data):
    """All answers, and those to bad files, are the pipeline's; a changed one is noticed."""
    questions = choose_questions(model, small_data, requests=30, bad_share=0.2, max_mb=0.5)
    unread = sorted(one.name.partition("-")[2] for one in questions if one.answers is None)
    assert unread == ["cut.mp4", "empty", "large", "text", "text"]
    assert sum(one.name.endswith("-picture.png") for one in questions) == 1  # a video of one frame
    assert len({(one.content, one.question) for one in questions}) == 30
    with running(model=str(model), max_mb=0.5, batch_size=4) as server:
        clients = http_clients(f"http://127.0.0.1:{server.port}", 5)
        found = ask_all(questions, clients, lambda: 1.0)
        assert (found.right, found.wrong, len(found.latencies)) == (30, (), 30)
        whole = next(one for one in questions if one.answers is not None)
        other = Asked(whole.name, b"something else", whole.question, answers=whole.answers)
        assert len(ask_all([other], clients[:1], lambda: 1.0).wrong) == 1


def test_servers_are_processes(tmp_path):
    """They are ended with the block; one that does not start says why."""
    files = "SimpleHTTPRequestHandler, port=int(sys.argv[2]), bind='127.0.0.1'"
    listen = f"import http.server, sys; http.server.test(http.server.{files})"
    with serving(["-c", listen], ready="/", log=tmp_path / "log.txt") as server:
        assert server.process.is_running()
        assert 1 < server.memory() < 1000
    assert not server.process.is_running()
    with (
        pytest.raises(RuntimeError, match=r"the server did not start: no model\n"),
        serving(["-c", "raise SystemExit('no model')"], ready="/", log=tmp_path / "log.txt"),
    ):
        pass
