"""The state of a server: its model, which is loaded while it answers already, and what requests are checked by."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, BinaryIO

from clipbert_hf import InvalidInputError, VideoDecodeError, __version__
from examples.serving.answering import Answerer
from examples.serving.models import Kind, load_pipeline
from examples.serving.settings import Settings

PACKAGES = ("torch", "transformers", "av")


class Service:
    """What the endpoints share.

    Args:
        settings: The options.
        kind: What the model is for.
        on_failure: Called if the model cannot be loaded.
    """

    def __init__(self, settings: Settings, kind: Kind, on_failure: Callable[[Exception], None]) -> None:
        self.settings, self.kind = settings, kind
        self.answerer: Answerer | None = None
        self._on_failure = on_failure
        self._is_closing = False

    async def load(self) -> None:
        """Load the model in a thread, and be ready."""
        try:
            answerer = await asyncio.get_running_loop().run_in_executor(None, self._load)
        except Exception as error:
            self._on_failure(error)
            return
        answerer.start()
        self.answerer = answerer

    def _load(self) -> Answerer:
        settings = self.settings
        limits: dict[str, Any] = {"max_duration": settings.max_seconds, "max_seconds": settings.timeout}
        if settings.video_dir is not None:
            limits["root"] = os.fspath(settings.video_dir)
        options: dict[str, Any] = {"decoding_limits": limits}
        if settings.num_clips is not None:
            options["num_clips"] = settings.num_clips
        answerer = Answerer(
            load_pipeline(self.kind, settings.model, device=settings.device, dtype=settings.dtype),
            batch_size=settings.batch_size,
            max_wait=settings.max_wait_ms / 1000,
            max_queue=settings.max_requests,
            decoders=settings.decoders,
            video_options=options,
        )
        answerer.try_out(self.kind.example)
        return answerer

    async def close(self) -> None:
        """Take no more, and finish what was taken."""
        self._is_closing = True
        if self.answerer is not None:
            await self.answerer.close()

    def refusal(self) -> str | None:
        """Why no request is taken at present."""
        if self._is_closing:
            return "the server is shutting down"
        return "the model is being loaded; try again later" if self.answerer is None else None

    def health(self) -> dict[str, Any]:
        """What the server is, and how much waits."""
        batcher = self.answerer.batcher if self.answerer else None
        return {
            "ready": self.refusal() is None,
            "model": self.settings.model,
            "endpoint": f"/{self.kind.name}",
            "device": str(self.answerer.pipe.device) if self.answerer else None,
            "waiting": batcher.waiting if batcher else 0,
            "batches": batcher.batches if batcher else 0,
            "versions": {"clipbert_hf": __version__, **{name: version(name) for name in PACKAGES}},
        }

    def read_upload(self, file: BinaryIO, name: str) -> dict[str, Any]:
        """An uploaded video; its file has no name on the disk, and is gone once it is closed."""
        file.seek(0)
        shown = "".join(each for each in os.path.basename(name) if each.isprintable())[:80]
        return {"bytes": file.read(), "path": shown or "the upload"}

    def find_video(self, path: str) -> str:
        """A file of the folder of videos; never a URL, nor a file that a path or a link leads to outside of it.

        Raises:
            InvalidInputError: If there is no such folder.
            VideoDecodeError: If there is no such file.
        """
        folder = self.settings.video_dir
        if folder is None:
            raise InvalidInputError("path: this server has no --video_dir; upload the video")
        root = folder.resolve()
        try:
            found = (root / path).resolve()
            if found.is_relative_to(root) and found.is_file():
                return str(found)
        except (OSError, ValueError):  # too long a name, or a null character in it
            pass
        raise VideoDecodeError(path[:80], "file", "there is no such file in --video_dir")

    def without_folder(self, message: str) -> str:
        """A message without the place of the folder of videos."""
        folder = self.settings.video_dir
        return message if folder is None else message.replace(os.path.join(folder.resolve(), ""), "")

    def check_text(self, name: str, text: str) -> str:
        """A text of a request.

        Raises:
            InvalidInputError: If it is empty or too long.
        """
        if not text.strip() or len(text) > self.settings.max_characters:
            raise InvalidInputError(f"{name}: expected 1 to {self.settings.max_characters} characters; got {len(text)}")
        return text

    def check_texts(self, name: str, texts: Sequence[str], least: int) -> list[str]:
        """The texts of a request.

        Raises:
            InvalidInputError: If there are too few or too many, or one is as it should not be.
        """
        if not least <= len(texts) <= self.settings.max_texts:
            raise InvalidInputError(f"{name}: expected {least} to {self.settings.max_texts} of them; got {len(texts)}")
        return [self.check_text(name, text) for text in texts]
