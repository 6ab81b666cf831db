"""The page as a server: what it may hand out, how much it takes, and how many wait."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from .headers import OwnContentOnly
from .models import Models
from .page import THEME
from .settings import Settings


def serve(page: gr.Blocks, models: Models, settings: Settings, *, wait: bool = True) -> None:
    """Serve a page.

    Args:
        page: Of :func:`~.page.build_page`.
        models: Name the folders whose videos may be played.
        settings: Address and limits.
        wait: Whether to stay until the process is told to end; otherwise ``page.close()`` ends it.
    """
    # Nothing gets past the queue, which lets one request at a time to the models.
    page.queue(max_size=settings.waiting, api_open=False)
    page.launch(
        theme=THEME,
        css_paths=Path(__file__).with_name("page.css"),
        server_name=settings.host,
        server_port=settings.port,
        allowed_paths=[] if models.search is None else list(models.search.served),
        max_file_size=f"{settings.max_megabytes}mb",
        app_kwargs={"middleware": [Middleware(OwnContentOnly)]},
        footer_links=["api"],
        ssr_mode=False,
        prevent_thread_lock=not wait,
    )
