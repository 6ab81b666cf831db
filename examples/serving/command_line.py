"""The command line of the server."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import uvicorn

from clipbert_command_line.actions.models import quiet
from clipbert_command_line.numbers import above_zero, port, whole
from clipbert_hf import ClipBertError
from examples.serving.models import kind_of
from examples.serving.service import Service
from examples.serving.settings import Settings
from examples.serving.web import create_app

_COUNT = whole(least=1)


@dataclass(frozen=True)
class Command:
    """A command line, read.

    Args:
        settings: Of the server.
        host: Where to listen.
        port: Where to listen.
        threads: Of the model on a CPU.
    """

    settings: Settings
    host: str
    port: int
    threads: int | None


def read_arguments(arguments: list[str] | None) -> Command:
    """The options, each checked."""
    parser = argparse.ArgumentParser(
        description="Answer questions about videos over HTTP.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    option = parser.add_argument
    option("--model", required=True, help="a folder, or a repository of the Hub; code in it is not run")
    option("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for every network")
    option("--port", type=port(least=0), default=8000, help="0 for any free one")
    option("--batch_size", type=_COUNT, default=Settings.batch_size, help="videos that pass the model together")
    option("--max_wait_ms", type=above_zero, default=Settings.max_wait_ms, help="wait of a decoded video for others")
    option("--max_requests", type=_COUNT, default=Settings.max_requests, help="requests at once; more get 503")
    option("--max_mb", type=above_zero, default=Settings.max_mb, help="size of an upload, in millions of bytes")
    option("--max_seconds", type=above_zero, default=Settings.max_seconds, help="length of a video")
    option("--max_characters", type=_COUNT, default=Settings.max_characters, help="length of a text")
    option("--max_texts", type=_COUNT, default=Settings.max_texts, help="options or texts of a request")
    option("--timeout", type=above_zero, default=Settings.timeout, help="seconds of an upload, and of its answer")
    option("--decoders", type=_COUNT, default=Settings.decoders, help="threads that decode")
    option("--num_clips", type=_COUNT, help="clips of a video; by default the processor's")
    option("--video_dir", type=_folder, help="folder whose files may be asked about by path")
    option("--device", help="by default the GPU if there is one")
    option("--dtype", choices=("float32", "bfloat16", "float16"), help="by default as saved")
    option("--threads", type=_COUNT, help="threads of the model on a CPU; by default all cores")
    given = vars(parser.parse_args(arguments))
    settings = Settings(**{field.name: given[field.name] for field in fields(Settings)})
    return Command(settings, given["host"], given["port"], given["threads"])


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; what was accepted by then is answered.

    Returns:
        The exit status: 1 if the model cannot be loaded.
    """
    command = read_arguments(arguments)
    settings = command.settings
    quiet()
    if command.threads is not None:
        torch.set_num_threads(command.threads)
    failures: list[Exception] = []

    def give_up(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    try:
        service = Service(settings, kind_of(settings.model), give_up)
    except ClipBertError as error:
        return _fail(error)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            host=command.host,
            port=command.port,
            ws="none",
            server_header=False,
            # A slow upload and its answer end in time; a second signal ends all at once.
            timeout_graceful_shutdown=int(2 * settings.timeout) + 1,
        )
    )
    server.run()
    return _fail(failures[0]) if failures else 0


def _fail(error: Exception) -> int:
    if not isinstance(error, ClipBertError):
        logging.getLogger("uvicorn.error").error("the model failed", exc_info=error)
    sys.stderr.write(f"error: {error}\n")
    return 1


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return Path(text)
