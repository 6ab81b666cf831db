"""What transformers' common tests ask for: a tiny model of ours, its inputs and labels."""

from __future__ import annotations

from typing import Any

import torch

from clipbert_hf import ClipBertConfig


class ClipBertModelTester:
    """Sizes and inputs, under the names that ``ModelTesterMixin`` looks for.

    Args:
        parent: The test case.
    """

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.is_training = True
        self.batch_size = 3
        self.num_clips = 1
        self.num_frames = 2
        self.frame_side = 128  # a stride of 32 and the pool of 2 leave 2 x 2 cells
        self.num_choices = 3
        self.num_labels = 4
        self.text_length = 7
        self.seq_length = self.text_length + 4
        self.vocab_size = 99
        self.hidden_size = 32
        self.num_hidden_layers = 2
        self.num_attention_heads = 4

    def get_config(self) -> ClipBertConfig:
        return ClipBertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
            max_position_embeddings=64,
            num_labels=self.num_labels,
            backbone="test_byobnet",
            backbone_stride_in_1x1=False,
            freeze_backbone_stages=0,
            max_grid_row_position_embeddings=4,
            max_grid_col_position_embeddings=4,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[ClipBertConfig, dict[str, torch.Tensor]]:
        side = self.frame_side
        inputs = {
            "input_ids": torch.randint(1, self.vocab_size, (self.batch_size, self.text_length)),
            "attention_mask": torch.ones(self.batch_size, self.text_length, dtype=torch.long),
            "pixel_values_videos": torch.randn(self.batch_size, self.num_clips, self.num_frames, 3, side, side),
        }
        return self.get_config(), inputs

    def prepare_for_class(
        self, inputs: dict[str, Any], model_class: type, *, return_labels: bool = False
    ) -> dict[str, Any]:
        """The inputs as one of the models takes them, with labels or without."""
        inputs = {name: value.clone() if torch.is_tensor(value) else value for name, value in inputs.items()}
        name = model_class.__name__
        if name == "ClipBertForMultipleChoice":
            for text in ("input_ids", "attention_mask"):
                if inputs.get(text) is not None:
                    inputs[text] = inputs[text][:, None].repeat(1, self.num_choices, 1)
        if return_labels and name == "ClipBertForPreTraining":
            inputs["mlm_labels"] = inputs["input_ids"].clone()
            inputs["itm_labels"] = torch.ones(self.batch_size, dtype=torch.long)
        elif return_labels and name == "ClipBertForVideoRegression":
            inputs["labels"] = torch.arange(float(self.batch_size))
        elif return_labels and name != "ClipBertModel":
            inputs["labels"] = torch.ones(self.batch_size, dtype=torch.long)
        return inputs
