"""transformers' common tests of video processors."""

from __future__ import annotations

import unittest
from typing import Any

from transformers_tests.test_video_processing_common import VideoProcessingTestMixin, prepare_video_inputs

from clipbert_hf import ClipBertVideoProcessor

SIDE = 20


class ClipBertVideoProcessingTester:
    batch_size = 5
    num_frames = 8
    num_channels = 3

    def prepare_video_inputs(self, equal_resolution: bool = False, return_tensors: str = "pil") -> list[Any]:
        return prepare_video_inputs(
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            num_channels=self.num_channels,
            min_resolution=30,
            max_resolution=80,
            equal_resolution=equal_resolution,
            return_tensors=return_tensors,
        )

    def expected_output_video_shape(self, videos: Any) -> tuple[int, ...]:
        return 1, self.num_frames, 3, SIDE, SIDE


class ClipBertVideoProcessingTest(VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = ClipBertVideoProcessor

    def setUp(self):
        super().setUp()
        self.video_processor_tester = ClipBertVideoProcessingTester()

    @property
    def video_processor_dict(self) -> dict[str, Any]:
        return {"size": {"longest_edge": SIDE}, "num_clips": 1, "do_sample_frames": False}

    def test_video_processor_from_dict_with_kwargs(self):
        """Theirs asks for a shortest edge and a crop; our frames have a longest edge and are padded to a square."""
        processor = ClipBertVideoProcessor.from_dict(self.video_processor_dict, size={"longest_edge": 42}, num_clips=3)
        assert (processor.size["longest_edge"], processor.num_clips) == (42, 3)

    def test_call_sample_frames(self):
        """Theirs looks for the frames where our clips are, and refuses a clip longer than its video, which repeats."""
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        processor = ClipBertVideoProcessor(**self.video_processor_dict)
        for batch in (videos[0], videos):
            whole = processor(batch, num_frames=3).pixel_values_videos
            assert whole.shape[1:3] == (1, 8)
            for frames in (3, 10):
                sampled = processor(batch, num_frames=frames, do_sample_frames=True).pixel_values_videos
                assert sampled.shape[1:3] == (1, frames)

    def test_call_numpy_4_channels(self):
        """Theirs looks for the colours where our frames are."""
        self.video_processor_tester.num_channels = 4
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="pil")
        processor = ClipBertVideoProcessor(**self.video_processor_dict)
        options = {"input_data_format": "channels_last", "image_mean": 0.0, "image_std": 1.0, "return_tensors": "pt"}
        for batch, size in ((videos[0], 1), (videos, 5)):
            pixels = processor(batch, **options).pixel_values_videos
            assert pixels.shape == (size, *self.video_processor_tester.expected_output_video_shape(videos))
