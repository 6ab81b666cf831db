"""Sources of every kind: encoded, in memory, folders of images, from ``datasets``, and over the network."""

from __future__ import annotations

import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from video_files import (
    numbered_frame,
    read_numbers,
    trim_by_stream_copy,
    with_second_stream,
    write_video,
)

from clipbert_hf.errors import InvalidInputError, VideoDecodeError
from clipbert_hf.model.video_processing_clipbert import ClipBertVideoProcessor
from clipbert_hf.video.download import download
from clipbert_hf.video.reading import VideoInfo, open_video, probe_video, read_video_frames
from clipbert_hf.video.sources import is_single_video


@pytest.fixture
def frame_folder(tmp_path: Path) -> Path:
    """Twelve frames whose names sort differently as text, and what else lies around in such folders."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        ending = ("jpg", "png", "bmp", "webp")[number % 4]
        Image.fromarray(numbered_frame(number)).save(folder / f"frame{number}.{ending}", quality=95)
    (folder / "._frame0.jpg").write_bytes(b"resource fork")
    (folder / "times.txt").write_text("0 1 2")
    (folder / "more").mkdir()
    return folder


def test_a_folder_of_frames(frame_folder: Path) -> None:
    assert probe_video(frame_folder) == VideoInfo(frames=12, fps=25.0, duration=0.48, height=48, width=64)
    for source in (frame_folder, str(frame_folder), {"path": str(frame_folder), "bytes": None}):
        assert read_numbers(read_video_frames(source, [11, 2, 10, 2])) == [11, 2, 10, 2]
    with open_video(frame_folder, fps=3) as video:
        assert video.info.duration == 4.0
        assert video.read([]).shape == (0, 3, 48, 64)


def test_a_folder_of_frames_in_the_processor(frame_folder: Path) -> None:
    processor = ClipBertVideoProcessor(size={"longest_edge": 64}, num_clips=2)
    result = processor([frame_folder], video_metadata=[{"fps": 3}], return_metadata=True)
    # L = 2 / 2 * 3 = 3 frames, delta = 9: starts 0 and 4.5, the last frame of a clip is start + 2
    assert result.frame_indices.tolist() == [[[0, 2], [4, 6]]]


def test_an_image_in_a_folder_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(numbered_frame(9)).save(tmp_path / "only.png")
    assert probe_video(tmp_path) == VideoInfo(frames=1, fps=1.0, duration=1.0, height=48, width=64)


def test_folders_that_are_no_videos(tmp_path: Path) -> None:
    with pytest.raises(VideoDecodeError, match="holds no images"):
        probe_video(tmp_path)
    Image.fromarray(numbered_frame(0)).save(tmp_path / "0.png")
    Image.fromarray(numbered_frame(1, 32, 32)).save(tmp_path / "1.png")
    with pytest.raises(VideoDecodeError, match="expected 64x48 as the folder's first image, got 32x32") as error:
        read_video_frames(tmp_path, [0, 1])
    assert error.value.path == str(tmp_path / "1.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(VideoDecodeError, match="UnidentifiedImageError"):
        read_video_frames(tmp_path, [1])
    assert read_numbers(read_video_frames(tmp_path, [0])) == [0]
    (tmp_path / "2.png").mkdir()
    with pytest.raises(VideoDecodeError, match=r"2\.png is not a file"):
        probe_video(tmp_path)


# -- torchcodec decoders -----------------------------------------------------------------------------------------


def decoded(rows: list[Any], **options: Any) -> list[Any]:
    """Rows of a data set with decoded videos; skips where torchcodec cannot decode."""
    import datasets

    try:
        from torchcodec.decoders import VideoDecoder  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec is not usable: {str(error).splitlines()[0]}")
    features = datasets.Features({"video": datasets.Video(**options)})
    try:
        return [row["video"] for row in datasets.Dataset.from_dict({"video": rows}, features=features)]
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec is not usable: {str(error).splitlines()[0]}")


def test_decoders_of_datasets_are_read_from_their_file(tmp_path: Path) -> None:
    path, trimmed = tmp_path / "clip.mp4", tmp_path / "trimmed.mp4"
    write_video(path, [numbered_frame(number) for number in range(40)], options={"g": "8", "bf": "3"})
    numbers = trim_by_stream_copy(13)(path, trimmed)
    decoders = decoded([str(path), {"bytes": path.read_bytes(), "path": None}, str(trimmed)])
    for decoder in decoders[:2]:
        assert is_single_video(decoder)
        assert probe_video(decoder) == probe_video(path)
        assert read_numbers(read_video_frames(decoder, [33, 4])) == [33, 4]
    # what the decoder itself would get wrong
    assert read_numbers(read_video_frames(decoders[2], [0, 20])) == [numbers[0], numbers[20]]
    pixels = ClipBertVideoProcessor(size={"longest_edge": 64}, num_clips=1)(decoders).pixel_values_videos
    assert pixels.shape == (3, 1, 2, 3, 64, 64)


def test_the_stream_of_a_decoder_is_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", [numbered_frame(number) for number in range(20)])
    with_second_stream(tmp_path / "one.mp4", tmp_path / "two.mp4")
    path = str(tmp_path / "two.mp4")
    best, first = decoded([path])[0], decoded([path], stream_index=0)[0]
    assert read_numbers(read_video_frames(best, [7])) == [7]
    assert read_video_frames(first, [7]).shape == (1, 3, 24, 32)


def test_decoders_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, [numbered_frame(0)] * 3)
    decoder = type(decoded([str(path)])[0])(str(path))
    with pytest.raises(InvalidInputError, match="must come out of datasets"):
        probe_video(decoder)


# -- sources -----------------------------------------------------------------------------------------------------


def test_encoded_sources(plain: Path) -> None:
    data = plain.read_bytes()
    written = io.BytesIO()
    written.write(data)  # its position is at the end
    rows = [
        {"bytes": None, "path": str(plain)},
        {"bytes": data, "path": None},
        {"bytes": data, "path": "there/is/none.mp4"},
    ]
    with plain.open("rb") as file:
        for source in (str(plain), plain, data, bytearray(data), memoryview(data), written, written, file, *rows):
            assert read_numbers(read_video_frames(source, [21, 2])) == [21, 2]


def test_frames_in_memory() -> None:
    frames = np.stack([numbered_frame(number) for number in range(6)])
    reversed_rows = frames[:, ::-1]
    read_only = frames.copy()
    read_only.flags.writeable = False
    channels_first = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    images = [Image.fromarray(frame) for frame in frames]
    sources = [frames, reversed_rows, read_only, channels_first, images, list(frames), tuple(torch.from_numpy(frames))]
    for source in [*sources, torch.from_numpy(frames), torch.from_numpy(channels_first)]:
        assert probe_video(source) == VideoInfo(frames=6, fps=25.0, duration=0.24, height=48, width=64)
        assert read_numbers(read_video_frames(source, [5, 0, 0])) == [5, 0, 0]
    with open_video(frames, fps=12) as video:
        assert video.info.duration == 0.5
    assert read_numbers(read_video_frames(frames[3], [0])) == [3]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "expected a path, a URL, bytes, a binary file object, .* got NoneType"),
        (7, "got int"),
        ({"video": "a.mp4"}, "a mapping needs 'bytes' or 'path', got \\['video'\\]"),
        ([], "a list must hold frames"),
        ([b"", 1], "a list must hold frames .* got \\['bytes', 'int'\\]"),
        (io.StringIO("text"), "binary mode"),
        (np.zeros((4, 5, 5), dtype=np.uint8), r"shape \(n, 3, h, w\) or \(n, h, w, 3\), got \(1, 4, 5, 5\)"),
        (np.zeros((0, 3, 4, 4), dtype=np.uint8), "expected frames of shape"),
        (np.zeros((2, 3, 4, 4), dtype=np.float32), "expected uint8 frames .* got torch.float32"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "must have one size"),
    ],
)
def test_sources_that_are_none(source: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        probe_video(source)


@pytest.mark.parametrize(
    ("value", "single"),
    [
        ("a.mp4", True),
        (b"bytes", True),
        ({"path": "a.mp4"}, True),
        (np.zeros((2, 3, 4, 4)), True),
        (np.zeros((2, 2, 3, 4, 4)), False),
        ([Image.new("RGB", (2, 2))] * 2, True),
        ([np.zeros((3, 4, 4))], True),
        ([np.zeros((2, 3, 4, 4))], False),
        (["a.mp4", "b.mp4"], False),
        (("a.mp4",), False),
        ([[Image.new("RGB", (2, 2))]], False),
        ([], False),
    ],
)
def test_one_video_or_several(value: Any, single: bool) -> None:
    assert is_single_video(value) == single


# -- over the network --------------------------------------------------------------------------------------------


@pytest.fixture
def server(plain: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server with the plain video, a slow answer, a missing page and redirections."""
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            redirections = {"/moved": "/clip.mp4", "/away": "ftp://127.0.0.1/clip.mp4", "/local": plain.as_uri()}
            if self.path in redirections:
                self.send_response(302)
                self.send_header("Location", redirections[self.path])
                self.end_headers()
            elif self.path == "/clip.mp4":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(plain.read_bytes())
            elif self.path == "/slow":
                self.send_response(200)
                self.end_headers()
                with suppress(ConnectionError):  # the client leaves
                    for _ in range(20):
                        time.sleep(0.1)
                        self.wfile.write(b"x")
            else:
                self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.mark.parametrize("page", ["/clip.mp4", "/moved"])
def test_urls(server: str, page: str) -> None:
    assert read_numbers(read_video_frames(server + page, [30])) == [30]


@pytest.mark.parametrize(
    ("page", "limits", "reason"),
    [
        ("/missing", {}, "HTTP Error 404"),
        ("/away", {}, "the download failed"),
        ("/local", {}, "the download failed"),
        ("/clip.mp4", {"max_bytes": 100}, "larger than 100 bytes"),
        ("/slow", {"timeout": 0.3}, "longer than 0.3 s"),
    ],
)
def test_failing_downloads(server: str, page: str, limits: dict[str, Any], reason: str) -> None:
    with pytest.raises(VideoDecodeError, match=reason) as error:
        download(server + page, **limits)
    assert error.value.path == server + page


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(VideoDecodeError, match="the download failed"):
        probe_video("http://127.0.0.1:9/clip.mp4")
