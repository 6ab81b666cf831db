"""What goes wrong, as visitors are told."""

from __future__ import annotations

import functools
import html
import os
from collections.abc import Callable
from typing import TypeVar

import gradio as gr

from clipbert_hf import ClipBertError, VideoDecodeError

Handler = TypeVar("Handler", bound=Callable)


def message_of(error: ClipBertError) -> str:
    """The text of an error; a video by the name that the visitor knows, not by where it lies on this machine."""
    if isinstance(error, VideoDecodeError):
        error = VideoDecodeError(os.path.basename(error.path), error.backend, error.reason)
    return html.escape(str(error), quote=False)  # the page would take it for HTML


def told(handler: Handler) -> Handler:
    """Let a handler that yields tell of our errors on the page; all others remain "Error", and a trace in the log."""

    @functools.wraps(handler)
    def wrapped(*arguments: object):  # type: ignore[no-untyped-def]
        try:
            yield from handler(*arguments)
        except ClipBertError as error:
            raise gr.Error(message_of(error), print_exception=False) from error

    return wrapped  # type: ignore[return-value]
