"""Pre-training on single frames or images with captions: masked language modelling and image-text matching.

Paper, section 3.2. Mismatched texts are captions of other videos, of the whole split or of the batch, or hard ones
where the data set has them: a wrong word in a true caption. Evaluations never draw from the batch, so that their
figures do not depend on its size. A contrastive head, if the model has one, trains beside these: the frames of a video
in a sample are its clips, and all captions of the sample are true of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ...metrics import choice_accuracy, retrieval_metrics
from ...model.contrastive_clipbert import ContrastivePooling, contrastive_similarity
from ...model.processing_clipbert import ClipBertProcessor
from ..contrastive import KEY, ContrastiveLoss, ContrastiveSettings, contrastive_inputs, contrastive_part
from ..data.captions import CaptionPool
from ..data.frames import PretrainingSamples
from ..data.loaders import create_loader
from ..data.masking import IGNORED, TextMasker
from ..data.row_tables import Row
from ..recipe import RecipeError, ScriptSettings, check_at_least, check_shares, setting

_MOST_SEARCHED = 1000


@dataclass(kw_only=True)
class PretrainingRecipe(ScriptSettings, ContrastiveSettings):
    """Pre-training on frames and captions."""

    frames_per_video: int = setting(1, "frames of a video in a sample; batch_size counts videos")
    captions_per_video: int | None = setting(
        None, "captions of a video in a sample, an epoch then has every caption once; null: every video once"
    )
    masked_texts: int = setting(1, "texts of a frame for masked language modelling")
    matched_texts: int = setting(1, "texts of a frame for image-text matching")
    mask_probability: float = setting(0.15, "how often a word is masked")
    key_word_mask_probability: float = setting(0.5, "how often a key word is masked, where the data set names some")
    negatives: Literal["random", "hard", "in_batch"] = setting(
        "hard", "where mismatches come from; hard: those of the data set, else of other videos the most alike"
    )
    hard_negatives: float = setting(1.0, "share of hard ones among mismatches with negatives=hard; others are random")
    hard_candidates: int = setting(16, "of how many captions drawn a hard negative is the most alike")

    def check(self) -> None:
        """See the base."""
        super().check()
        lowest = {"frames_per_video": 1, "captions_per_video": 1, "hard_candidates": 1}
        check_at_least(self, {**lowest, "masked_texts": 0, "matched_texts": 0})
        if not self.masked_texts + self.matched_texts:
            raise RecipeError("masked_texts and matched_texts are both 0: there is nothing to learn")
        check_shares(
            hard_negatives=self.hard_negatives,
            mask_probability=self.mask_probability,
            key_word_mask_probability=self.key_word_mask_probability,
        )


class PretrainingCollator:
    """Samples to a batch: what the model takes, labels included.

    Args:
        masker: Its tokenizer pads, and encodes the captions that are set against other videos of the batch.
        pool: Says which of these are wrong.
        processor: Encodes the captions for a contrastive head; None: there is none.
    """

    def __init__(self, masker: TextMasker, pool: CaptionPool, processor: ClipBertProcessor | None = None) -> None:
        self.masker, self.pool, self.processor = masker, pool, processor
        self.padding = masker.tokenizer.pad_token_id

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Lay the texts of all frames out in one tensor."""
        tokens = [text for place in range(len(samples)) for text in self._texts(samples, place)]
        labels = [text for sample in samples for text in sample["mlm_labels"]]
        longest = max(len(text) for text in tokens)
        input_ids = torch.tensor([text + [self.padding] * (longest - len(text)) for text in tokens])
        lengths = torch.tensor([len(text) for text in tokens])
        pixels = torch.cat([sample["pixels"] for sample in samples])
        more_inputs, contrastive = self._contrastive(samples)
        return {
            **contrastive,
            "inputs": {
                **more_inputs,
                "pixel_values_videos": pixels,
                "input_ids": input_ids,
                "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
                "texts_per_video": torch.full((len(pixels),), len(tokens) // len(pixels)),
                "mlm_labels": torch.tensor([text + [IGNORED] * (longest - len(text)) for text in labels]),
                "itm_labels": torch.tensor([label for sample in samples for label in sample["itm_labels"]]),
            },
            "texts": [len(sample["tokens"]) for sample in samples],
            "ids": [name for sample in samples for name in sample["ids"]],
        }

    def _contrastive(self, samples: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the model takes of the captions for its contrastive head, and the rest of the batch's part."""
        if self.processor is None:
            return {}, {}
        texts, part = contrastive_part([{"rows": sample["captions"]} for sample in samples], self.pool)
        tokens = self.processor(text=texts)
        videos = [sample["captions"][0]["video"] for sample in samples]
        inputs = {f"contrastive_{name}": tokens[name] for name in ("input_ids", "attention_mask")}
        return inputs, {KEY: part, "videos": videos}

    def _texts(self, samples: list[dict[str, Any]], place: int) -> list[list[int]]:
        """The tokens of a sample's texts. A mismatch stays random where the batch has no wrong caption for it."""
        sample = samples[place]
        texts = list(sample["tokens"])
        others = self.pool.of_others(samples, place) if sample["in_batch"] else []
        for number, text in enumerate(sample["in_batch"] if others else []):
            texts[text] = self.masker.encode(others[number % len(others)])
        return texts


class PretrainingTask:
    """See :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        contrast: How a contrastive head trains; None: the model has none.
        pooling: Of the head.
        searched: Videos of the split to evaluate, among which the head finds the one of a caption: the first 1,000.
    """

    def __init__(
        self,
        contrast: ContrastiveSettings | None = None,
        *,
        pooling: str = "maxsim",
        searched: Collection[str] = (),
    ) -> None:
        self.contrast = None if contrast is None else ContrastiveLoss(contrast)
        self.searched = list(searched)[:_MOST_SEARCHED]
        self.pooling = cast("ContrastivePooling", pooling)

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`."""
        names = ["mlm_accuracy", "itm_accuracy", "mean_accuracy"]
        return names if self.contrast is None else [*names, "contrastive_r1"]

    def begin_step(self, accelerator: Any, model: nn.Module, batches: list[Any], finish: Callable[[Any], Any]) -> None:
        """See :class:`ContrastiveLoss`."""
        if self.contrast is not None:
            self.contrast.begin_step(accelerator, model, batches, finish)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Of masked words and of matches; beside them that of a contrastive head."""
        if self.contrast is None:
            output = model(**batch["inputs"])
            return {"mlm": output.mlm_loss, "itm": output.itm_loss}
        weight = self.contrast.settings.matching_weight
        inputs = batch["inputs"] if weight else contrastive_inputs(batch["inputs"])
        output, contrastive = self.contrast.forward(model, batch, **inputs)
        others = {"mlm": weight * output.mlm_loss, "itm": weight * output.itm_loss} if weight else {}
        return {**others, "contrastive": contrastive}

    def label_counts(self, batch: dict[str, Any]) -> dict[str, int]:
        """Masked words, texts that do or do not match, captions."""
        names = ("mlm", "itm") if self.contrast is None or self.contrast.settings.matching_weight else ()
        counts = {name: int((batch["inputs"][f"{name}_labels"] != IGNORED).sum()) for name in names}
        return counts if self.contrast is None else {**counts, "contrastive": len(batch[KEY]["captions"])}

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """For each video, of the masked tokens and of the matches, what was guessed and what is right: (2, asked).

        With a contrastive head also the vectors of its first caption and of its frames, if it is searched.
        """
        inputs = batch["inputs"]
        output = model(**inputs)
        guesses = {"mlm": output.mlm_logits[:, 0].argmax(-1), "itm": output.logits.argmax(-1)}
        records: list[dict[str, np.ndarray]] = [{} for _ in batch["texts"]]
        for name, guess in guesses.items():
            pairs = torch.stack([guess, inputs[f"{name}_labels"]]).cpu()
            for record, of_video in zip(records, pairs.split(batch["texts"], dim=1), strict=True):
                record[name] = of_video[:, of_video[1] != IGNORED].numpy()
        if self.contrast is not None:
            firsts = (batch[KEY]["video_of_text"].diff(prepend=batch[KEY]["video_of_text"][:1] - 1) != 0).nonzero()
            clips = output.clip_embeds.reshape(len(records), -1, output.clip_embeds.shape[-1]).float().cpu().numpy()
            for place, (record, text) in enumerate(zip(records, firsts.flatten().tolist(), strict=True)):
                if batch["videos"][place] in self._places:
                    kept = output.text_embeds[text][output.text_embeds_mask[text]].float().cpu().numpy()
                    number = np.array(self._places[batch["videos"][place]])
                    record |= {"text": kept, "clips": clips[place], "video": number}
        return records

    @cached_property
    def _places(self) -> dict[str, int]:
        return {video: place for place, video in enumerate(self.searched)}

    def metrics(self, records: list[dict[str, np.ndarray]]) -> dict[str, float]:
        """Accuracy of masked words and of matches, as far as there are any, and their mean; R@1 of a contrastive head.

        ``contrastive_r1`` is how often the first caption of a video finds that video among those that are searched.
        """
        metrics = {}
        for name in ("mlm", "itm"):
            guesses, rights = np.concatenate([record[name] for record in records], axis=1)
            if len(rights):
                metrics[f"{name}_accuracy"] = choice_accuracy(guesses, rights)["accuracy"]
        metrics["mean_accuracy"] = sum(metrics.values()) / len(metrics)
        if self.contrast is not None:
            metrics["contrastive_r1"] = self._found([record for record in records if "text" in record])
        return metrics

    def _found(self, records: list[dict[str, np.ndarray]]) -> float:
        # In one order, whatever the number of processes; of videos that come twice, one.
        records = list({int(record["video"]): record for record in records}.values())
        texts = [torch.from_numpy(record["text"]) for record in records]
        vectors = nn.utils.rnn.pad_sequence(texts, batch_first=True)
        kept = torch.arange(vectors.shape[1]) < torch.tensor([[len(text)] for text in texts])
        clips = torch.from_numpy(np.stack([record["clips"] for record in records]))
        scores = contrastive_similarity(vectors, kept, clips, pooling=self.pooling).numpy()
        return retrieval_metrics(scores, np.arange(len(records)))["text_to_video"]["r1"]


def create_pretraining_loader(
    rows: Sequence[Row],
    recipe: PretrainingRecipe,
    processor: ClipBertProcessor,
    *,
    training: bool = False,
    contrasts: bool = False,
) -> DataLoader[Any]:
    """A loader of frames with masked captions, and captions that do or do not match.

    Args:
        rows: Of a split.
        recipe: The settings.
        processor: Of the model.
        training: Whether videos are shuffled, and negatives may come from the batch.
        contrasts: Whether batches are also for a contrastive head.
    """
    masker = TextMasker(
        processor,
        probability=recipe.mask_probability,
        key_word_probability=recipe.key_word_mask_probability,
    )
    pool = CaptionPool(rows)
    most = recipe.captions_per_video if training else None
    read = PretrainingSamples(
        processor,
        masker,
        pool,
        frames=recipe.frames_per_video,
        masked_texts=recipe.masked_texts,
        matched_texts=recipe.matched_texts,
        negatives="random" if recipe.negatives == "in_batch" and not training else recipe.negatives,
        hard_negatives=recipe.hard_negatives,
        hard_candidates=recipe.hard_candidates,
        in_turn=most is not None,
    )
    groups = pool.groups if most is None else pool.groups.cut(most)
    collate = PretrainingCollator(masker, pool, processor if contrasts else None)
    return create_loader(groups, read, collate, recipe, training=training, blank=read.without_video)
