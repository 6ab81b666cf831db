"""Transparent and HDR videos are prepared as the reader shows them, since H.264 of 8 bits would keep neither."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from prepared_comparison import prepare_file

from clipbert_hf.video.reading import read_video_frames
from datasets_scripts.preparation.one_video import Prepared

COLUMNS = ((255, 40, 40, 255), (40, 40, 255, 128), (0, 0, 0, 0))  # opaque, half, nothing


def write(path: Path, codec: str, pixel_format: str, pixels: np.ndarray, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = pixel_format
        source = "rgba" if pixels.shape[2] == 4 else "rgb24"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, format=source).reformat(format=pixel_format, threads=1)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(path: Path, **options: Any) -> Path:
    image = Image.fromarray(np.repeat(np.array([COLUMNS], np.uint8), 48, axis=0).repeat(16, axis=1))
    image.save(path, save_all=True, append_images=[image.rotate(180), image], duration=100, **options)
    return path


def see_through() -> np.ndarray:
    return np.ascontiguousarray(np.repeat(np.array([COLUMNS], np.uint8), 48, axis=0).repeat(16, axis=1))


@pytest.mark.parametrize("kind", ["prores", "png", "webp", "gif", "hdr"])
def test_prepared_pictures_look_as_their_originals_do(kind: str, tmp_path: Path) -> None:
    if kind == "prores":
        path = write(tmp_path / "a.mov", "prores_ks", "yuva444p10le", see_through(), {})
    elif kind == "hdr":
        tags = "log-level=none:crf=2:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
        row = np.linspace(20, 150, 128, dtype=np.uint8)
        grey = np.ascontiguousarray(np.broadcast_to(row[None, :, None], (64, 128, 3)))
        path = write(tmp_path / "a.mkv", "libx265", "yuv420p10le", grey, {"x265-params": tags})
    else:
        path = write_images(tmp_path / f"a.{kind}", **({"lossless": True} if kind == "webp" else {}))
    outcome = prepare_file(path, tmp_path / "prepared.mp4")
    assert isinstance(outcome, Prepared), outcome
    original, prepared = (read_video_frames(each, [0, 1, 2]) for each in (path, tmp_path / "prepared.mp4"))
    # Inside of each column, away from what 4:2:0 and the encoder blur.
    middle = [8, 24, 40]
    np.testing.assert_allclose(
        prepared[:, :, 24, middle].float().numpy(), original[:, :, 24, middle].float().numpy(), atol=14
    )
    if kind != "hdr":
        assert original[0, :, 24, 40].tolist() == [255, 255, 255]
