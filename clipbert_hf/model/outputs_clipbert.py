"""What the ClipBERT models return. N texts, K clips, M text tokens, V visual tokens, D hidden size, L labels.

``hidden_states`` (one for the embeddings and one for each layer, (N * K, M + V, D)) and ``attentions`` (one for each
layer, (N * K, heads, M + V, M + V)) come on request; their first dimension holds the clips of the first text, then
those of the second, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class ClipBertModelOutput(ModelOutput):
    """Output of the encoder without a head.

    Args:
        last_hidden_state: (N, K, M + V, D), the text tokens first.
        pooler_output: (N, K, D), from the [CLS] token.
        hidden_states: See the module.
        attentions: See the module.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ClipBertScoresOutput(ModelOutput):
    """Output of the heads that score clips.

    Args:
        loss: The loss on the aggregated logits, if labels were given.
        logits: Aggregated over clips, (N, L).
        clip_logits: Of each clip, (N, K, L).
        hidden_states: See the module.
        attentions: See the module.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    clip_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ClipBertRetrievalOutput(ClipBertScoresOutput):
    """Output of the retrieval head.

    Args:
        scores: How well each text matches its video, 0 to 1, (N,).
    """

    scores: torch.Tensor | None = None


@dataclass
class ClipBertPreTrainingOutput(ClipBertScoresOutput):
    """Output of the pre-training heads; ``logits`` and ``clip_logits`` are those of image-text matching.

    Args:
        mlm_loss: Masked language modelling, mean over the masked tokens.
        itm_loss: Image-text matching.
        mlm_logits: (N, K, M, vocabulary).
    """

    mlm_loss: torch.Tensor | None = None
    itm_loss: torch.Tensor | None = None
    mlm_logits: torch.Tensor | None = None
