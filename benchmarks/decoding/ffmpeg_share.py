"""How much of our time is spent inside of FFmpeg."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decoding.settings import Setting
from clipbert_hf import VideoInfo
from clipbert_hf.video.pyav_reader import PyAVReader
from clipbert_hf.video.sources import EncodedVideo


class TimedReader(PyAVReader):
    """Our reader, with the time that it spends inside of FFmpeg.

    Attributes:
        spent: CPU seconds by what was done: ``"open"``, or the name of the method of PyAV.
    """

    def __init__(self, path: Path) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        super().__init__(EncodedVideo(name=str(path), path=str(path)))

    def _open(self, *, probes: bool = True) -> None:
        start = time.process_time()
        super()._open(probes=probes)
        self.spent["open"] += time.process_time() - start
        self._file, self._decoder = _Timed(self.spent, self._file), _Timed(self.spent, self._decoder)
        converter: Any = self._converter
        converter._reformatter = _Timed(self.spent, converter._reformatter)


class _Timed:
    """Stands in for an object of PyAV and times its methods, and the steps of the generators that they return."""

    def __init__(self, spent: defaultdict[str, float], target: Any) -> None:
        object.__setattr__(self, "_spent", spent)
        object.__setattr__(self, "_target", getattr(target, "_target", target) if type(target) is _Timed else target)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            result = value(*arguments, **options)
            self._spent[name] += time.process_time() - start
            return self._steps(result) if name == "demux" else result

        return timed

    def _steps(self, generator: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.process_time()
            item = next(generator, None)
            self._spent["demux"] += time.process_time() - start
            if item is None:
                return
            yield item


def ffmpeg_seconds(path: Path, info: VideoInfo, setting: Setting, draw: int) -> tuple[float, float]:
    """CPU seconds inside of FFmpeg on our path, and those for decoding alone."""
    reader = TimedReader(path)
    reader.read(np.unique(setting.indices(info, draw)))
    reader.close()
    return sum(reader.spent.values()), reader.spent["decode"]
