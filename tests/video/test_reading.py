"""The right frame from every kind of file and source, and one clear error from everything else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from video_files import (
    FPS,
    RECIPES,
    Recipe,
    decode_everything,
    numbered_frame,
    read_number,
    read_numbers,
    real_clip,
    write_animation,
    write_audio_only,
    write_model_code,
    write_video,
)

from clipbert_hf.errors import InvalidInputError, VideoDecodeError
from clipbert_hf.video.reading import VideoInfo, open_video, probe_video, read_video_frames

# What decord and torchcodec are known to get wrong, would have to guess at, or cannot open.
REFUSED_BY_BOTH = {
    # containers without presentation times, or that rewrite them
    *("h264.avi", "mpeg4-b.avi", "xvid.avi", "msmpeg4.avi", "motion.avi", "huffyuv.avi", "wmv2.asf", "clip.flv"),
    *("clip.ts", "hevc.ts", "mpeg2.ts", "trimmed.ts", "negative-times.ts", "one-frame.ts", "wrapped-times.flv"),
    *("mpeg1.mpg", "mpeg2.mpg", "mpeg2.mxf", "elementary.h264", "elementary.hevc", "vp9.ivf"),
    *("ffmpeg.gif", "one-frame.gif"),
    # codecs of which a packet is not always a frame
    *("mpeg4-b.mp4", "h263.3gp", "mpeg2.mkv", "vp8-alt-ref.webm", "alpha-runs.mov"),
    # frames that depend on others across a keyframe, are hidden, or come before the beginning
    *("open-gop.mp4", "hevc-open.mkv", "intra-refresh.mp4", "trimmed.mp4", "trimmed.mov", "trimmed-hevc.mp4"),
    *("negative-times.mp4", "missing-times.mkv", "mirrored.mp4", "mirrored-90.mp4"),
    "alpha.mov",  # frames that are laid on a ground
}
REFUSED = {
    "decord": REFUSED_BY_BOTH
    | {"rotated-90.mp4", "rotated-180.mp4", "rotated-270.mov", "two-streams.mp4", "tiny.mp4"}
    | {"av1.webm", "av1.mp4", "av1.mkv", "ten-bit.webm"},
    "torchcodec": REFUSED_BY_BOTH | {"new-size.webm"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def natural() -> list[np.ndarray]:
    """A real scene of 75 small frames."""
    return decode_everything(real_clip("carphone_pristine"))[:75]


def upright(frames: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    frames = frames.flip(3) if recipe.is_mirrored else frames
    return frames.rot90(-recipe.rotation // 90, dims=(2, 3))


# -- the right frame ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_frame_carries_the_number_that_was_asked_for(
    recipe: Recipe, numbered: Callable[[str], tuple[Path, list[int]]]
) -> None:
    path, numbers = numbered(recipe.name)
    with open_video(path) as video:
        assert video.frames == len(numbers)
        assert read_numbers(upright(video.read(range(video.frames)), recipe)) == numbers
    generator = np.random.default_rng(0)
    for _ in range(4):  # unsorted, repeated, and by a reader that has not read anything else
        indices = generator.integers(0, len(numbers), size=5)
        frames = read_video_frames(path, indices)
        assert frames.dtype == torch.uint8
        assert read_numbers(upright(frames, recipe)) == [numbers[index] for index in indices]


HARD_TO_SEEK = {
    "intra-refresh.mp4": ("libx264", {"g": "24", "x264-params": "intra-refresh=1:bframes=0"}),
    "intra-refresh-b.mp4": ("libx264", {"g": "24", "x264-params": "intra-refresh=1:bframes=2"}),
    "interlaced.mp4": ("libx264", {"g": "12", "flags": "+ildct+ilme", "x264-params": "tff=1:bframes=3"}),
    "pyramid.mkv": ("libx264", {"g": "30", "bf": "8", "x264-params": "b-pyramid=normal:b-adapt=0:open-gop=1:ref=6"}),
    "temporal-layers.mp4": ("libx265", {"x265-params": "log-level=none:keyint=20:bframes=4:temporal-layers=3"}),
    "alt-ref.webm": ("libvpx-vp9", {"g": "16", "lag-in-frames": "12", "auto-alt-ref": "6", "cpu-used": "8"}),
}


@pytest.mark.parametrize("name", HARD_TO_SEEK)
def test_real_pictures_are_bit_identical_in_streams_that_are_hard_to_seek(
    name: str, folder: Path, natural: list[np.ndarray]
) -> None:
    codec, options = HARD_TO_SEEK[name]
    path = folder / f"hard-{name}"
    write_video(path, natural, codec=codec, options=options)
    everything = decode_everything(path)
    for index in range(0, len(everything), 5):
        indices = [index, min(index + 3, len(everything) - 1)]
        for frame, wanted in zip(read_video_frames(path, indices), indices, strict=True):
            assert np.array_equal(frame.permute(1, 2, 0).numpy(), everything[wanted]), wanted


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_other_back_ends_are_right_or_refuse(
    recipe: Recipe, backend: Any, numbered: Callable[[str], tuple[Path, list[int]]], plain: Path
) -> None:
    skip_unless_usable(backend, plain)
    path, numbers = numbered(recipe.name)
    indices = np.random.default_rng(1).integers(0, len(numbers), size=7)
    if recipe.name in REFUSED[backend]:
        with pytest.raises(VideoDecodeError) as error:
            read_video_frames(path, indices, backend=backend)
        assert error.value.backend == backend
        return
    frames = read_video_frames(path, indices, backend=backend)
    assert read_numbers(upright(frames, recipe)) == [numbers[index] for index in indices]
    # deeper pixels are rounded to 8 bits in different ways
    assert torch.equal(frames, read_video_frames(path, indices)) or "10" in recipe.pixel_format
    assert probe_video(path, backend=backend) == probe_video(path)
    assert torch.equal(frames, read_video_frames(path.read_bytes(), indices, backend=backend))


def skip_unless_usable(backend: Any, plain: Path) -> None:
    try:
        read_video_frames(plain, [0], backend=backend, square_pixels=False)
    except VideoDecodeError as error:
        if "not installed" in error.reason:
            pytest.skip(error.reason)
        raise


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny", "carphone_pristine"])
def test_real_clips_are_bit_identical_to_decoding_everything(name: str, backend: Any) -> None:
    path = real_clip(name)
    if backend == "decord":
        skip_unless_usable(backend, path)
    everything = decode_everything(path)
    generator = np.random.default_rng(2)
    with open_video(path, backend=backend, square_pixels=False) as video:  # those of carphone are not square
        assert video.frames == len(everything)
        for indices in ([0, len(everything) - 1], generator.integers(0, len(everything), size=9)):
            for index, frame in zip(indices, video.read(indices), strict=True):
                assert np.array_equal(frame.permute(1, 2, 0).numpy(), everything[index])


def test_facts_about_a_video(numbered: Callable[[str], tuple[Path, list[int]]], plain: Path) -> None:
    assert probe_video(plain) == VideoInfo(frames=40, fps=FPS, duration=4.0, height=48, width=64)
    assert probe_video(real_clip("bikes")) == VideoInfo(frames=250, fps=25.0, duration=10.0, height=272, width=640)
    turned = probe_video(numbered("rotated-90.mp4")[0])
    assert (turned.height, turned.width) == (96, 64)


# Which corner of the picture the upper left one of the stored picture comes to, as ffmpeg's own player shows it.
CORNERS = {
    (0, False, False): "upper left",
    (90, False, False): "lower left",
    (180, False, False): "lower right",
    (270, False, False): "upper right",
    (0, True, False): "upper right",
    (0, False, True): "lower left",
    (90, True, False): "lower right",
    (90, False, True): "upper left",
}


@pytest.mark.parametrize(("degrees", "mirrored", "upside_down"), CORNERS)
def test_turned_and_mirrored_videos(degrees: int, mirrored: bool, upside_down: bool, folder: Path) -> None:
    path = folder / f"turned-{degrees}-{mirrored}-{upside_down}.mp4"
    corner = np.zeros((48, 64, 3), dtype=np.uint8)
    corner[:24, :32] = 255
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored, vflip=upside_down)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(corner, format="rgb24")))
        container.mux(stream.encode(None))
    frame = read_video_frames(path, [1])[0]
    assert frame.shape == ((3, 64, 48) if degrees == 90 or degrees == 270 else (3, 48, 64))
    rows, columns = (int(index) for index in np.unravel_index(int(frame[0].argmax()), frame[0].shape))
    is_lower, is_right = rows >= frame.shape[1] // 2, columns >= frame.shape[2] // 2
    assert (
        f"{'lower' if is_lower else 'upper'} {'right' if is_right else 'left'}"
        == CORNERS[(degrees, mirrored, upside_down)]
    )


def test_a_turned_video_is_shown_upright(numbered: Callable[[str], tuple[Path, list[int]]]) -> None:
    # The encoder was told to turn frames counterclockwise: what was at the left comes to the bottom.
    frame = read_video_frames(numbered("rotated-90.mp4")[0], [1])[0].float().mean(dim=0)
    assert frame.shape == (96, 64)
    assert frame[-6:].mean() > 200
    assert frame[:-18].mean() < 50


def test_times_of_frames_at_a_variable_rate(numbered: Callable[[str], tuple[Path, list[int]]]) -> None:
    with open_video(numbered("variable-rate.mp4")[0]) as video:
        expected = [(number + number // 5 * 7) / FPS for number in range(40)]
        np.testing.assert_allclose(video.frame_seconds, expected)
        assert video.fps == pytest.approx(39 / expected[-1], rel=0.03)


def test_no_indices_give_no_frames(plain: Path) -> None:
    assert read_video_frames(plain, []).shape == (0, 3, 48, 64)


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(st.lists(st.integers(0, 39), min_size=1, max_size=8), min_size=1, max_size=4))
def test_any_indices_in_any_order_from_one_reader(plain: Path, requests: list[list[int]]) -> None:
    with open_video(plain) as video:
        for indices in requests:
            assert read_numbers(video.read(indices)) == indices


# -- images and animations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animations(ending: str, folder: Path) -> None:
    path = folder / f"animation.{ending}"
    write_animation(path, frames=12, milliseconds=200)
    indices = [11, 0, 3, 3, 7]
    assert probe_video(path) == VideoInfo(frames=12, fps=5.0, duration=2.4, height=48, width=64)
    assert read_numbers(read_video_frames(path, indices)) == indices
    assert read_numbers(read_video_frames(path.read_bytes(), indices)) == indices
    with open_video(path) as video:
        np.testing.assert_allclose(video.frame_seconds, np.arange(12) * 0.2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_still_images_are_videos_of_one_frame(mode: str, folder: Path) -> None:
    rgb = Image.fromarray(numbered_frame(0b10110010))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) << 8)
    else:
        image = rgb.convert(mode)
    path = folder / f"still-{mode.replace(';', '')}.{'tiff' if mode == 'CMYK' else 'png'}"
    image.save(path)
    for source in (path, image):
        assert probe_video(source) == VideoInfo(frames=1, fps=1.0, duration=1.0, height=48, width=64)
        frames = read_video_frames(source, [0, 0])
        assert frames.shape == (2, 3, 48, 64)
        assert read_numbers(frames) == [0b10110010] * 2


def test_photographs_are_turned_as_their_tag_says(folder: Path) -> None:
    path = folder / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(numbered_frame(0b00001111)).rotate(90, expand=True).save(path, exif=exif, quality=95)
    info = probe_video(path)
    assert (info.height, info.width) == (48, 64)
    assert read_number(read_video_frames(path, [0])[0]) == 0b00001111


# -- everything else is one clear error --------------------------------------------------------------------------


def write_bytes(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def write_text(folder: Path, name: str) -> Path:
    return write_bytes(folder / name, b"this is not a video\n" * 50)


def half_of(path: Path) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        data = path.read_bytes()
        return write_bytes(folder / f"half-{path.name}", data[: len(data) // 2])

    return cut


def write_audio(folder: Path) -> Path:
    write_audio_only(folder / "audio.mp4")
    return folder / "audio.mp4"


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("make", "backend", "reason"),
    [
        (lambda folder: folder / "missing.mp4", "file", "there is no such file"),
        (lambda folder: "concat:a.mp4|b.mp4", "file", "there is no such file"),
        (lambda folder: write_bytes(folder / "text" / "a.txt", b"a").parent, "file", "the folder holds no images"),
        (lambda folder: write_bytes(folder / "empty.mp4", b""), "file", "empty"),
        (lambda folder: b"", "bytes", "no data"),
        (lambda folder: "gopher://host/clip.mp4", "url", "expected a path or a URL that starts with one of"),
        (lambda folder: write_text(folder, "text.mp4"), "pyav", "damaged, cut short or no video"),
        (lambda folder: write_text(folder, "text.txt"), "pyav", "damaged, cut short or no video"),
        (lambda folder: write_bytes(folder / "list.m3u8", PLAYLIST), "pyav", "damaged, cut short or no video"),
        (lambda folder: write_bytes(folder / "broken.jpg", b"\xff\xd8\xff\xe0" + bytes(99)), "pillow", "Error"),
        (lambda folder: b"GIF89a" + bytes(20), "pyav", "damaged"),
        (write_audio, "pyav", "expected a video stream, found: audio"),
        (half_of(real_clip("bikes")), "pyav", "damaged, cut short or no video"),
    ],
)
def test_what_is_no_video(make: Callable[[Path], Any], backend: str, reason: str, folder: Path) -> None:
    source = make(folder)
    with pytest.raises(VideoDecodeError, match=reason) as error:
        read_video_frames(source, [0])
    assert error.value.backend == backend
    assert error.value.path in (str(source), "<bytes>")


def test_a_closed_file(plain: Path) -> None:
    with plain.open("rb") as file:
        pass
    with pytest.raises(VideoDecodeError, match="closed file"):
        probe_video(file)


def test_a_video_that_is_cut_short(numbered: Callable[[str], tuple[Path, list[int]]]) -> None:
    data = numbered("faststart.mp4")[0].read_bytes()
    with pytest.raises(VideoDecodeError, match=r"cut short: its index lists 40 packets, \d+ are there"):
        probe_video(data[: int(len(data) * 0.8)])


def test_a_video_without_frames(folder: Path) -> None:
    path = folder / "header.mp4"
    write_video(path, [numbered_frame(0)] * 2, container_options={"movflags": "frag_keyframe+empty_moov"})
    data = path.read_bytes()
    with pytest.raises(VideoDecodeError, match="not a single frame"):
        probe_video(data[: data.index(b"moof") - 4])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 40], "has frames 0 to 39, got 40"),
        ([-1], "got -1"),
        ([0.5], "expected a list of integers"),
        ([[0]], r"shape \(1, 1\)"),
        (["0"], "expected a list of integers"),
    ],
)
def test_frames_that_the_video_does_not_have(plain: Path, indices: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_video_frames(plain, indices)


def test_wrong_options(plain: Path) -> None:
    with pytest.raises(InvalidInputError, match="backend must be one of 'auto', 'pyav', 'decord', 'torchcodec'"):
        read_video_frames(plain, [0], backend="opencv")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="fps must be positive, got 0"):
        open_video(np.zeros((2, 3, 4, 4), dtype=np.uint8), fps=0)


@pytest.mark.parametrize("name", ["b-frames.mp4", "clip.mkv", "vp9.webm", "mpeg4-b.avi", "clip.ts"])
def test_damaged_files_give_frames_or_one_kind_of_error(
    name: str, numbered: Callable[[str], tuple[Path, list[int]]]
) -> None:
    data = numbered(name)[0].read_bytes()
    generator = np.random.default_rng(3)
    for trial in range(24):
        damaged = bytearray(data)
        if trial % 3 == 0:
            damaged = damaged[: generator.integers(1, len(data))]
        elif trial % 3 == 1:
            for place in generator.integers(0, len(data), size=30):
                damaged[place] ^= 1 << int(generator.integers(8))
        else:
            start = int(generator.integers(0, len(data)))
            damaged[start : start + 200] = bytes(len(damaged[start : start + 200]))
        try:
            with open_video(bytes(damaged)) as video:
                assert video.read([0, video.frames - 1, video.frames // 2]).shape[:2] == (3, 3)
        except VideoDecodeError:
            continue


# -- without the decoders ----------------------------------------------------------------------------------------

WITHOUT_DECODERS = """
import sys
for name in ("av", "decord", "torchcodec", "PIL"):
    sys.modules[name] = None  # an import of it now fails as if it were not installed
sys.path.insert(0, sys.argv[1])
import numpy as np
from flat.errors_clipbert import VideoDecodeError
from flat.video_reading_clipbert import open_video, read_video_frames
from flat.video_sources_clipbert import is_single_video
print(read_video_frames(np.zeros((2, 3, 4, 4), dtype=np.uint8), [1]).shape)
assert is_single_video([np.zeros((3, 4, 4))])
for source in sys.argv[2:]:
    for backend in ("auto", "decord"):
        try:
            open_video(source, backend=backend)
        except VideoDecodeError as error:
            print(error.backend, error.reason, sep=": ")
"""


def test_without_decoders(plain: Path, folder: Path) -> None:
    image, animation = folder / "image.png", folder / "bare.gif"
    Image.fromarray(numbered_frame(1)).save(image)
    write_animation(animation, frames=2)
    command = [sys.executable, "-c", WITHOUT_DECODERS, *map(str, (write_model_code(folder), plain, image, animation))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == [
        "torch.Size([1, 3, 4, 4])",
        "pyav: PyAV is not installed (pip install av)",
        "pyav: PyAV is not installed (pip install av)",
        "pillow: Pillow is not installed (pip install pillow)",
        "pillow: Pillow is not installed (pip install pillow)",
        "pillow: Pillow is not installed (pip install pillow)",
        "pyav: PyAV is not installed (pip install av)",
    ], result.stderr
