"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import forked_runs
import httpx
import pytest
from running_server import running, until

from clipbert_hf import InvalidInputError
from examples.serving import command_line
from examples.serving.models import kind_of
from examples.serving.service import Service
from examples.serving.settings import Settings
from examples.serving.web import create_app


def test_before_the_model_is_loaded(home):
    service = Service(Settings(model=str(home / "ask")), kind_of(str(home / "ask")), pytest.fail)

    async def ask():
        transport = httpx.ASGITransport(create_app(service))  # does not begin to load
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            health = await client.get("/health")
            answer = await client.post("/ask", data={"question": "what ?", "path": "0.mp4"})
            return health, answer

    health, answer = asyncio.run(ask())
    assert (health.status_code, health.json()["ready"]) == (503, False)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "the model is being loaded; try again later"}


def test_health_and_schema(server, home):
    """The pages of FastAPI, which load scripts from elsewhere, are off."""
    health = server.client.get("/health")
    assert health.status_code == 200
    found = health.json()
    assert (found["ready"], found["model"], found["endpoint"], found["waiting"]) == (True, str(home / "ask"), "/ask", 0)
    assert set(found["versions"]) == {"clipbert_hf", "torch", "transformers", "av"}
    schema = server.client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/ask", "/health"}
    form = schema["components"]["schemas"]["Body_ask_ask_post"]
    assert set(form["properties"]) == {"video", "path", "question", "top_k", "timestamps", "abstain_below"}
    assert {server.client.get(page).status_code for page in ("/docs", "/redoc")} == {404}


def test_what_was_accepted_is_answered_at_the_end(home):
    with running(model=str(home / "ask"), video_dir=home) as server, ThreadPoolExecutor(1) as clients:
        pipe, forward = server.answerer.pipe, server.answerer.pipe.forward

        def stop_and_go_on(inputs):
            server.begin_to_stop()
            until(lambda: not is_listening(server.port))
            return forward(inputs)

        pipe.forward = stop_and_go_on
        answer = clients.submit(server.client.post, "/ask", data={"question": "what is it ?", "path": "0.mp4"})
        assert answer.result().status_code == 200


def is_listening(port):
    try:
        httpx.get(f"http://127.0.0.1:{port}/health")
    except httpx.TransportError:
        return False
    return True


def test_models_that_cannot_be_served(home, tmp_path, capsys):
    assert command_line.main(["--model", str(tmp_path / "none")]) == 1
    (tmp_path / "config.json").write_text('{"architectures": ["ClipBertForPreTraining"]}')
    assert command_line.main(["--model", str(tmp_path)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: --model {tmp_path / 'none'}: ")
    assert second.startswith(f"error: --model {tmp_path}: expected one of ClipBertForVideoQuestionAnswering, ")
    assert second.endswith("its config.json names ClipBertForPreTraining")
    (tmp_path / "config.json").write_text((home / "ask" / "config.json").read_text())
    service = Service(Settings(model=str(tmp_path)), kind_of(str(tmp_path)), lambda error: failures.append(error))
    failures: list[Exception] = []
    asyncio.run(service.load())
    assert isinstance(failures[0], InvalidInputError)
    assert str(failures[0]).startswith(f"--model {tmp_path}: cannot be loaded: ")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("batch_size", "0", "expected a whole number of at least 1; got 0"),
        ("num_clips", "few", "expected a whole number of at least 1; got few"),
        ("max_mb", "-1", "expected a number above 0; got -1"),
        ("timeout", "inf", "expected a number above 0; got inf"),
        ("port", "65536", "expected a whole number from 0 to 65535; got 65536"),
        ("video_dir", "none", "there is no folder none"),
    ],
)
def test_options_are_checked(option, value, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["--model", "model", f"--{option}", value])
    assert f"argument --{option}: {message}" in capsys.readouterr().err


def test_the_command(home):
    """As a process, which ends well at a signal."""
    port, log = forked_runs.free_port(), home / "server.log"
    arguments = ["--model", str(home / "ask"), "--port", str(port), "--threads", "1", "--video_dir", str(home)]
    process = forked_runs.fork_context().Process(target=_serve, args=(arguments, str(log)))
    process.start()
    until(lambda: is_listening(port))
    until(lambda: httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200)
    fields = {"question": "what is it ?", "path": "0.mp4", "top_k": 2}
    assert len(httpx.post(f"http://127.0.0.1:{port}/ask", data=fields).json()["answers"]) == 2
    process.terminate()
    process.join(60)
    assert process.exitcode == -signal.SIGTERM  # uvicorn ends, and then as the signal would have had it
    assert "Application shutdown complete" in log.read_text()
    assert "Traceback" not in log.read_text()


def _serve(arguments, log):
    forked_runs._begin(log)
    raise SystemExit(command_line.main(arguments))
