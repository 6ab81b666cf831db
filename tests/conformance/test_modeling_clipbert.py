"""transformers' common tests of models, for all of ours."""

from __future__ import annotations

import unittest

from conformance.testers import ClipBertModelTester
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers_tests.test_modeling_common import ModelTesterMixin

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertModel,
)

# As it is for a model that lives in transformers: the tests ask models in this table for no loss.
MODEL_MAPPING_NAMES["clipbert"] = "ClipBertModel"


class ClipBertModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (
        ClipBertModel,
        ClipBertForVideoQuestionAnswering,
        ClipBertForMultipleChoice,
        ClipBertForVideoTextRetrieval,
        ClipBertForVideoRegression,
        ClipBertForPreTraining,
    )
    additional_model_inputs = ["pixel_values_videos"]  # noqa: RUF012 (declared like this there)

    def setUp(self):
        self.model_tester = ClipBertModelTester(self)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        return self.model_tester.prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
