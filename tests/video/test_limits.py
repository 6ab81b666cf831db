"""What a hostile or a huge video may cost: one error before memory is taken or time is lost."""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from video_files import numbered_frame, read_numbers, write_animation, write_video

from clipbert_hf.errors import InvalidInputError, VideoDecodeError
from clipbert_hf.model.video_processing_clipbert import ClipBertVideoProcessor
from clipbert_hf.video.limits import DEFAULT_LIMITS, DecodingLimits
from clipbert_hf.video.reading import open_video, probe_video, read_video_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Path]:
    """Videos of 40 frames of 64x48 at 10 fps, an animation of 12 and a folder of 5."""
    frames = [numbered_frame(number) for number in range(40)]
    paths = {name: folder / f"clip.{name}" for name in ("mp4", "webm", "ts", "avi", "gif", "png")}
    write_video(paths["mp4"], frames, options={"g": "8"})
    write_video(paths["webm"], frames, codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"})
    write_video(paths["ts"], frames, options={"g": "8"})
    write_video(paths["avi"], frames, codec="mpeg4")
    write_animation(paths["gif"], frames=12)
    write_animation(paths["png"], frames=12)
    paths["wide webm"] = folder / "wide.webm"
    write_video(paths["wide webm"], [numbered_frame(number, 256, 256) for number in range(3)], codec="libvpx-vp9")
    paths["folder"] = folder / "frames"
    paths["folder"].mkdir()
    for number in range(5):
        Image.fromarray(numbered_frame(number)).save(paths["folder"] / f"{number}.png")
    return paths


KINDS = ["mp4", "webm", "ts", "avi", "gif", "png", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_limits_that_just_fit(kind: str, files: dict[str, Path]) -> None:
    limits = DecodingLimits(max_pixels=64 * 48, max_frames=40, max_duration=4.0, max_decoded_bytes=2 * 64 * 48 * 3)
    assert read_numbers(read_video_frames(files[kind], [3, 1], limits=limits)) == [3, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_pixels": 64 * 48 - 1}, r"frames of 64x48 have more than 3071 pixels \(max_pixels\)"),
        ({"max_frames": 4}, r"its \d+ frames are more than 4 \(max_frames\)"),
        ({"max_duration": 0.19}, r"longer than 0.19 s \(max_duration\)"),
        ({"max_decoded_bytes": 27_000}, r"3 frames of 64x48 are 27648 bytes, more than 27000 \(max_decoded_bytes\)"),
        ({"max_seconds": 1e-9}, r"takes longer than 1e-09 s \(max_seconds\)"),
    ],
)
def test_limits_that_are_passed(kind: str, limits: dict[str, float], reason: str, files: dict[str, Path]) -> None:
    with (
        pytest.raises(VideoDecodeError, match=reason),
        open_video(files[kind], limits=DecodingLimits(**limits)) as video,
    ):
        video.read([0, 1, 2])


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_back_ends_keep_the_limits(backend: Any, files: dict[str, Path]) -> None:
    for limits in (DecodingLimits(max_pixels=100), DecodingLimits(max_decoded_bytes=100)):
        with pytest.raises(VideoDecodeError, match=r"max_pixels|max_decoded_bytes"):
            read_video_frames(files["mp4"], [0], backend=backend, limits=limits)


def test_a_reader_may_be_kept_longer_than_one_read_may_take(files: dict[str, Path]) -> None:
    with open_video(files["mp4"], limits=DecodingLimits(max_seconds=1.0)) as video:
        time.sleep(1.1)
        assert read_numbers(video.read([7])) == [7]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header declares a size; there is hardly any data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def with_mp4_size(data: bytes, width: int, height: int) -> bytes:
    """Declare a size in the sample description of an mp4 file; the encoded pictures stay small."""
    place = data.index(b"avc1", data.index(b"stsd")) + 28
    return data[:place] + struct.pack(">HH", width, height) + data[place + 4 :]


def bombs(files: dict[str, Path]) -> dict[str, bytes]:
    """Small files that declare huge pictures, or huge numbers of them."""
    gif = bytearray(files["gif"].read_bytes())
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    mp4 = files["mp4"].read_bytes()
    many = bytearray(mp4)
    place = many.index(b"stsz") + 8
    many[place : place + 8] = struct.pack(">II", 1, 2_000_000_000)
    long = bytearray(mp4)
    place = long.index(b"stts") + 12
    long[place : place + 8] = struct.pack(">II", 0x7FFFFFFF, 0x7FFFFFFF)
    webm = files["wide webm"].read_bytes()
    place = webm.index(b"\xb0\x82\x01\x00\xba\x82\x01\x00")  # PixelWidth and PixelHeight 256, two bytes each
    wide = webm[:place] + b"\xb0\x82\xff\xff\xba\x82\xff\xff" + webm[place + 8 :]
    return {
        "gif": bytes(gif),
        "png": png_of_size(60_000, 60_000),
        "mp4 size": with_mp4_size(mp4, 65_000, 65_000),
        "mp4 packets": bytes(many),
        "mp4 times": bytes(long),
        "webm size": wide,
    }


@pytest.mark.parametrize("name", ["gif", "png", "mp4 size", "mp4 packets", "mp4 times", "webm size"])
def test_bombs_go_off_in_no_one_s_memory(name: str, files: dict[str, Path]) -> None:
    before = peak_megabytes()
    start = time.monotonic()
    with suppress(VideoDecodeError), open_video(bombs(files)[name]) as video:
        # or the declaration is not believed, though FFmpeg concludes from it that pixels are 4:3
        assert (video.info.width, video.info.height) in ((64, 48), (85, 48), (256, 256))
        video.read([0, video.frames - 1])
    assert time.monotonic() - start < 5
    assert peak_megabytes() - before < 100


def peak_megabytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells how much memory a process has used")
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def test_a_picture_that_grows_in_the_middle_is_noticed(folder: Path) -> None:
    """The container declares the small size of the first part; the second part comes in another."""
    from video_files import with_new_size

    write_video(folder / "small.webm", [numbered_frame(number) for number in range(10)], codec="libvpx-vp9")
    with_new_size(folder / "small.webm", folder / "grows.webm")
    assert read_numbers(read_video_frames(folder / "grows.webm", [2, 15])) == [2, 15]
    limits = DecodingLimits(max_pixels=64 * 48)
    with pytest.raises(VideoDecodeError, match="frames of 128x80 have more than 3072 pixels"):
        read_video_frames(folder / "grows.webm", [2, 15], limits=limits)


# -- paths -------------------------------------------------------------------------------------------------------


def test_paths_must_stay_in_the_root(files: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    inside = root / "clip.mp4"
    inside.write_bytes(files["mp4"].read_bytes())
    (root / "alias.mp4").symlink_to(inside)
    (root / "escape.mp4").symlink_to(files["mp4"])
    (root / "escape").symlink_to(files["folder"])
    (root / "frames").mkdir()
    (root / "frames" / "1.png").symlink_to(files["folder"] / "1.png")
    sibling = tmp_path / "root-2"
    sibling.mkdir()
    (sibling / "clip.mp4").write_bytes(b"secret")
    limits = DecodingLimits(root=root)
    for path in (inside, root / "alias.mp4", {"path": str(inside), "bytes": None}):
        assert probe_video(path, limits=limits).frames == 40
    outside = ["escape.mp4", "../root-2/clip.mp4", "escape", "frames", "../../etc/passwd", "/etc/passwd"]
    for path in [*(root / name for name in outside[:-1]), Path(outside[-1])]:
        with pytest.raises(VideoDecodeError, match=r"outside of .* \(root\)|no such file"):
            probe_video(path, limits=limits)
        with pytest.raises(VideoDecodeError):
            probe_video({"path": str(path), "bytes": None}, limits=limits)
    # without a root, links are followed
    assert probe_video(root / "escape.mp4").frames == 40


def test_links_that_lead_nowhere_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "circle.mp4").symlink_to(tmp_path / "circle.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, reason in [
        ("dangling.mp4", "symbolic link that leads nowhere, to .*gone.mp4"),
        ("circle.mp4", "symbolic link that leads nowhere"),
        ("pipe.mp4", "a device or a pipe"),
        ("nul\0.mp4", "no such file"),
        ("n" * 5000, "no such file"),
    ]:
        with pytest.raises(VideoDecodeError, match=reason):
            probe_video(tmp_path / name)
    with pytest.raises(VideoDecodeError, match="a device or a pipe"):
        probe_video("/dev/zero")


def test_a_file_that_may_not_be_read(files: dict[str, Path], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    path = tmp_path / "locked.mp4"
    path.write_bytes(files["mp4"].read_bytes())
    path.chmod(0)
    with pytest.raises(VideoDecodeError, match="Permission denied"):
        probe_video(path)


def test_endless_sources(files: dict[str, Path]) -> None:
    with (
        open("/dev/zero", "rb") as endless,
        pytest.raises(VideoDecodeError, match=r"more than 1000000 bytes \(max_source_bytes\)"),
    ):
        probe_video(endless, limits=DecodingLimits(max_source_bytes=1e6))
    reading, writing = os.pipe()
    data = files["mp4"].read_bytes()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(data)

    threading.Thread(target=write).start()
    with os.fdopen(reading, "rb") as pipe:
        assert probe_video(pipe).frames == 40


# -- the limits themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_pixels": 0}, "max_pixels must be a positive number, got 0"),
        ({"max_seconds": float("nan")}, "max_seconds must be a positive number"),
        ({"max_seconds": "5"}, "max_seconds must be a positive number"),
        ({"max_frames": True}, "max_frames must be a positive number"),
        ({"root": 5}, "root must be a folder, got 5"),
        ({"max_pixel": 5}, "there is no limit 'max_pixel'; there are max_pixels, max_duration"),
    ],
)
def test_limits_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        DecodingLimits.from_options(options)


def test_limits_of_a_processor(files: dict[str, Path], tmp_path: Path) -> None:
    assert DecodingLimits.from_options(None) is DEFAULT_LIMITS
    limits = {"max_pixels": 1000, "max_seconds": 5.0}
    processor = ClipBertVideoProcessor(size={"longest_edge": 32}, decoding_limits=limits, num_clips=1)
    processor.save_pretrained(tmp_path)
    for each in (processor, ClipBertVideoProcessor.from_pretrained(tmp_path)):
        assert each.decoding_limits == limits
        with pytest.raises(VideoDecodeError, match="more than 1000 pixels"):
            each(files["mp4"])
    assert processor(files["mp4"], decoding_limits={}).pixel_values_videos.shape == (1, 1, 2, 3, 32, 32)
    assert processor(np.zeros((2, 90, 90, 3), np.uint8)).pixel_values_videos.shape[1:3] == (1, 2)


def test_infinite_limits(files: dict[str, Path]) -> None:
    infinite = float("inf")
    limits = DecodingLimits(infinite, infinite, infinite, infinite, infinite, infinite, infinite)
    for kind in KINDS:
        assert read_numbers(read_video_frames(files[kind], [4], limits=limits)) == [4]
    with files["mp4"].open("rb") as file:
        assert probe_video(file, limits=limits).frames == 40
