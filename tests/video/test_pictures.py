"""What is shown of a frame: its proportions, its colours, and what shows through it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video_files import FPS, decode_everything, numbered_frame, read_numbers, real_clip, write_video

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.errors import InvalidInputError, VideoDecodeError
from clipbert_hf.video.image_readers import PillowReader
from clipbert_hf.video.limits import DecodingLimits
from clipbert_hf.video.picture import FrameConverter, on_white, width_as_shown
from clipbert_hf.video.reading import open_video, probe_video, read_video_frames
from clipbert_hf.video.sources import EncodedVideo

# -- proportions -------------------------------------------------------------------------------------------------


def write_with_aspect(path: Path, aspect: Fraction, codec: str = "libx264", rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 90, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number, 90, 48), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts", "h264", "flv"])
@pytest.mark.parametrize(("aspect", "width"), [(Fraction(64, 45), 128), (Fraction(8, 9), 80)])
def test_pixels_that_are_not_square(ending: str, aspect: Fraction, width: int, tmp_path: Path) -> None:
    path = write_with_aspect(tmp_path / f"clip.{ending}", aspect)
    info, frames = probe_video(path), read_video_frames(path, [4, 1, 5])
    assert (info.width, info.height) == (width, 48)
    assert frames.shape == (3, 3, 48, width)
    assert read_numbers(frames) == [4, 1, 5]
    stored = probe_video(path, square_pixels=False)
    assert (stored.width, stored.height) == (90, 48)
    frames = read_video_frames(path, range(6), square_pixels=False)
    assert np.array_equal(frames.permute(0, 2, 3, 1), np.stack(decode_everything(path)))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_the_height_of_pixels_in_turned_videos(rotation: int, tmp_path: Path) -> None:
    path = write_with_aspect(tmp_path / "turned.mp4", Fraction(64, 45), rotation=rotation)
    info = probe_video(path)
    assert (info.width, info.height) == ((128, 48) if rotation == 180 else (48, 128))
    frames = read_video_frames(path, [5])
    assert frames.shape == (1, 3, info.height, info.width)
    assert read_numbers(frames.rot90(-rotation // 90, dims=(2, 3))) == [5]


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4095, 4096), Fraction(50), Fraction(1, 50)])
def test_shapes_of_pixels_that_leave_the_picture_as_it_is(aspect: Fraction, tmp_path: Path) -> None:
    path = write_with_aspect(tmp_path / "clip.mp4", aspect)
    assert (probe_video(path).width, probe_video(path).height) == (90, 48)
    assert np.array_equal(read_video_frames(path, [3])[0].permute(1, 2, 0), decode_everything(path)[3])


def test_widths() -> None:
    expected = {(720, "64/45"): 1024, (720, "16/15"): 768, (720, "8/9"): 640, (1440, "4/3"): 1920, (352, "12/11"): 384}
    for (width, aspect), shown in expected.items():
        assert width_as_shown(width, Fraction(aspect)) == shown
    assert [width_as_shown(720, aspect) for aspect in (None, Fraction(0), Fraction(-1), Fraction(11))] == [720] * 4


@given(width=st.integers(1, 10_000), aspect=st.fractions(min_value=-2, max_value=100, max_denominator=5000))
def test_any_width_stays_within_the_ratio(width: int, aspect: Fraction) -> None:
    shown = width_as_shown(width, aspect)
    assert shown == width or abs(shown - width * aspect) <= Fraction(1, 2) or shown == 1
    assert 1 <= shown <= 10 * width


def test_other_back_ends_take_pixels_as_stored_or_refuse() -> None:
    path = real_clip("carphone_pristine")  # 176x144, of pixels 128:117
    with pytest.raises(VideoDecodeError, match="pixels are not square"):
        open_video(path, backend="decord")
    assert (probe_video(path).width, probe_video(path).height) == (193, 144)
    frames = read_video_frames(path, [3], backend="decord", square_pixels=False)
    assert torch.equal(frames, read_video_frames(path, [3], square_pixels=False))


def test_limits_count_what_is_shown(tmp_path: Path) -> None:
    path = write_with_aspect(tmp_path / "clip.mp4", Fraction(9))
    with pytest.raises(VideoDecodeError, match=r"frames of 810x48 .* \(max_pixels\)"):
        probe_video(path, limits=DecodingLimits(max_pixels=810 * 48 - 1))
    with pytest.raises(VideoDecodeError, match=r"2 frames of 810x48 .* \(max_decoded_bytes\)"):
        read_video_frames(path, [0, 1], limits=DecodingLimits(max_decoded_bytes=2 * 810 * 48 * 3 - 1))


@pytest.mark.parametrize(("square_pixels", "size"), [(True, (128, 48)), (False, (90, 48))])
def test_the_processor_has_the_choice(square_pixels: bool, size: tuple[int, int], tmp_path: Path) -> None:
    path = write_with_aspect(tmp_path / "clip.mp4", Fraction(64, 45))
    processor = ClipBertVideoProcessor(size={"longest_edge": 32}, square_pixels=square_pixels)
    metadata = processor(path, return_metadata=True).video_metadata[0]
    assert (metadata.width, metadata.height) == size
    with pytest.raises(InvalidInputError, match="square_pixels must be True or False"):
        processor(path, square_pixels="yes")


# -- the rate of streams without a container -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("clip.h264", "libx264", Fraction(10)),
        ("clip.h264", "libx264", Fraction(30000, 1001)),
        ("clip.hevc", "libx265", Fraction(12)),
        ("clip.m2v", "mpeg2video", Fraction(30)),
        ("clip.m1v", "mpeg1video", Fraction(24)),
    ],
)
def test_streams_without_a_container(name: str, codec: str, rate: Fraction, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w", format=codec if "mpeg" in codec else None) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")))
        container.mux(stream.encode(None))
    with open_video(path) as video:
        assert video.frames == 12
        assert video.fps == pytest.approx(float(rate))
        assert video.duration == pytest.approx(12 / float(rate))
        np.testing.assert_allclose(video.frame_seconds, np.arange(12) / float(rate))
        assert read_numbers(video.read([7, 2])) == [7, 2]


# -- what shows through ------------------------------------------------------------------------------------------

RED, HALF, WHITE = [255, 0, 0], [127, 127, 255], [255, 255, 255]


def see_through() -> np.ndarray:
    """Opaque red at the left; at the right half transparent blue above what is not there at all, which is black."""
    pixels = np.zeros((48, 64, 4), dtype=np.uint8)
    pixels[:, :32] = [*RED, 255]
    pixels[:24, 32:] = [0, 0, 255, 128]
    return pixels


def colours(frame: torch.Tensor) -> list[list[int]]:
    """The colours in the middle of the three areas."""
    return [frame[:, y, x].tolist() for y, x in ((24, 16), (12, 48), (36, 48))]


def test_a_white_ground() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 255, 100, 128], [0, 255, 100, 1]]], dtype=np.uint8)
    assert on_white(pixels).tolist() == [[[10, 20, 30], [255, 255, 255], [127, 255, 177], [254, 255, 254]]]


@pytest.mark.parametrize("name", ["still.png", "still.webp", "still.tif", "moving.png", "moving.webp"])
def test_transparent_images_lie_on_white(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    image = Image.fromarray(see_through())
    options: dict[str, Any] = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    if name.startswith("moving"):
        options |= {"save_all": True, "append_images": [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]}
    image.save(path, **options)
    sources: list[Any] = [path, path.read_bytes()] + ([image, [image, image], tmp_path] if "still" in name else [])
    for source in sources:
        assert colours(read_video_frames(source, [0])[0]) == [RED, HALF, WHITE]
    if name.startswith("moving"):
        assert colours(read_video_frames(path, [1])[0].flip(2)) == [RED, HALF, WHITE]


def in_mode(mode: str) -> Image.Image:
    """A picture whose right half is transparent."""
    if mode in ("LA", "La", "PA"):
        image = Image.fromarray(np.stack([np.full((4, 8), 60), np.full((4, 8), 255)], axis=-1).astype(np.uint8), "LA")
        image.paste((0, 0), (4, 0, 8, 4))
        if mode == "PA":
            image.putpalette([grey for grey in range(256) for _ in range(3)])
        return image if mode == "PA" else image.convert(mode)
    if mode == "RGBa":
        return Image.fromarray(np.tile(np.uint8([[60, 60, 60, 255]] * 4 + [[0, 0, 0, 0]] * 4), (4, 1, 1))).convert(mode)
    image = Image.new(mode, (8, 4), {"RGB": (60, 60, 60), "I;16": 60 << 8}.get(mode, 60))
    image.paste({"RGB": (1, 2, 3)}.get(mode, 1), (4, 0, 8, 4))
    image.info["transparency"] = image.getpixel((4, 0))
    if mode == "P":
        image.putpalette([grey for grey in range(256) for _ in range(3)])
    return image


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBa", "RGB", "L", "P", "I;16"])
def test_every_way_of_saying_that_pixels_are_transparent(mode: str) -> None:
    frame = read_video_frames(in_mode(mode), [0])[0]
    assert frame[0].tolist() == frame[2].tolist() == [[60] * 4 + [255] * 4] * 4


def test_gifs_look_the_same_to_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "clear.gif"
    first = Image.new("P", (40, 30), 0)
    first.putpalette([0, 0, 0, 255, 0, 0, *[0] * 762])
    first.paste(1, (0, 5, 10, 6))
    second = first.copy()
    second.paste(1, (30, 20, 31, 21))
    first.save(path, save_all=True, append_images=[second], transparency=0, duration=100, disposal=1)
    frames = read_video_frames(path, [0, 1])
    assert [frames[n, :, 20, 30].tolist() for n in (0, 1)] == [WHITE, RED]
    assert frames[0, :, 5, 5].tolist() == RED
    with PillowReader(EncodedVideo(str(path), path=str(path))) as pillow:
        assert torch.equal(pillow.read([0, 1]), frames)


def write_see_through(path: Path, codec: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(see_through(), format="rgba").reformat(format=pixel_format, threads=1)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("clip.mov", "prores_ks", "yuva444p10le"),
        ("clip.mov", "qtrle", "argb"),
        ("clip.mov", "png", "rgba"),
        ("clip.mkv", "ffv1", "yuva444p"),
        ("clip.avi", "utvideo", "gbrap"),
    ],
)
def test_transparent_videos_lie_on_white(name: str, codec: str, pixel_format: str, tmp_path: Path) -> None:
    path = write_see_through(tmp_path / name, codec, pixel_format)
    np.testing.assert_allclose(colours(read_video_frames(path, [1])[0]), [RED, HALF, WHITE], atol=3)
    with pytest.raises(VideoDecodeError, match=r"transparent parts|does not tell which packet"):
        open_video(path, backend="decord")


def test_a_fourth_channel_that_is_no_transparency(tmp_path: Path) -> None:
    path = write_see_through(tmp_path / "plain.avi", "rawvideo", "bgra")
    assert colours(read_video_frames(path, [1])[0]) == [RED, [0, 0, 255], [0, 0, 0]]


def test_transparency_that_is_not_decoded_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_see_through(tmp_path / "clip.webm", "libvpx-vp9", "yuva420p")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            read_video_frames(path, [1])
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: FFmpeg does not decode its transparency; what is under it is shown"
    ]


# -- colours -----------------------------------------------------------------------------------------------------

WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def to_rgb(y: float, cb: float, cr: float, matrix: str) -> list[float]:
    """By the definition, from limited range."""
    red_weight, blue_weight = WEIGHTS[matrix]
    luma = (y - 16) / 219
    blue = luma + 2 * (1 - blue_weight) * (cb - 128) / 224
    red = luma + 2 * (1 - red_weight) * (cr - 128) / 224
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return [255 * value for value in (red, green, blue)]


def write_planes(path: Path, frame: av.VideoFrame, codec: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("height", [48, 720])
@pytest.mark.parametrize(
    ("tag", "matrix"), [(None, "bt601"), ("smpte170m", "bt601"), ("bt709", "bt709"), ("bt2020nc", "bt2020")]
)
@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_the_matrix_is_the_one_that_the_file_states(
    tag: str | None, matrix: str, height: int, backend: Any, tmp_path: Path
) -> None:
    values = (100, 90, 200)
    frame = av.VideoFrame(64, height, "yuv420p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    options = {"x264-params": f"colormatrix={tag}"} if tag else {}
    path = write_planes(tmp_path / "clip.mp4", frame, "libx264", options)
    found = read_video_frames(path, [1], backend=backend)[0, :, 20, 20].tolist()
    np.testing.assert_allclose(found, to_rgb(*values, matrix), atol=4)


TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
PATCHES = np.array(
    [[0, 0, 0], [64] * 3, [128] * 3, [192] * 3, [255] * 3, [180, 110, 90], [120, 170, 120], [90, 110, 170]]
)


def perceptual_quantizer(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, from display light to the signal."""
    power = (nits / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hybrid_log_gamma(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, from the light of a display of 1000 nits to the signal."""
    light = nits / 1000
    luminance = (light @ [0.2627, 0.678, 0.0593])[:, None]
    scene = light * np.maximum(luminance, 1e-9) ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def write_hdr(path: Path, curve: Callable[[np.ndarray], np.ndarray], transfer: str, *, primaries: str) -> Path:
    """Show PATCHES of an ordinary video on a display for HDR, white at 203 nits, from the left to the right."""
    light = np.clip((PATCHES / 255) ** 2.4 @ TO_BT2020.T, 0, None) * 203
    signal = curve(light)
    luma = signal @ [0.2627, 0.678, 0.0593]
    blue, red = (signal[:, 2] - luma) / 1.8814, (signal[:, 0] - luma) / 1.4746
    frame = av.VideoFrame(16 * len(PATCHES), 48, "yuv444p10le")
    for plane, row in zip(frame.planes, (64 + 876 * luma, 512 + 896 * blue, 512 + 896 * red), strict=True):
        pixels = np.zeros((48, plane.line_size // 2), dtype=np.uint16)
        pixels[:, : frame.width] = np.repeat(row.round(), 16)
        plane.update(pixels.tobytes())
    tags = f"colorprim={primaries}:transfer={transfer}:colormatrix=bt2020nc"
    return write_planes(path, frame, "libx265", {"x265-params": f"log-level=none:crf=2:{tags}"})


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="PyAV 17 converts no HDR")
@pytest.mark.parametrize(
    ("transfer", "curve", "primaries"),
    [("smpte2084", perceptual_quantizer, "bt2020"), ("arib-std-b67", hybrid_log_gamma, "undef")],
)
def test_hdr_looks_like_an_ordinary_video(
    transfer: str, curve: Callable[[np.ndarray], np.ndarray], primaries: str, tmp_path: Path
) -> None:
    path = write_hdr(tmp_path / "hdr.mkv", curve, transfer, primaries=primaries)
    frame = read_video_frames(path, [1])[0]
    np.testing.assert_allclose(frame[:, 24, 8::16].T, PATCHES, atol=8)
    np.testing.assert_allclose(frame[:, 24, 8:80:16].T, PATCHES[:5], atol=2)  # the grey ones
    with pytest.raises(VideoDecodeError, match="converted from HDR"):
        open_video(path, backend="decord")


def test_hdr_that_cannot_be_converted_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane in frame.planes:
        plane.update(np.full(plane.buffer_size // 2, 512, dtype=np.uint16).tobytes())
    frame.color_trc, frame.color_primaries = 16, 3  # PQ, and a number that stands for no primaries
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            pixels = FrameConverter("clip.mkv").to_pixels(frame, "hevc", width=64, height=48)
    np.testing.assert_allclose(pixels, 255 * (512 - 64) / 876, atol=2)
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("clip.mkv: its colours are HDR, which this FFmpeg cannot convert")


# -- images that stand alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.ppm", "a.pgm", "a.pbm", "a.pnm"])
def test_portable_pixmaps(name: str, tmp_path: Path) -> None:
    mode = {"a.pgm": "L", "a.pbm": "1"}.get(name, "RGB")
    Image.fromarray(numbered_frame(0b1011)).convert(mode).save(tmp_path / name)
    for source in (tmp_path, tmp_path / name, (tmp_path / name).read_bytes()):
        assert probe_video(source).frames == 1
        assert read_numbers(read_video_frames(source, [0])) == [0b1011]


def test_pixmaps_in_text(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_text("P3\n2 1\n255\n1 2 3 4 5 6\n")
    assert read_video_frames(tmp_path / "a.ppm", [0]).tolist() == [[[[1, 4]], [[2, 5]], [[3, 6]]]]


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((3, 4), 0.5, dtype=np.float32), "its pixels are floating-point numbers"),
        (np.full((3, 4), 1 << 20, dtype=np.int32), "its pixels are 1048576 to 1048576"),
        (np.full((3, 4), -1, dtype=np.int32), "its pixels are -1 to -1"),
    ],
)
def test_images_that_do_not_tell_what_is_white(pixels: np.ndarray, reason: str, tmp_path: Path) -> None:
    image, path = Image.fromarray(pixels), tmp_path / "a.tif"
    image.save(path)
    with pytest.raises(InvalidInputError, match=f"expected an image of 8 or 16 bits, {reason}"):
        read_video_frames(image, [0])
    for source in (path, tmp_path):
        with pytest.raises(VideoDecodeError, match=f"a.tif with pillow: .*{reason}"):
            read_video_frames(source, [0])


def test_facts_are_plain_numbers(tmp_path: Path) -> None:
    write_video(tmp_path / "a.gif", [numbered_frame(1)], codec="gif", pixel_format="rgb8")
    Image.fromarray(numbered_frame(1)).save(tmp_path / "a.png")
    for name in ("a.gif", "a.png"):
        info = probe_video(tmp_path / name)
        assert [type(value) for value in (info.frames, info.fps, info.duration, info.height, info.width)] == [
            *(int, float, float, int, int)
        ]
