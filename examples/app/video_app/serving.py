"""The page as a server: what it may hand out, how much it takes, and how many wait."""

from __future__ import annotations

import ctypes
import platform
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
    _share_memory_between_threads()
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


def _share_memory_between_threads() -> None:
    """Have the C library keep two pools of freed memory instead of up to eight for each core.

    Videos are read and pictures drawn in whichever of Gradio's threads is free, and each pool keeps what that took:
    250 MB after some hundred questions. Only glibc has such pools.
    """
    if platform.libc_ver()[0] == "glibc":
        arena_max = -8  # M_ARENA_MAX of malloc.h
        ctypes.CDLL(None).mallopt(arena_max, 2)
