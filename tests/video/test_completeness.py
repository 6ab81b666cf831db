"""Files that end in the middle, from every kind of source; and whole files that look like it, which are read."""

from __future__ import annotations

import http.server
import io
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video_files import numbered_frame, read_numbers, write_animation, write_video

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video.completeness import missing_end
from clipbert_hf.video.limits import DecodingLimits
from clipbert_hf.video.reading import open_video, probe_video

FRAMES = 30
CUTS = 20
READ = DecodingLimits(truncated="read")
_GOP = {"g": "5"}
_VP9 = {"g": "5", "deadline": "realtime", "cpu-used": "8"}
CONTAINERS: dict[str, dict[str, Any]] = {
    "whole.mp4": {"options": _GOP},
    "faststart.mp4": {"options": _GOP, "container_options": {"movflags": "faststart"}},
    "mpeg4.mp4": {"codec": "mpeg4", "container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"options": _GOP, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "indexed.mp4": {
        "options": _GOP,
        "container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof+global_sidx"},
    },
    "clip.mkv": {"options": _GOP},
    "live.mkv": {"options": _GOP, "container_options": {"live": "1"}},
    "clip.webm": {"codec": "libvpx-vp9", "options": _VP9},
    "clip.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "clip.ts": {"options": _GOP},
    "clip.m2ts": {"options": _GOP, "container_options": {"mpegts_m2ts_mode": "1"}},
    "clip.gif": {"codec": "gif", "pixel_format": "rgb8"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(0).integers(0, 60, size=(FRAMES, 96, 128, 3), dtype=np.uint8)
    frames = [numbered_frame(number, 128, 96) // 2 + noise[number] for number in range(FRAMES)]
    for name, options in CONTAINERS.items():
        write_video(folder / name, frames, **options)
    return {name: (folder / name).read_bytes() for name in CONTAINERS}


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[bytes, int | None], str]]:
    """Put content on a server that declares some length; None: it sends chunks instead."""
    pages: list[tuple[bytes, int | None]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, declared = pages[int(self.path.strip("/"))]
            self.send_response(200)
            if declared is None:
                self.send_header("Transfer-Encoding", "chunked")
                content = b"%x\r\n%s\r\n" % (len(content), content)  # the mark of the end does not come
            else:
                self.send_header("Content-Length", str(declared))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()

        def add(content: bytes, declared: int | None) -> str:
            pages.append((content, declared))
            return f"http://127.0.0.1:{httpd.server_port}/{len(pages) - 1}"

        yield add
        httpd.shutdown()


def outcome(source: Any) -> int | str:
    try:
        return probe_video(source).frames
    except VideoDecodeError:
        return "error"


def is_documented(name: str, cut: bytes) -> bool:
    """Whether the docstring lists a cut as one that nothing in the file shows."""
    if name.endswith("ts"):
        return len(cut) % (192 if name == "clip.m2ts" else 188) < 5
    return missing_end(io.BytesIO(cut)) is None and name in ("fragments.mp4", "live.mkv", "clip.gif")


@pytest.mark.parametrize("name", CONTAINERS)
def test_cuts_are_errors(
    name: str,
    files: dict[str, bytes],
    serve: Callable[[bytes, int | None], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = files[name]
    path = tmp_path / name
    generator = np.random.default_rng(3)
    counts: Counter[str] = Counter()
    wrong = []
    for place in sorted(generator.choice(np.arange(1, len(data)), size=CUTS, replace=False).tolist()):
        cut = data[:place]
        path.write_bytes(cut)
        sources = {
            "path": path,
            "bytes": cut,
            "file": io.BytesIO(cut),
            "url": serve(cut, len(cut)),
            "torn": serve(cut, len(data)),
        }
        for kind, source in sources.items():
            got = outcome(source)
            if got == "error":
                counts["errors"] += 1
            elif kind == "torn":
                wrong.append((place, kind, got))
            elif got == FRAMES:
                counts["all frames"] += 1
            elif is_documented(name, cut):
                counts["documented"] += 1
            else:
                wrong.append((place, kind, got))
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {CUTS} cuts x 5 sources: {dict(counts)}, {len(wrong)} lost in silence ")
    assert not wrong
    assert counts["documented"] <= 5 * CUTS // 10


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in ("whole.mp4", "mpeg4.mp4")])
def test_what_is_there_is_read_on_request(name: str, files: dict[str, bytes]) -> None:
    cut = files[name][: len(files[name]) * 3 // 5]
    cut += files[name][len(cut) : len(cut) + 1] if name.endswith("ts") and is_documented(name, cut) else b""
    with pytest.raises(VideoDecodeError):
        probe_video(cut)
    with open_video(cut, limits=READ) as video:
        assert 3 <= video.frames < FRAMES
        numbers = read_numbers((video.read(range(video.frames)).int() * 2).clamp(0, 255))
        assert numbers[:-1] == list(range(video.frames - 1))  # the last one may be torn
        assert video.info.duration < FRAMES / 10


def test_the_processor_reads_torn_files_on_request(
    files: dict[str, bytes], serve: Callable[[bytes, int | None], str]
) -> None:
    data = files["clip.mkv"]
    processor = ClipBertVideoProcessor(size={"longest_edge": 32}, num_clips=1)
    torn = data[: len(data) // 2]
    for source in (torn, serve(torn, len(data)), serve(torn, None)):
        with pytest.raises(VideoDecodeError, match=r"cut short|IncompleteRead"):
            processor(source)
        pixels = processor(source, decoding_limits={"truncated": "read"}).pixel_values_videos
        assert pixels.shape == (1, 1, 2, 3, 32, 32)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("junk", [b"\0" * 100, b"G", b"GARBAGE behind the end", b"\xff" * 5000])
def test_bytes_behind_the_end_are_left_alone(name: str, junk: bytes, files: dict[str, bytes]) -> None:
    if name.endswith("ts") and len(junk) == 1:
        pytest.skip("looks like the first byte of a packet")
    assert missing_end(io.BytesIO(files[name] + junk)) is None
    if "ts" not in name and "live" not in name:  # FFmpeg may take junk for more of a stream
        assert outcome(files[name] + junk) == FRAMES


def test_gif_without_its_trailer(files: dict[str, bytes], tmp_path: Path) -> None:
    data = files["clip.gif"]
    assert data.endswith(b"\x3b")
    assert probe_video(data[:-1]).frames == FRAMES
    with pytest.raises(VideoDecodeError, match="cut short: its last block, at byte"):
        probe_video(data[:-2])
    write_animation(tmp_path / "pillow.gif", 5)
    assert probe_video((tmp_path / "pillow.gif").read_bytes()[:-1]).frames == 5


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_avi_of_unknown_size(size: int, files: dict[str, bytes]) -> None:
    data = bytearray(files["clip.avi"])
    data[4:8] = size.to_bytes(4, "little")
    assert probe_video(bytes(data)).frames == FRAMES
    movi = data.index(b"movi")
    data[movi - 4 : movi] = size.to_bytes(4, "little")
    assert missing_end(io.BytesIO(data)) is None
    assert missing_end(io.BytesIO(data[: movi + 3000])) is not None


@pytest.mark.parametrize("ending", ["matroska", "webm", "avi", "mp4", "mpegts", "gif"])
def test_what_goes_through_a_pipe_is_whole(ending: str, files: dict[str, bytes]) -> None:
    """A pipe cannot be rewound, so that sizes and durations stay unknown."""
    options = {"webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"], "gif": []}
    options |= {"mp4": ["-movflags", "frag_keyframe+empty_moov"], "avi": ["-c:v", "mjpeg"]}
    command = ["ffmpeg", "-v", "error", "-i", "-", *options.get(ending, []), "-f", ending, "-"]
    result = subprocess.run(command, input=files["clip.mkv"], capture_output=True, check=True)
    assert missing_end(io.BytesIO(result.stdout)) is None
    assert probe_video(result.stdout).frames == FRAMES


def test_a_fragment_without_its_data(files: dict[str, bytes]) -> None:
    data = files["fragments.mp4"]
    place = data.rindex(b"mdat") - 4
    for cut in (data[:place], data[: place + 6]):
        assert missing_end(io.BytesIO(cut)) == "its last fragment (moof) is there without its data (mdat)"
        with pytest.raises(VideoDecodeError, match="cut short"):
            probe_video(cut)
