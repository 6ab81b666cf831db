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
