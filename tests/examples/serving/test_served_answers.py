"""Answers over HTTP are those of the pipeline, whatever waits beside them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from running_server import closed_gate, running, until

from clipbert_hf import VideoDecodeError
from examples.serving.models import kind_of, load_pipeline

QUESTIONS = ("what color is it ?", "is it a red video ?", "what is it ?")


def pipe_of(folder):
    return load_pipeline(kind_of(str(folder)), str(folder), device="cpu", dtype=None)


@pytest.fixture(scope="module")
def pipe(home):
    return pipe_of(home / "ask")


def same(found, expected):
    """Equal, but for the last bits of scores."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            same(found[name], expected[name])
    else:
        assert found == expected


def test_many_at_once(server, pipe, home):
    asked = [
        (home / f"{number % 4}.mp4", QUESTIONS[number % 3], {"top_k": 1 + number % 4, "timestamps": number % 2 == 0})
        for number in range(24)
    ]

    def ask(video, question, options):
        fields = {"question": question, **options}
        return server.client.post("/ask", data=fields, files={"video": (video.name, video.read_bytes())})

    before = server.answerer.batcher.batches
    with ThreadPoolExecutor(12) as clients:
        found = list(clients.map(lambda one: ask(*one), asked))
    assert server.answerer.batcher.batches - before < len(asked)
    for response, (video, question, options) in zip(found, asked, strict=True):
        assert response.status_code == 200
        expected = pipe(video, question, top_k=options["top_k"], return_clip_scores=options["timestamps"])
        same(response.json(), {"answers": expected})


def test_an_unsure_answer_is_withheld(server, pipe, home):
    fields = {"question": QUESTIONS[0], "path": "1.mp4", "abstain_below": 1}
    expected = pipe(home / "1.mp4", QUESTIONS[0], abstain_below=1)
    assert expected[0]["answer"] is None
    same(server.client.post("/ask", data=fields).json(), {"answers": expected})


def test_choices(home):
    fields = {"question": "what is it ?", "option": ["red", "a video", "blue"], "path": "2.mp4"}
    expected = pipe_of(home / "choose")(home / "2.mp4", "what is it ?", choices=["red", "a video", "blue"])
    with running(model=str(home / "choose"), video_dir=home, max_texts=3) as server:
        same(server.client.post("/choose", data=fields).json(), {"answers": expected})
        same(server.client.post("/choose", data={**fields, "top_k": 1}).json(), {"answers": expected[:1]})
        for options, found in ((["red"], 1), (["red"] * 4, 4)):
            response = server.client.post("/choose", data={**fields, "option": options})
            assert response.status_code == 422
            assert response.json() == {"error": f"option: expected 2 to 3 of them; got {found}"}
        assert server.client.post("/ask", data=fields).json() == {"error": "there is POST /choose and GET /health"}


def test_texts(home):
    texts = ["a red video", "a blue video"]
    expected = pipe_of(home / "match")(home / "3.mp4", texts, return_clip_scores=True)
    with running(model=str(home / "match"), video_dir=home) as server:
        response = server.client.post("/match", data={"text": texts, "path": "3.mp4", "timestamps": True})
        same(response.json(), {"texts": expected})


def test_files_that_cannot_be_read_have_the_errors_of_the_pipeline(server, pipe, home):
    whole = (home / "0.mp4").read_bytes()
    files = {
        "text.txt": b"no video at all",
        "half.mp4": whole[: len(whole) // 2],
        "empty.mp4": b"",
        "noise.mp4": whole[:40] + bytes(range(256)) * 20,
    }
    for name, content in files.items():
        with pytest.raises(VideoDecodeError) as error:
            pipe({"bytes": content, "path": name}, QUESTIONS[0])
        response = server.client.post(
            "/ask", data={"question": QUESTIONS[0]}, files={"video": (f"/tmp/{name}", content)}
        )
        assert response.status_code == 422
        assert response.json() == {"error": str(error.value)}


def test_one_that_fails_in_the_model_fails_alone(server):
    """Of four that wait together, one has an input that the model cannot take."""
    forward = server.answerer.pipe.forward
    sizes = []

    def fail_at_blue(inputs):
        questions = [row["question"][0] for _, row, _ in inputs["sample"]]
        sizes.append(len(questions))
        if "is it blue ?" in questions:
            raise RuntimeError("an index is out of range")
        return forward(inputs)

    def ask(question):
        return server.client.post("/ask", data={"question": question, "path": "0.mp4"})

    with ThreadPoolExecutor(5) as clients, closed_gate(server, fail_at_blue) as gate:
        first = clients.submit(ask, "what is it ?")
        until(gate.reached.is_set)
        others = [clients.submit(ask, f"is it {colour} ?") for colour in ("red", "blue", "a", "color")]
        until(lambda: server.answerer.batcher.waiting == 4)
        gate.is_open.set()
        assert [each.result().status_code for each in (first, *others)] == [200, 200, 500, 200, 200]
    assert sizes == [1, 4, 1, 1, 1, 1]
    assert others[1].result().json() == {"error": "the server failed at this request; its log tells why"}
