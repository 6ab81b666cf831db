"""A pipeline in its three steps, for many requests at once: decoding in threads, the model in one thread, answers."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from examples.serving.batcher import Batcher


class Answerer:
    """Answers requests as the pipeline does, whose model sees those that wait together.

    Videos are decoded beside the model. A decoded video is tens of megabytes (16 clips of two frames of 448 px: 77), so
    at most two batches of them exist: one at the model, one that is being decoded for it.

    Args:
        pipe: One of clipbert_hf's pipelines.
        batch_size: The most videos that pass the model together.
        max_wait: How long a decoded video waits for others while the model is free, in seconds.
        max_queue: The most decoded videos that wait.
        decoders: Threads that decode.
        video_options: Of the pipeline's call, such as ``num_clips`` and ``decoding_limits``.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        batch_size: int,
        max_wait: float,
        max_queue: int,
        decoders: int,
        video_options: dict[str, Any],
    ) -> None:
        self.pipe = pipe
        self.batcher: Batcher[Any, Any] = Batcher(
            self._forward, batch_size=batch_size, max_wait=max_wait, max_queue=max_queue
        )
        self._video_options = video_options
        self._places = asyncio.Semaphore(2 * batch_size)
        self._of_thread = threading.local()
        self._decoders = ThreadPoolExecutor(decoders, "decoder", self._start_decoder)

    def start(self) -> None:
        """Begin to work, on the running loop."""
        self.batcher.start()

    async def answer(self, row: dict[str, Any], read_video: Callable[[], Any], **options: Any) -> Any:
        """What the pipeline answers.

        Args:
            row: What is asked, without the video.
            read_video: Gives the video, as the pipeline takes it; called in a decoder's thread.
            **options: ``top_k``, ``return_clip_scores``, ``abstain_below``.

        Raises:
            ClipBertError: If the video or what is asked is not as expected.
            BusyError: If too much waits for the model.
        """
        async with self._places:
            loop = asyncio.get_running_loop()
            sample = await loop.run_in_executor(self._decoders, self._prepare, row, read_video)
            output = await self.batcher.submit(sample)
        return self.pipe.postprocess({"output": output}, **options)

    async def close(self) -> None:
        """Finish what was begun."""
        await self.batcher.close()
        self._decoders.shutdown(cancel_futures=True)

    def try_out(self, row: dict[str, Any]) -> None:
        """Ask about a black picture, in this thread: what cannot work fails now, and not at the first request."""
        self.pipe({**row, "video": np.zeros((1, 64, 64, 3), np.uint8)}, **self._video_options)

    def _start_decoder(self) -> None:
        # Fast tokenizers may not be called by two threads at once, so each has its own.
        self._of_thread.pipe = copy.copy(self.pipe)
        self._of_thread.pipe.processor = copy.deepcopy(self.pipe.processor)

    def _prepare(self, row: dict[str, Any], read_video: Callable[[], Any]) -> list[Any]:
        prepared = self._of_thread.pipe.preprocess({**row, "video": read_video()}, **self._video_options)
        return prepared["sample"]

    def _forward(self, samples: list[Any]) -> list[Any]:
        return self.pipe.forward({"sample": samples})["output"]
