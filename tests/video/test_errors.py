"""Which errors become a VideoDecodeError, and which must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video import pyav_reader
from clipbert_hf.video.pyav_reader import FFMPEG_ERRORS, PyAVReader
from clipbert_hf.video.reader import decoding
from clipbert_hf.video.reading import open_video, probe_video, read_video_frames


@pytest.mark.parametrize(
    "error",
    [MemoryError("no memory"), AttributeError("a typo"), TypeError("x"), KeyError("x"), NotImplementedError("x")],
)
def test_mistakes_and_want_of_memory_pass(error: Exception, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)) as raised, decoding("clip.mp4", "pyav", *FFMPEG_ERRORS):
        raise error
    assert raised.value is error

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(PyAVReader, "_index", fail)
        with pytest.raises(type(error)):
            open_video(plain)
    with open_video(plain) as video:
        monkeypatch.setattr(PyAVReader, "_pixels", fail)
        with pytest.raises(type(error)):
            video.read([0])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), r"the file cannot be read \(Permission denied\)"),
        (RuntimeError("first line\nsecond"), r"damaged, cut short or of an unknown kind \(RuntimeError: first line\)"),
        (EOFError(), r"damaged, cut short or of an unknown kind \(EOFError: no message\)"),
        (FFMPEG_ERRORS[0](1, "Invalid data found"), r"of an unknown kind \(FFmpegError: Invalid data found\)"),
        (pyav_reader.av.error.MemoryError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        (pyav_reader.av.error.NotImplementedError(38, "Function not implemented"), "Function not implemented"),
    ],
)
def test_errors_of_decoders_are_told_in_plain_words(error: Exception, reason: str) -> None:
    with pytest.raises(VideoDecodeError, match=reason) as raised, decoding("clip.mp4", "pyav", *FFMPEG_ERRORS):
        raise error
    assert raised.value.__cause__ is error


def test_a_codec_that_no_one_knows(plain: Path, tmp_path: Path) -> None:
    torn = tmp_path / "unknown.mp4"
    torn.write_bytes(plain.read_bytes().replace(b"avc1", b"qqqq"))
    with pytest.raises(VideoDecodeError, match=r"unknown"):
        probe_video(torn)
    with pytest.raises(VideoDecodeError) as raised:
        read_video_frames(torn, [0])
    assert "attribute" not in str(raised.value)


def test_a_stream_without_a_size(plain: Path, tmp_path: Path) -> None:
    data = plain.read_bytes()
    place = data.index(b"avc1", data.index(b"stsd"))
    torn = tmp_path / "no-size.mp4"
    # Without the decoder's description, which would tell it too, nothing is left to learn the size from.
    torn.write_bytes(data[: place + 28] + bytes(4) + data[place + 32 :].replace(b"avcC", b"free"))
    with pytest.raises(VideoDecodeError):
        read_video_frames(torn, [0])
