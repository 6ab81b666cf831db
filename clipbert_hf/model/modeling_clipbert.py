"""The ClipBERT models: one head a task (paper, section 3).

Shapes: B videos, K clips a video, T frames a clip, N texts, M tokens a text, R x C cells of a frame's grid,
D hidden size, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import nn
from transformers.models.bert.modeling_bert import BertPreTrainingHeads
from transformers.utils import can_return_tuple

from .clip_aggregation_clipbert import ScoreAggregation, aggregate_clip_logits
from .configuration_clipbert import ClipBertConfig
from .encoder_clipbert import ClipBertModel, ClipBertPreTrainedModel
from .errors_clipbert import InvalidInputError
from .inputs_clipbert import check_rank, check_visual_inputs, match_texts_to_videos
from .losses_clipbert import classification_loss, indexed_cross_entropy, rank_loss
from .outputs_clipbert import ClipBertPreTrainingOutput, ClipBertRetrievalOutput, ClipBertScoresOutput


class ClipBertClipScorer(ClipBertPreTrainedModel):
    """Base of the models that score each clip from the pooled [CLS] and then aggregate over clips."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.clipbert = ClipBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def get_grid_features(
        self, pixel_values_videos: torch.Tensor, frame_indices: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :meth:`ClipBertModel.get_grid_features`."""
        return self.clipbert.get_grid_features(pixel_values_videos, frame_indices)

    def _aggregate(self, clip_logits: torch.Tensor) -> torch.Tensor:
        return aggregate_clip_logits(clip_logits, cast("ScoreAggregation", self.config.score_aggregation))


def _mlp(hidden_size: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden_size, hidden_size * 2), nn.ReLU(), nn.Linear(hidden_size * 2, num_outputs))


def _number_of_videos(pixel_values_videos: torch.Tensor | None, grid_features: torch.Tensor | None) -> int:
    check_visual_inputs(pixel_values_videos, grid_features)
    return len(next(visual for visual in (pixel_values_videos, grid_features) if visual is not None))


class ClipBertForVideoQuestionAnswering(ClipBertClipScorer):
    """Open-ended question answering as classification over an answer vocabulary (``config.id2label``)."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Score the answers to questions about videos.

        Args:
            input_ids: Questions, (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            labels: Index of the answer, (N,), -100 to leave one out; or soft scores, (N, L), for image VQA.
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, **kwargs
        )
        clip_logits = self.classifier(self.dropout(outputs.pooler_output))  # (N, K, L)
        logits = self._aggregate(clip_logits)
        return ClipBertScoresOutput(
            loss=None if labels is None else classification_loss(logits, labels),
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForMultipleChoice(ClipBertClipScorer):
    """One score for each choice, which is encoded as question + " " + choice in one segment."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, 1)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Score the choices of questions about videos. Here N is the number of questions, L of choices.

        Args:
            input_ids: (N, L, M).
            attention_mask: (N, L, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: Questions of each video, (B,); by default one question a video.
            labels: Index of the right choice, (N,).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        check_rank(input_ids, "input_ids", "questions, choices, tokens")
        check_rank(attention_mask, "attention_mask", "questions, choices, tokens")
        questions, choices, _ = input_ids.shape
        if texts_per_video is None:
            videos = _number_of_videos(pixel_values_videos, grid_features)
            # One question a video, or all questions of the only video; anything else is an error further down.
            texts_per_video = [choices * (questions if videos == 1 else 1)] * videos
        else:
            texts_per_video = torch.as_tensor(texts_per_video, device=input_ids.device) * choices
        outputs = self.clipbert(
            input_ids.flatten(0, 1),
            None if attention_mask is None else attention_mask.flatten(0, 1),
            pixel_values_videos,
            grid_features,
            texts_per_video,
            **kwargs,
        )
        scores = self.classifier(self.dropout(outputs.pooler_output))  # (N * L, K, 1)
        clip_logits = scores.squeeze(-1).unflatten(0, (questions, choices)).transpose(1, 2)  # (N, K, L)
        logits = self._aggregate(clip_logits)
        return ClipBertScoresOutput(
            loss=None if labels is None else classification_loss(logits, labels),
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForVideoTextRetrieval(ClipBertClipScorer):
    """Does the text match the video? Two logits with cross-entropy, or one with the rank loss."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, 1 if config.retrieval_loss == "rank" else 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertRetrievalOutput:
        """Score pairs of text and video.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,), how many texts are scored against each video.
            labels: (N,), 1 where text and video match, else 0.
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            Logits (N, 2) or (N, 1), and the scores: the softmax probability of a match, or the sigmoid.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, **kwargs
        )
        clip_logits = self.classifier(self.dropout(outputs.pooler_output))  # (N, K, 2 or 1)
        logits = self._aggregate(clip_logits)
        loss = None
        if self.config.retrieval_loss == "rank":
            scores = logits.squeeze(-1).sigmoid()
            if labels is not None:
                video_of_text = match_texts_to_videos(
                    texts_per_video,
                    texts=len(input_ids),
                    videos=_number_of_videos(pixel_values_videos, grid_features),
                    device=logits.device,
                )
                loss = rank_loss(logits, labels, video_of_text, self.config.rank_margin)
        else:
            scores = logits.softmax(-1)[:, 1]
            if labels is not None:
                loss = classification_loss(logits, labels)
        return ClipBertRetrievalOutput(
            loss=loss,
            logits=logits,
            clip_logits=clip_logits,
            scores=scores,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForVideoRegression(ClipBertClipScorer):
    """One number for a video and a question: repetition counting (TGIF-QA), mean squared error."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.regressor = nn.Sequential(
            nn.Linear(size, size),
            nn.ELU(),
            nn.BatchNorm1d(size),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(size, 1),
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Predict a number.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            labels: The right numbers, (N,).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            ``logits`` (N, 1) and ``clip_logits`` (N, K, 1) are the predicted numbers, not rounded.

        Raises:
            InvalidInputError: If a shape or an index is wrong.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, **kwargs
        )
        pooled = outputs.pooler_output  # (N, K, D)
        clip_logits = self.regressor(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])  # (N, K, 1)
        logits = self._aggregate(clip_logits)
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:1]:
                raise InvalidInputError(
                    f"labels must have shape {tuple(logits.shape[:1])} (texts); got {tuple(labels.shape)}"
                )
            loss = nn.functional.mse_loss(logits.squeeze(-1).float(), labels.float())
        return ClipBertScoresOutput(
            loss=loss,
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForPreTraining(ClipBertClipScorer):
    """Masked language modelling and image-text matching (paper, section 3.2)."""

    # The published model has both tied, and a checkpoint that is not is saved untied (tie_word_embeddings).
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "cls.predictions.decoder.weight": "clipbert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.cls = BertPreTrainingHeads(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The decoder of the masked language modelling head."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the decoder of the masked language modelling head."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        mlm_labels: torch.LongTensor | None = None,
        itm_labels: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> ClipBertPreTrainingOutput:
        """Predict masked tokens, and whether text and video match.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W); an image is one clip of one frame.
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            mlm_labels: The token at each masked position, -100 elsewhere, (N, M).
            itm_labels: 1 where text and video match, else 0, (N,).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            ``loss`` is the sum of the losses whose labels were given. The masked-language loss is the mean over
            masked tokens, as is usual; the published code divides by the number of all tokens instead.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, **kwargs
        )
        text_states = outputs.last_hidden_state[:, :, : input_ids.shape[1]]  # (N, K, M, D)
        mlm_logits, clip_logits = self.cls(text_states, outputs.pooler_output)
        logits = self._aggregate(clip_logits)
        mlm_loss = itm_loss = None
        if mlm_labels is not None:
            if mlm_labels.shape != input_ids.shape:
                raise InvalidInputError(
                    f"mlm_labels must have the shape of input_ids, {tuple(input_ids.shape)}; "
                    f"got {tuple(mlm_labels.shape)}"
                )
            labels = mlm_labels[:, None].expand(mlm_logits.shape[:-1])
            mlm_loss = indexed_cross_entropy(mlm_logits, labels, name="mlm_labels")
        if itm_labels is not None:
            itm_loss = classification_loss(logits, itm_labels)
        losses = [loss for loss in (mlm_loss, itm_loss) if loss is not None]
        return ClipBertPreTrainingOutput(
            loss=torch.stack(losses).sum() if losses else None,
            mlm_loss=mlm_loss,
            itm_loss=itm_loss,
            mlm_logits=mlm_logits,
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


__all__ = [
    "ClipBertForMultipleChoice",
    "ClipBertForPreTraining",
    "ClipBertForVideoQuestionAnswering",
    "ClipBertForVideoRegression",
    "ClipBertForVideoTextRetrieval",
    "ClipBertModel",
    "ClipBertPreTrainedModel",
]
