"""What is not answered, and why."""

from __future__ import annotations

import os
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from running_server import closed_gate, running, until

QUESTION = {"question": "what color is it ?"}


def post(server, fields, **options):
    response = server.client.post("/ask", data={**QUESTION, **fields}, **options)
    return response.status_code, response.json()


def upload_headers(server, length, *, kind="multipart/form-data; boundary=b"):
    head = f"POST /ask HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", server.port), 60)
    client.sendall(head.encode())
    return client


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": " "}, "question: expected 1 to 500 characters; got 1"),
        ({"question": "a" * 501}, "question: expected 1 to 500 characters; got 501"),
        ({"top_k": 0}, "top_k: Input should be greater than or equal to 1"),
        ({"abstain_below": 1.5}, "abstain_below: Input should be less than or equal to 1"),
    ],
)
def test_fields(server, fields, message):
    assert post(server, {"path": "0.mp4", **fields}) == (422, {"error": message})


def test_a_video_is_needed_once(server):
    expected = 422, {"error": "video: expected an uploaded file, or path in its place"}
    assert post(server, {}) == expected
    assert post(server, {"path": "0.mp4"}, files={"video": ("a.mp4", b"0")}) == expected
    assert server.client.post("/ask", data={"path": "0.mp4"}).json() == {"error": "question: Field required"}


def test_nothing_that_is_sent_is_passed_over(server, home):
    fields = "abstain_below, path, question, timestamps, top_k, video"
    expected = 422, {"error": f"topk: there is no such field; there are {fields}"}
    assert post(server, {"path": "0.mp4", "topk": 1}) == expected
    assert post(server, {"path": ["0.mp4", "1.mp4"]}) == (422, {"error": "path: expected once; got 2"})
    videos = [("video", (f"{seed}.mp4", (home / f"{seed}.mp4").read_bytes())) for seed in range(3)]
    assert post(server, {}, files=videos) == (422, {"error": "video: expected once; got 3"})


def test_paths_do_not_lead_out_of_the_folder(server, home, tmp_path):
    (tmp_path / "outside.mp4").write_bytes((home / "0.mp4").read_bytes())
    link = home / "link.mp4"
    link.symlink_to(tmp_path / "outside.mp4")
    url = f"http://127.0.0.1:{server.port}/health"
    outside = os.path.relpath(tmp_path / "outside.mp4", home)
    for path in (outside, str(tmp_path / "outside.mp4"), "link.mp4", url, f"file://{home}/0.mp4", ".", "", "\0", "no"):
        status, answer = post(server, {"path": path})
        assert status == 422, path
        assert answer["error"].endswith(("there is no such file in --video_dir", "or path in its place")), path
    link.unlink()
    assert post(server, {"path": "ask/../0.mp4"})[0] == 200
    (home / "torn.mp4").write_bytes(b"torn")
    assert post(server, {"path": "torn.mp4"})[1]["error"].startswith("cannot decode torn.mp4 with pyav: ")


def test_an_upload_that_is_too_large_is_not_read(server):
    """By what it declares, and by what comes; the answer arrives although the client goes on sending."""
    expected = 413, {"error": "the upload is larger than 1 MB"}
    large = bytes(4_000_000)
    assert post(server, {}, files={"video": ("large.mp4", large)}) == expected

    def chunks():
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    headers = {"content-type": "multipart/form-data; boundary=b"}
    response = server.client.post("/ask", content=chunks(), headers=headers)
    assert (response.status_code, response.json()) == expected


def test_uploads_leave_no_files(server, tmp_path, monkeypatch):
    """Those of more than a megabyte go to the disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []
    open_spool = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *a, **k: made.append(open_spool(*a, **k)) or made[-1])
    with running(model=server.service.settings.model, max_mb=4) as large:
        status, answer = post(large, {}, files={"video": ("large.mp4", bytes(3_000_000))})
    assert status == 422
    assert answer["error"].startswith("cannot decode large.mp4")
    assert len(made) == 1
    assert made[0].closed
    assert not list(tmp_path.iterdir())


def test_only_forms_are_taken(server):
    response = server.client.post("/ask", json={**QUESTION, "path": "0.mp4"})
    assert response.status_code == 415
    assert response.json() == {"error": "expected a form, multipart/form-data; got application/json"}
    assert server.client.get("/ask").status_code == 405
    response = server.client.post("/ask", content=b"nothing", headers={"content-type": "multipart/form-data"})
    assert response.status_code == 400


def test_a_video_that_is_too_long(server, home):
    with running(model=server.service.settings.model, max_seconds=1, video_dir=home) as short:
        status, answer = post(short, {"path": "0.mp4"})
    assert status == 422
    assert "its 2 s are longer than 1 s (max_duration)" in answer["error"]


def test_too_many_at_once(server, home):
    with running(model=server.service.settings.model, max_requests=2, video_dir=home) as small:
        slow = [upload_headers(small, 1000) for _ in range(2)]
        until(lambda: post(small, {"path": "0.mp4"})[0] == 503)
        response = small.client.post("/ask", data={**QUESTION, "path": "0.mp4"})
        assert response.headers["retry-after"] == "1"
        assert response.json() == {"error": "2 requests are being answered already; try again later"}
        assert small.client.get("/health").status_code == 200
        for client in slow:
            client.close()
        until(lambda: post(small, {"path": "0.mp4"})[0] == 200)


def test_slow_uploads_and_slow_answers_end(server, home):
    with running(model=server.service.settings.model, timeout=0.3, video_dir=home) as hasty:
        with upload_headers(hasty, 1000) as client:
            answer = client.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 408")
        assert answer.endswith(b'{"error":"the upload took longer than 0.3 s"}')
        with closed_gate(hasty):
            assert post(hasty, {"path": "0.mp4"}) == (504, {"error": "no answer within 0.3 s"})


def test_who_leaves_is_not_answered(server):
    """Its place in the queue is free again, and others have their answers."""
    with ThreadPoolExecutor(2) as clients, closed_gate(server) as gate:
        first = clients.submit(post, server, {"path": "0.mp4"})
        until(gate.reached.is_set)
        body = b"question=what+is+it&path=1.mp4"
        leaving = upload_headers(server, len(body), kind="application/x-www-form-urlencoded")
        leaving.sendall(body)
        until(lambda: server.answerer.batcher.waiting == 1)
        leaving.close()
        until(lambda: server.answerer.batcher.waiting == 0)
        second = clients.submit(post, server, {"path": "2.mp4"})
        until(lambda: server.answerer.batcher.waiting == 1)
        gate.is_open.set()
        assert first.result()[0] == second.result()[0] == 200
