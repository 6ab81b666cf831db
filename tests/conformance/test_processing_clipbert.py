"""transformers' common tests of processors."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from transformers import BertTokenizer
from transformers_tests.test_processing_common import ProcessorTesterMixin

from clipbert_hf import ClipBertProcessor, ClipBertVideoProcessor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lower", "newer", "upper", "older", "longer", "string", "a", "b"]


class ClipBertProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = ClipBertProcessor

    @classmethod
    def _setup_tokenizer(cls):
        with tempfile.TemporaryDirectory() as folder:
            vocab = Path(folder) / "vocab.txt"
            vocab.write_text("\n".join(WORDS), "utf-8")
            return BertTokenizer(vocab=str(vocab), do_lower_case=True)

    @classmethod
    def _setup_video_processor(cls):
        return ClipBertVideoProcessor(size={"longest_edge": 20}, num_clips=1)

    def prepare_images_inputs(self, batch_size=None, nested=False):
        """None: theirs give images and videos in one call, ours has one of them: their clips have other shapes."""
        return None if batch_size is None else super().prepare_images_inputs(batch_size, nested)

    def test_processor_text_has_no_visual(self):
        """Theirs gives images beside videos; that no token stands for a video in the text is what they ask."""
        texts, videos = self.prepare_text_inputs(batch_size=3), self.prepare_videos_inputs(batch_size=3)
        batch = self.get_processor()(text=texts, videos=videos, return_tensors="pt")
        assert len(batch["input_ids"]) == len(batch["pixel_values_videos"]) == 3
