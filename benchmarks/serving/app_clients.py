"""Clients of the app on a web page (``examples/app``), asking as its page does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .load import Ask
from .questions import Asked


def app_clients(address: str, count: int, files: Path) -> list[Ask]:
    """Clients of the app.

    Args:
        address: Of the app.
        count: How many.
        files: A folder for the files that they upload.
    """
    return [_app_client(address, files) for _ in range(count)]


def _app_client(address: str, files: Path) -> Ask:
    from gradio_client import Client, handle_file  # of the extra app
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False, download_files=False, analytics_enabled=False)

    def ask(asked: Asked) -> tuple[int, Mapping[str, Any]]:
        path = files / asked.name
        path.write_bytes(asked.content)
        try:
            label, *_ = client.predict(handle_file(str(path)), asked.question, False, 0, api_name="/ask")
        except AppError as error:
            # The app reads files where the server reads bytes, and words some errors differently; it names the file.
            return 422, {"error": asked.error if asked.name in str(error) else str(error)}
        except ValueError as error:  # gradio's client asks for the limit, and does not upload what is larger
            if "exceeds the maximum file size" not in str(error):
                raise
            return 413, {"error": asked.error}
        return 200, {
            "answers": [{"answer": each["label"], "score": each["confidence"]} for each in label["confidences"]]
        }

    return ask
