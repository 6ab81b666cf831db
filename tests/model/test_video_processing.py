"""Pixels of clips: the recorded cases, a naive re-implementation, options, batches, and the Hub's way of saving."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers.video_utils import VideoMetadata
from video_files import decode_everything, numbered_frame, read_number, real_clip, write_animation, write_video

import clipbert_hf  # noqa: F401 (registers the processor)
from clipbert_hf.errors import InvalidInputError, VideoDecodeError
from clipbert_hf.model import clip_assembly_clipbert as assembly
from clipbert_hf.model.video_processing_clipbert import ClipBertVideoProcessor, resize_longest_edge
from clipbert_hf.video import resizing

CASES = json.loads((Path(__file__).parents[1] / "data" / "preprocessing_cases.json").read_text())
MEAN = torch.tensor([123.675, 116.28, 103.53])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Numbered videos of different lengths, sizes and formats: 40, 15 and 9 frames."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "wide.mp4", [numbered_frame(number, 96, 48) for number in range(40)], fps=10)
    tall = [numbered_frame(number, 48, 80) for number in range(15)]
    write_video(folder / "tall.webm", tall, codec="libvpx-vp9", fps=5)
    write_animation(folder / "short.gif", frames=9)
    return [folder / name for name in ("wide.mp4", "tall.webm", "short.gif")]


def small_processor(**options: Any) -> ClipBertVideoProcessor:
    return ClipBertVideoProcessor(**{"size": {"longest_edge": 96}, **options})


def numbers_in(pixels: torch.Tensor, height: int, width: int) -> list[Any]:
    """The numbers in normalised frames (..., 3, L, L) of which (height, width) is picture."""
    frames = (pixels + MEAN[:, None, None])[..., :height, :width]
    numbers = [read_number(frame) for frame in frames.flatten(0, -4)]
    return np.reshape(numbers, pixels.shape[:-3]).tolist()


def case_frames(case: dict[str, Any]) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(case["tag"].encode())))
    return generator.integers(0, 256, size=(2, 3, case["height"], case["width"])).astype(np.uint8)


# -- the published preprocessing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
@pytest.mark.parametrize(("exact", "tolerance"), [(True, 1e-3), (False, 1.0)])
def test_published_cases(case: dict[str, Any], exact: bool, tolerance: float) -> None:
    processor = ClipBertVideoProcessor(size={"longest_edge": case["size"]}, exact_resize=exact, do_sample_frames=False)
    pixels = processor(case_frames(case)).pixel_values_videos
    assert pixels.dtype == torch.float32
    assert pixels.shape == (1, 1, *case["output_shape"])
    for sample in case["samples"]:
        assert abs(pixels[(0, 0, *sample["at"])].item() - sample["value"]) <= tolerance, sample
    assert pixels.mean().item() == pytest.approx(case["mean"], abs=1e-3 if exact else 0.1)
    assert pixels.std().item() == pytest.approx(case["std"], abs=1e-3 if exact else 0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_every_pixel_of_the_fast_path_is_within_one_grey_level(case: dict[str, Any]) -> None:
    frames = torch.from_numpy(case_frames(case))
    for layout in (frames, frames.contiguous(memory_format=torch.channels_last)):
        fast = resize_longest_edge(layout, case["size"])
        exact = resize_longest_edge(layout, case["size"], exact=True)
        assert fast.dtype == torch.uint8
        assert list(fast.shape[2:]) == case["resized"]
        assert (fast.float() - exact.round()).abs().max() <= 1


@pytest.mark.parametrize("pixel_dtype", ["float32", "uint8"])
def test_grey_levels_are_rounded_where_there_are_no_kernels_for_bytes(
    pixel_dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = case_frames(CASES[0])
    exact = resize_longest_edge(torch.from_numpy(frames), 32, exact=True)
    monkeypatch.setattr(resizing, "_has_uint8_kernels", lambda device: False)
    assert torch.equal(resize_longest_edge(torch.from_numpy(frames), 32), exact.round().to(torch.uint8))
    processor = small_processor(size={"longest_edge": 32}, do_sample_frames=False, pixel_dtype=pixel_dtype)
    pixels = processor(frames).pixel_values_videos
    pixels = processor.normalize_clips(pixels) if pixel_dtype == "uint8" else pixels
    height, width = exact.shape[-2:]
    expected = exact.round() - torch.tensor(processor.image_mean)[:, None, None]
    assert torch.allclose(pixels[0, 0, ..., :height, :width], expected, atol=1e-4)


def test_fractions_of_grey_levels_become_the_nearest_byte() -> None:
    assert resizing.to_bytes(torch.tensor([-0.4, 0.4, 0.6, 99.7, 254.9, 255.3])).tolist() == [0, 0, 1, 100, 255, 255]
    frames = torch.full((1, 3, 2, 2), 6.9)
    clip = assembly.Clips(frames, np.array([0]), np.zeros((1, 1), int), np.zeros((1, 2)), None)  # type: ignore[arg-type]
    pixels = torch.empty((1, 3, 2, 2), dtype=torch.uint8)
    assembly.lay_out(clip, pixels, None)
    assert pixels.unique().tolist() == [7]


def test_padding_stands_for_black_not_for_the_mean() -> None:
    frames = np.full((1, 20, 40, 3), 200, dtype=np.uint8)
    pixels = small_processor(size={"longest_edge": 40}, do_sample_frames=False)(frames).pixel_values_videos[0, 0, 0]
    for colour, mean in enumerate(MEAN):
        assert torch.allclose(pixels[colour, :20], 200 - mean)
        assert torch.allclose(pixels[colour, 20:], -mean)


def test_own_pixel_statistics() -> None:
    frames = np.full((1, 8, 8, 3), 100, dtype=np.uint8)
    processor = small_processor(size={"longest_edge": 8}, image_mean=[10.0, 20.0, 30.0], image_std=[2.0, 4.0, 7.0])
    pixels = processor(frames, num_clips=1, num_frames=1).pixel_values_videos
    assert torch.allclose(pixels[0, 0, 0, :, 3, 3], torch.tensor([45.0, 20.0, 10.0]))


def test_frames_of_extreme_shape_keep_one_pixel() -> None:
    assert resize_longest_edge(torch.zeros(1, 3, 1, 900, dtype=torch.uint8), 96).shape == (1, 3, 1, 96)


# -- sampling ----------------------------------------------------------------------------------------------------


def test_clips_hold_the_frames_that_the_metadata_names(videos: list[Path]) -> None:
    result = small_processor(num_clips=3)(videos, return_metadata=True)
    assert result.pixel_values_videos.shape == (3, 3, 2, 3, 96, 96)
    # wide: L = 10 frames, delta = 30: starts 0, 10, 20. tall: L = 5, delta = 10: 0, 3.3, 6.6. gif: L = 10 > 9.
    expected = [
        [[0, 9], [10, 19], [20, 29]],
        [[0, 4], [3, 7], [6, 10]],
        [[0, 8], [0, 8], [0, 8]],
    ]
    assert result.frame_indices.tolist() == expected
    shown = [numbers_in(result.pixel_values_videos[0], 48, 96)]
    shown.append(numbers_in(result.pixel_values_videos[1], 96, 57))
    shown.append(numbers_in(result.pixel_values_videos[2], 72, 96))
    assert shown == expected
    np.testing.assert_allclose(result.clip_seconds[0], [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_allclose(result.clip_seconds[2], [[0, 0.9]] * 3)
    wide = result.video_metadata[0]
    assert (wide.total_num_frames, wide.fps, wide.height, wide.width) == (40, 10.0, 48, 96)
    assert (wide.duration, wide.video_backend, wide.frames_indices) == (4.0, "pyav", [0, 9, 10, 19, 20, 29])


def test_options_of_a_call_come_before_those_of_the_processor(videos: list[Path]) -> None:
    processor = small_processor(num_clips=4)
    pixels = processor(videos[0], num_clips=2, num_frames=3, target_fps=5).pixel_values_videos
    # L = 3 / 5 * 10 = 6 frames, delta = 34: starts 0 and 17, frames 2.5 apart
    assert numbers_in(pixels, 48, 96) == [[[0, 2, 5], [17, 19, 22]]]
    assert processor(videos[0]).pixel_values_videos.shape[1:3] == (4, 2)
    pixels = processor(videos[0], num_clips=1, sampling_strategy="uniform").pixel_values_videos
    assert numbers_in(pixels, 48, 96) == [[[0, 39]]]


def test_random_clips_follow_their_seed(videos: list[Path]) -> None:
    processor = small_processor(sampling_strategy="random", num_clips=4)

    def draw(**options: Any) -> list[Any]:
        return processor([videos[0], videos[0]], return_metadata=True, **options).frame_indices.tolist()

    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    assert draw(seed=1)[0] != draw(seed=1)[1]
    assert draw(seed=[5, 6]) == [draw(seed=[5, 5])[0], draw(seed=[6, 6])[1]]
    assert draw(generator=np.random.default_rng(1)) == draw(seed=1)
    torch.manual_seed(0)
    first = draw()
    assert first != draw()
    torch.manual_seed(0)
    assert draw() == first


def test_sampling_at_inference_leaves_the_random_state_alone(videos: list[Path]) -> None:
    before = torch.get_rng_state()
    small_processor(num_clips=1)(videos[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_frames_that_are_sampled_already(videos: list[Path]) -> None:
    frames = np.stack([numbered_frame(number) for number in (3, 1, 2)])
    result = small_processor()(frames, do_sample_frames=False, return_metadata=True)
    assert numbers_in(result.pixel_values_videos, 72, 96) == [[[3, 1, 2]]]
    assert result.frame_indices.tolist() == [[[0, 1, 2]]]


def test_the_rate_of_frames_in_memory() -> None:
    frames = np.stack([numbered_frame(number) for number in range(40)])
    processor = small_processor(num_clips=1)
    assert processor(frames, return_metadata=True).frame_indices.tolist() == [[[0, 24]]]
    for metadata in ({"fps": 10, "total_num_frames": 40}, [{"fps": 10}]):
        result = processor(frames, video_metadata=metadata, return_metadata=True)
        assert result.frame_indices.tolist() == [[[0, 9]]]
        assert result.clip_seconds.tolist() == [[[0.0, 1.0]]]


def test_clips_by_time(tmp_path: Path) -> None:
    # Ten frames a second for a second, then one a second: 20 frames in 11 s.
    path = tmp_path / "variable.mp4"
    frames = [numbered_frame(number, 96, 48) for number in range(20)]
    write_video(path, frames, times=lambda number: number if number < 10 else 10 * (number - 9))
    processor = small_processor(num_clips=1, num_frames=3, sampling_strategy="uniform")
    by_frame, by_time = (processor(path, return_metadata=True, index_by=how) for how in ("frame", "time"))
    assert by_frame.frame_indices.tolist() == [[[0, 9, 19]]]
    # Mean rate 1.9 to 1.82 a second; the middle of tick 9 is at 5.0 to 5.3 s, where frame 14 is shown from 5 s on.
    assert by_time.frame_indices.tolist() == [[[2, 14, 19]]]
    assert numbers_in(by_time.pixel_values_videos, 48, 96) == [[[2, 14, 19]]]
    assert by_time.clip_seconds[0, 0, 0].item() == pytest.approx(0.2)


def test_clips_by_time_at_a_constant_rate(videos: list[Path]) -> None:
    for strategy in ("dense", "uniform", "end"):
        processor = small_processor(num_clips=3, sampling_strategy=strategy)
        by_frame, by_time = (processor(videos, return_metadata=True, index_by=how) for how in ("frame", "time"))
        assert torch.equal(by_frame.frame_indices, by_time.frame_indices)


# -- uint8 until the model ---------------------------------------------------------------------------------------


def test_bytes_that_are_normalised_later_are_the_same(videos: list[Path]) -> None:
    processor = small_processor(num_clips=3, image_mean=[1.5, 2.25, 3.1], image_std=[1.0, 2.0, 57.12])
    for options in ({}, {"do_resize": False}, {"sampling_strategy": "uniform"}):
        early = processor(videos, **options).pixel_values_videos
        late = processor(videos, pixel_dtype="uint8", **options).pixel_values_videos
        assert late.dtype == torch.uint8
        assert torch.equal(processor.normalize_clips(late), early)
    plain = small_processor(do_normalize=False)
    late = plain(videos, pixel_dtype="uint8").pixel_values_videos
    assert torch.equal(plain.normalize_clips(late), plain(videos).pixel_values_videos)


def test_bytes_are_not_normalised_twice_nor_exact(videos: list[Path]) -> None:
    processor = small_processor(num_clips=1)
    with pytest.raises(InvalidInputError, match=r"must be uint8, got torch\.float32"):
        processor.normalize_clips(processor(videos[0]).pixel_values_videos)
    with pytest.raises(InvalidInputError, match="exact_resize gives fractions"):
        processor(videos[0], pixel_dtype="uint8", exact_resize=True)


def test_bytes_are_no_input_of_the_model(videos: list[Path]) -> None:
    from clipbert_hf.model.inputs_clipbert import check_visual_inputs

    pixels = small_processor(num_clips=1, pixel_dtype="uint8")(videos[0]).pixel_values_videos
    with pytest.raises(InvalidInputError, match=r"must be normalised; got torch\.uint8: call .* normalize_clips"):
        check_visual_inputs(pixels, None)


# -- one video or several ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda frames: frames, 1),
        (lambda frames: [frames], 1),
        (lambda frames: [frames, frames[:5]], 2),
        (lambda frames: np.stack([frames, frames]), 2),
        (lambda frames: torch.from_numpy(np.stack([frames, frames])).permute(0, 1, 4, 2, 3), 2),
        (lambda frames: [Image.fromarray(frame) for frame in frames], 1),
        (lambda frames: [[Image.fromarray(frame) for frame in frames]] * 3, 3),
        (lambda frames: Image.fromarray(frames[0]), 1),
        (lambda frames: [[Image.fromarray(frames[0])], [Image.fromarray(frames[0])]], 2),
    ],
)
def test_one_video_and_batches(make: Callable[[np.ndarray], Any], count: int) -> None:
    frames = np.stack([numbered_frame(number) for number in range(8)])
    pixels = small_processor(num_clips=2)(make(frames)).pixel_values_videos
    assert pixels.shape == (count, 2, 2, 3, 96, 96)
    assert numbers_in(pixels, 72, 96)[0][0][0] == 0


def test_encoded_videos_of_every_kind(videos: list[Path]) -> None:
    data = videos[0].read_bytes()
    processor = small_processor(num_clips=2)
    expected = processor(videos[0]).pixel_values_videos
    for source in (str(videos[0]), data, io.BytesIO(data), {"bytes": data, "path": None}):
        assert torch.equal(processor(source).pixel_values_videos, expected)
        assert torch.equal(processor([source]).pixel_values_videos, expected)


def test_a_batch_equals_its_videos_one_by_one(videos: list[Path]) -> None:
    processor = small_processor(num_clips=2)
    batch = processor(videos).pixel_values_videos
    for row, video in zip(batch, videos, strict=True):
        assert torch.equal(row, processor(video).pixel_values_videos[0])


def test_real_clips_against_a_naive_implementation() -> None:
    path = real_clip("bikes")
    everything = decode_everything(path)
    result = ClipBertVideoProcessor(exact_resize=True, num_clips=4)(path, return_metadata=True)
    # L = 25 frames, delta = 225: starts 0, 56.25, 112.5, 168.75
    assert result.frame_indices[0].tolist() == [[0, 24], [56, 80], [112, 136], [168, 192]]
    for clip, indices in zip(result.pixel_values_videos[0], result.frame_indices[0].tolist(), strict=True):
        for pixels, index in zip(clip, indices, strict=True):
            frame = torch.from_numpy(everything[index]).permute(2, 0, 1)[None].float()
            resized = torch.nn.functional.interpolate(frame, size=(190, 448), mode="bilinear", align_corners=False)
            padded = torch.nn.functional.pad(resized, (0, 0, 0, 448 - 190))
            assert torch.allclose(pixels, padded[0] - MEAN[:, None, None], atol=1e-3)


# -- options -----------------------------------------------------------------------------------------------------


def test_without_resizing_padding_or_normalising() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3)).astype(np.uint8)
    processor = small_processor(do_sample_frames=False)
    plain = processor(frames, do_resize=False, do_pad=False, do_normalize=False).pixel_values_videos
    assert torch.equal(plain[0, 0], torch.from_numpy(frames).permute(0, 3, 1, 2).float())
    assert processor(frames, do_resize=False).pixel_values_videos.shape[-2:] == (96, 96)
    assert processor(frames, do_pad=False).pixel_values_videos.shape[-2:] == (64, 96)


def test_numpy_output(videos: list[Path]) -> None:
    result = small_processor(num_clips=1)(videos[0], return_tensors="np", return_metadata=True)
    assert isinstance(result["pixel_values_videos"], np.ndarray)
    assert isinstance(result["clip_seconds"], np.ndarray)


def test_device(videos: list[Path]) -> None:
    assert small_processor(num_clips=1)(videos[0], device="cpu").pixel_values_videos.device.type == "cpu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": {"height": 4, "width": 4}}, 'size must be {"longest_edge": pixels}'),
        ({"size": {"longest_edge": 0}}, "size must be"),
        ({"size": 96}, "size must be"),
        ({"do_convert_rgb": False}, r"do_convert_rgb must be None or True here \(frames are RGB, whatever they were\)"),
        ({"crop_size": {"height": 4, "width": 4}}, r"crop_size must be None here \(frames are padded, not cropped\)"),
        ({"do_center_crop": True}, "do_center_crop must be"),
        ({"resample": 3}, "resample must be"),
        ({"fps": 2.0, "target_fps": 3.0}, "fps and target_fps are the same option; got 2.0 and 3.0"),
        ({"input_data_format": "middle"}, "input_data_format must be"),
        ({"return_tensors": "tf"}, "return_tensors must be 'pt' or 'np'; got 'tf'"),
        ({"video_metadata": [3, 4]}, "expected VideoMetadata or dictionaries, got int"),
        ({"data_format": "channels_last"}, "data_format must be"),
        ({"num_clips": 0}, "num_clips must be an integer of at least 1"),
        ({"sampling_strategy": "all"}, "strategy must be one of"),
        ({"index_by": "seconds"}, "index_by must be 'frame' or 'time' here, got 'seconds'"),
        ({"pixel_dtype": "float16"}, "pixel_dtype must be 'float32' or 'uint8'"),
        ({"decoding_limits": {"max_pixel": 1}}, "there is no limit 'max_pixel'"),
        ({"decoding_backend": "opencv"}, "backend must be one of"),
        ({"sampling_strategy": "random", "seed": [1]}, "seed: expected one or 2, one a video, got 1"),
        ({"sampling_strategy": "random", "generator": 1}, "generator must be a numpy.random.Generator, got int"),
        ({"video_metadata": [{"fps": 2}]}, "video_metadata: expected 2 entries, one a video, got 1"),
        ({"do_sample_frames": False}, "must have one number of frames and one size"),
        ({"do_pad": False}, "must have one number of frames and one size"),
        ({"do_resize": False, "size": {"longest_edge": 60}}, "frames of 48x96 do not fit into 60x60"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str, videos: list[Path]) -> None:
    with pytest.raises(InvalidInputError, match=message):
        small_processor()(videos[:2], **options)


def test_names_that_are_unknown(videos: list[Path]) -> None:
    with pytest.raises(TypeError, match=r"has no option 'num_clip'; it has .*num_clips"):
        small_processor()(videos[0], num_clip=2)


def test_a_wrong_size_is_noticed_when_the_processor_is_made() -> None:
    with pytest.raises(InvalidInputError, match="size must be"):
        ClipBertVideoProcessor(size={"shortest_edge": 448})


def test_no_video_and_broken_videos(videos: list[Path]) -> None:
    with pytest.raises(InvalidInputError, match="at least one video"):
        small_processor()([])
    with pytest.raises(VideoDecodeError, match="no such file") as error:
        small_processor()([videos[0], "missing.mp4"])
    assert error.value.path == "missing.mp4"


# -- saving and loading ------------------------------------------------------------------------------------------


def test_saving_and_loading(tmp_path: Path, videos: list[Path]) -> None:
    from transformers import AutoVideoProcessor

    processor = small_processor(
        num_clips=3,
        num_frames=4,
        target_fps=1.5,
        sampling_strategy="middle",
        exact_resize=True,
        index_by="time",
        decoding_backend="pyav",
        decoding_limits={"max_pixels": 1e6},
        image_mean=[1.0, 2.0, 3.0],
        seed=7,
        generator=np.random.default_rng(0),
    )
    processor.save_pretrained(tmp_path)
    for again in (ClipBertVideoProcessor.from_pretrained(tmp_path), AutoVideoProcessor.from_pretrained(tmp_path)):
        assert isinstance(again, ClipBertVideoProcessor)
        assert again.to_dict() == processor.to_dict()
        assert not {"seed", "generator"} & set(again.to_dict())
        assert torch.equal(again(videos[0]).pixel_values_videos, processor(videos[0]).pixel_values_videos)
    changed = ClipBertVideoProcessor.from_pretrained(tmp_path, num_clips=1)
    assert changed.num_clips == 1


def test_defaults_are_the_published_ones() -> None:
    processor = ClipBertVideoProcessor()
    assert dict(processor.size) == {"longest_edge": 448}
    assert (processor.num_clips, processor.num_frames, processor.target_fps) == (16, 2, 2.0)
    assert processor.sampling_strategy == "dense"
    assert tuple(processor.image_mean) == (123.675, 116.28, 103.53)
    assert tuple(processor.image_std) == (1, 1, 1)
    assert processor.model_input_names == ["pixel_values_videos"]


# -- in the workers of a data loader -----------------------------------------------------------------------------


class Clips(Dataset[torch.Tensor]):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.processor = small_processor(num_clips=1, sampling_strategy="random")

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.processor(self.paths[0], return_metadata=True).frame_indices[0, 0]


def test_data_loader_workers_sample_differently_and_reproducibly(videos: list[Path]) -> None:
    def epoch() -> list[list[int]]:
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(Clips(videos), num_workers=2, generator=generator, multiprocessing_context="fork")
        return [batch[0].tolist() for batch in loader]

    first = epoch()
    assert len({tuple(clip) for clip in first}) > 2
    assert epoch() == first


# -- options as transformers spells them ---------------------------------------------------------------------------


def test_fps_is_the_rate_inside_of_a_clip(videos: list[Path]) -> None:
    processor = small_processor(num_clips=2, num_frames=3)
    by_one_name, by_the_other = (
        processor(videos, return_metadata=True, **{name: 5}).frame_indices for name in ("fps", "target_fps")
    )
    assert by_one_name.equal(by_the_other)
    assert not by_one_name.equal(processor(videos, return_metadata=True).frame_indices)


@pytest.mark.parametrize("pixel_dtype", ["float32", "uint8"])
def test_rescaling_is_done_before_normalising(pixel_dtype: str) -> None:
    frames = np.full((2, 6, 8, 3), 200, np.uint8)
    options = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2] * 3}
    processor = small_processor(size={"longest_edge": 8}, do_sample_frames=False, pixel_dtype=pixel_dtype, **options)
    pixels = processor(frames).pixel_values_videos
    if pixel_dtype == "uint8":
        pixels = processor.normalize_clips(pixels)
    for colour, mean in enumerate(options["image_mean"]):
        assert pixels[0, 0, 0, colour, 3, 4].item() == pytest.approx((200 / 255 - mean) / 0.2, abs=1e-5)
        assert pixels[0, 0, 0, colour, 7, 4].item() == pytest.approx((0 - mean) / 0.2, abs=1e-5)  # padding


def test_where_the_colours_are_can_be_said() -> None:
    frames = np.zeros((2, 3, 5, 3), np.uint8)  # three rows, or three colours
    frames[:, 0] = 255
    options = {"do_sample_frames": False, "do_resize": False, "do_normalize": False, "size": {"longest_edge": 5}}
    last = small_processor(**options)(frames, input_data_format="channels_last").pixel_values_videos[0, 0, 0]
    first = small_processor(**options)(frames, input_data_format="channels_first").pixel_values_videos[0, 0, 0]
    assert last[:, 0, :5].eq(255).all()
    assert last[:, 1:].eq(0).all()
    assert first[0, :5, :3].eq(255).all()
    assert first[1:].eq(0).all()
    with pytest.raises(InvalidInputError, match="three colours, channels_first, got frames of shape"):
        small_processor(**options)(np.zeros((2, 4, 5, 3), np.uint8), input_data_format="channels_first")


def test_metadata_of_transformers_tell_the_rate(videos: list[Path]) -> None:
    frames = np.zeros((50, 6, 8, 3), np.uint8)
    metadata = VideoMetadata(total_num_frames=50, fps=10.0)
    processor = small_processor(num_clips=1, return_metadata=True)
    expected = processor(frames, video_metadata={"fps": 10.0}).frame_indices
    for given in (metadata, [metadata], [[metadata]], [[{"fps": 10.0}]]):
        assert processor(frames, video_metadata=given).frame_indices.equal(expected)
    mixed = processor([frames, frames], video_metadata=[metadata, None]).frame_indices
    assert mixed[0].equal(expected[0])
    assert mixed[1].equal(processor(frames).frame_indices[0])


def test_everything_comes_as_numpy_where_asked(videos: list[Path]) -> None:
    result = small_processor(num_clips=2)(videos, return_tensors="np", return_metadata=True)
    expected = small_processor(num_clips=2)(videos, return_metadata=True)
    for name in ("pixel_values_videos", "frame_indices", "clip_seconds"):
        assert isinstance(result[name], np.ndarray)
        assert np.array_equal(result[name], expected[name].numpy())
