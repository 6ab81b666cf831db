"""A prepared video has the frames of the original at their times, as the reader has both; or it is not written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from prepared_comparison import assert_same_to_the_reader, prepare_file
from video_files import RECIPES, Recipe, numbered_frame, read_numbers, real_clip, write_audio_only, write_video

from clipbert_hf import ClipBertVideoProcessor, probe_video, read_video_frames
from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video.reading import open_video
from datasets_scripts.preparation.encoding import EncodingSettings, prepared_size
from datasets_scripts.preparation.errors import UnpreparedError
from datasets_scripts.preparation.one_video import Prepared
from datasets_scripts.preparation.timeline import known_times, steady_times


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_kind_of_file_keeps_its_frames_and_times(recipe: Recipe, tmp_path: Path) -> None:
    path, numbers = recipe.write(tmp_path)
    target = tmp_path / "prepared" / "video.mp4"
    content = path.read_bytes()
    outcome = prepare_file(path, target)
    assert isinstance(outcome, Prepared), outcome
    assert_same_to_the_reader(path, target)
    assert outcome.frames == len(numbers)
    if not (recipe.rotation or recipe.is_mirrored):  # whose bars lie elsewhere
        assert read_numbers(read_video_frames(target, range(len(numbers)))) == numbers
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny", "carphone_pristine"])
def test_samples_of_real_clips_are_the_same_frames(name: str, tmp_path: Path) -> None:
    """Sound is dropped, large clips get smaller, and every way to sample finds the same indices and moments."""
    source, target = real_clip(name), tmp_path / "clip.mp4"
    assert isinstance(prepare_file(source, target, EncodingSettings(longest_edge=224)), Prepared)
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.has_b_frames) == ("h264", "yuv420p", False)
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
        assert max(np.diff(keys)) <= 8
    before, after = probe_video(source), probe_video(target)
    assert (after.frames, after.fps, after.duration) == (before.frames, before.fps, before.duration)
    assert max(after.width, after.height) == min(224, max(before.width, before.height))
    processor = ClipBertVideoProcessor(size={"longest_edge": 64}, num_clips=4, num_frames=2)
    for options in ({}, {"index_by": "time"}, {"sampling_strategy": "random", "seed": 3}):
        one, other = (processor(path, return_metadata=True, **options) for path in (source, target))
        assert one.frame_indices.tolist() == other.frame_indices.tolist()
        assert one.clip_seconds.tolist() == other.clip_seconds.tolist()


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_other_decoders_read_prepared_videos(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, exc_type=ImportError)
    write_video(tmp_path / "a.mkv", [numbered_frame(number) for number in range(30)], times=lambda number: number + 7)
    assert isinstance(prepare_file(tmp_path / "a.mkv", tmp_path / "a.mp4"), Prepared)
    with open_video(tmp_path / "a.mp4", backend=backend) as reader:
        assert read_numbers(reader.read([3, 17, 29])) == [3, 17, 29]


def test_sound_beside_the_pictures_is_dropped(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        pictures: Any = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        for number in range(20):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")))
        container.mux(pictures.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 48000), dtype=np.float32), format="fltp", layout="mono")
        samples.sample_rate = 16000
        container.mux([*sound.encode(samples), *sound.encode(None)])
    assert isinstance(prepare_file(tmp_path / "a.mp4", tmp_path / "out.mp4"), Prepared)
    assert_same_to_the_reader(tmp_path / "a.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams) == 1


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_uneven_delays_stay(ending: str, tmp_path: Path) -> None:
    path, target = tmp_path / f"held.{ending}", tmp_path / "held.mp4"
    images = [Image.fromarray(numbered_frame(number)) for number in range(5)]
    lossless = {"lossless": True} if ending == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=[40, 250, 30, 100, 3000], **lossless)
    assert isinstance(prepare_file(path, target), Prepared)
    assert_same_to_the_reader(path, target)
    info = probe_video(target)
    assert info.duration == pytest.approx(3.42)


def test_still_images_and_folders_of_frames_become_videos(tmp_path: Path) -> None:
    (tmp_path / "frames_1.5").mkdir()
    for number in (1, 2, 10, 9):
        Image.fromarray(numbered_frame(number)).save(tmp_path / "frames_1.5" / f"{number}.png")
    Image.fromarray(numbered_frame(77)).save(tmp_path / "still.png")
    for name, numbers in (("frames_1.5", [1, 2, 9, 10]), ("still.png", [77])):
        target = tmp_path / "prepared.mp4"
        assert isinstance(prepare_file(tmp_path / name, target), Prepared)
        assert_same_to_the_reader(tmp_path / name, target)
        assert read_numbers(read_video_frames(target, range(len(numbers)))) == numbers


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", "unknown"])
@pytest.mark.parametrize("extent", ["tv", "pc"])
def test_colours_are_read_by_the_same_matrix_and_range(matrix: str, extent: str, tmp_path: Path) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    for place, colour in enumerate(
        [(200, 30, 40), (30, 180, 60), (40, 60, 210), (220, 210, 40), (128,) * 3, (235,) * 3]
    ):
        frame[:, 16 * place : 16 * place + 16] = colour
    options = {"colorspace": matrix, "color_range": extent, "crf": "1"}
    write_video(tmp_path / "a.mp4", [frame] * 3, options=options)
    assert isinstance(prepare_file(tmp_path / "a.mp4", tmp_path / "b.mp4", EncodingSettings(quality=5)), Prepared)
    one, other = (read_video_frames(tmp_path / name, [1])[0].int() for name in ("a.mp4", "b.mp4"))
    middles = slice(8, None, 16)
    assert int((one - other)[:, 32, middles].abs().max()) <= 4


# --- What is not written ---


@pytest.mark.parametrize("name", ["b-frames.mp4", "fragmented.mp4", "clip.mkv", "h264.avi", "clip.ts", "ffmpeg.gif"])
def test_a_file_that_ends_in_the_middle_is_refused(name: str, tmp_path: Path) -> None:
    path, _ = next(recipe for recipe in RECIPES if recipe.name == name).write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5 + 1])
    outcome = prepare_file(path, tmp_path / "out" / "a.mp4")
    assert isinstance(outcome, str)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_audio_only(tmp_path / "sound.mp4")
    for name, reason in (("text.mp4", "Invalid data"), ("sound.mp4", "no video stream"), ("none.mp4", "No such file")):
        outcome = prepare_file(tmp_path / name, tmp_path / "out.mp4")
        assert isinstance(outcome, str)
        assert reason in outcome
        assert not (tmp_path / "out.mp4").exists()


def test_a_folder_whose_images_differ_or_are_damaged_is_refused(tmp_path: Path) -> None:
    for name in ("sizes", "damaged"):
        (tmp_path / name).mkdir()
        Image.fromarray(numbered_frame(1)).save(tmp_path / name / "1.png")
    Image.fromarray(numbered_frame(2, 32, 32)).save(tmp_path / "sizes" / "2.png")
    (tmp_path / "damaged" / "2.png").write_bytes((tmp_path / "damaged" / "1.png").read_bytes()[:70])
    for name, reason in (("sizes", "2.png has 32x32, the first 64x48"), ("damaged", "")):
        outcome = prepare_file(tmp_path / name, tmp_path / "out.mp4")
        assert isinstance(outcome, str)
        assert reason in outcome
        assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_refused_or_read_as_the_reader_does(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    names = ["b-frames.mp4", "clip.mkv", "mpeg4-b.avi", "clip.ts"]
    path, _ = next(recipe for recipe in RECIPES if recipe.name == names[seed % len(names)]).write(tmp_path)
    content = bytearray(path.read_bytes())
    for place in generator.integers(len(content) // 5, len(content), size=8):
        content[place] ^= int(generator.integers(1, 256))
    path.write_bytes(content)
    outcome = prepare_file(path, tmp_path / "out.mp4")
    if isinstance(outcome, str):
        return
    try:
        before = probe_video(path)
    except VideoDecodeError:
        pytest.fail("the reader refuses what was prepared")
    after = probe_video(tmp_path / "out.mp4")
    assert (after.frames, after.fps, after.duration) == (before.frames, before.fps, before.duration)


def test_a_picture_that_is_too_unlike_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mkv", list(noise), codec="ffv1", pixel_format="bgr0")
    outcome = prepare_file(tmp_path / "a.mkv", tmp_path / "out.mp4", EncodingSettings(quality=51))
    assert isinstance(outcome, str)
    assert "dB instead of at least 20" in outcome
    assert not (tmp_path / "out.mp4").exists()


# --- Sizes and times ---


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(8, 1000).map(lambda half: 2 * half))
def test_sizes_are_even_and_never_larger(width: int, height: int, longest_edge: int) -> None:
    size = prepared_size(width, height, longest_edge)
    assert all(side % 2 == 0 and side <= max(before, 2) for side, before in zip(size, (width, height), strict=True))
    assert max(size) == (longest_edge if max(width, height) > longest_edge else max(max(width, height) // 2 * 2, 2))
    scale = min(1, longest_edge / max(width, height))
    assert all(abs(side - scale * before) < 2 for side, before in zip(size, (width, height), strict=True))


_BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 12800)])


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(-99, 99), _BASES, st.integers(1, 40))
def test_times_stay_exact_on_another_clock(steps: list[int], first: int, base: Fraction, parts: int) -> None:
    times = [first, *(first + int(total) for total in np.cumsum(steps[:-1]))]
    end = (times[-1] - first + Fraction(steps[-1], parts)) * base
    timeline = known_times(times, base, end, 10.0)
    assert [Fraction(tick, timeline.clock) for tick in timeline.ticks] == [(time - first) * base for time in times]
    assert Fraction(timeline.end, timeline.clock) == end
    assert Fraction(timeline.start, timeline.clock) == max(first, 0) * base
    assert sum(timeline.lengths) == timeline.end


def test_times_that_mp4_cannot_have_are_refused() -> None:
    with pytest.raises(UnpreparedError, match="more than an mp4 file can say"):
        known_times([0, 2**33], Fraction(1, 1000), Fraction(2**33 + 1, 1000), 1.0)
    assert steady_times(3, Fraction(30000, 1001)).ticks == (0, 1001, 2002)
