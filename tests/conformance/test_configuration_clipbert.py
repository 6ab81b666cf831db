"""transformers' common tests of configurations."""

from __future__ import annotations

import unittest

from conformance.testers import ClipBertModelTester
from transformers_tests.test_configuration_common import ConfigTester

from clipbert_hf import ClipBertConfig


class ClipBertConfigTest(unittest.TestCase):
    def setUp(self):
        self.model_tester = ClipBertModelTester(self)

    def test_config(self):
        sizes = {"hidden_size": 40, "num_attention_heads": 4, "score_aggregation": "lse"}
        ConfigTester(self, config_class=ClipBertConfig, **sizes).run_common_tests()
