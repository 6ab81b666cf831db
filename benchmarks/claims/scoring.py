"""Tests a trained model once: which questions it answers, which texts find their videos, with each number of clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.claims.inference_clips import InferenceClips
from benchmarks.claims.outcomes import AT, Outcomes
from benchmarks.claims.settings import Scale, Setting
from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.metrics.retrieval import text_to_video_ranks
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer, ranking_scores
from clipbert_hf.training.data.rows import group_by_video
from clipbert_hf.training.data.splits import Row, load_splits
from clipbert_hf.training.recipe import DataSettings
from clipbert_hf.training.tasks.clip_scores import clips_by_count, logits_by_clips

# Where one clip lies, as published for each task.
_SINGLE_CLIP = {"qa": "dense", "retrieval": "middle"}
# So few stay in the cache of a core.
_PAIRS_AT_ONCE = 128


def score(setting: Setting, model_folder: Path, data: Path, scale: Scale) -> Outcomes:
    """Test a model.

    Args:
        setting: How it was trained; of question answering or retrieval.
        model_folder: A folder of the script that trained it.
        data: A folder of the embedded data set with test videos.
        scale: Numbers of inference clips, and the gallery.
    """
    config = setting.overrides.get("dataset_config", setting.task)
    groups = group_by_video(load_splits(DataSettings(data_dir=str(data)), config)["test"])
    processor, counts = ClipBertProcessor.from_pretrained(model_folder), scale.inference_clips
    clips = InferenceClips(groups, processor, counts, single_clip=_SINGLE_CLIP[setting.task], data=data)
    score_task = {"qa": _score_questions, "retrieval": _score_retrieval}[setting.task]
    with torch.inference_mode():
        return score_task(setting, model_folder, groups, clips, scale)


def _score_questions(
    setting: Setting, folder: Path, groups: Sequence[list[Row]], clips: InferenceClips, scale: Scale
) -> Outcomes:
    model = ClipBertForVideoQuestionAnswering.from_pretrained(folder).eval()
    processor = ClipBertProcessor.from_pretrained(folder)
    scorer = ClipBertPairScorer(model, pairs_at_once=_PAIRS_AT_ONCE)
    answers = [model.config.id2label[place] for place in range(model.config.num_labels)]
    rows = [row for group in groups for row in group]
    hits: dict[str, list[bool]] = {}
    for place, group in enumerate(groups):
        video = clips.encode(slice(place, place + 1), scorer)
        tokens = processor(text=[row["question"] for row in group])
        output = scorer.score_pairs(tokens["input_ids"], tokens["attention_mask"], videos=video)
        clip_logits = cast("torch.Tensor", output.clip_logits).squeeze(1)  # (questions, K, answers)
        for name, logits in _aggregated(clip_logits, setting, scale):
            chosen = [answers[place] for place in logits.argmax(-1).tolist()]
            right = [answer == row["answer"] for answer, row in zip(chosen, group, strict=True)]
            hits.setdefault(f"accuracy{name}", []).extend(right)
    found = _outcomes(groups, hits)
    kinds = np.array([row["answer_type"] for row in rows])
    if "motion" in kinds:
        for name, of_all in [*found.hits.items()]:
            found.hits[f"motion_{name}"] = np.where(kinds == "motion", of_all, np.nan).astype(np.float32)
            found.hits[f"still_{name}"] = np.where(kinds != "motion", of_all, np.nan).astype(np.float32)
    return found


def _score_retrieval(
    setting: Setting, folder: Path, groups: Sequence[list[Row]], clips: InferenceClips, scale: Scale
) -> Outcomes:
    """Each text looks for its video in a gallery of so many; galleries are parts of the split."""
    model = ClipBertForVideoTextRetrieval.from_pretrained(folder).eval()
    processor = ClipBertProcessor.from_pretrained(folder)
    scorer = ClipBertPairScorer(model, pairs_at_once=_PAIRS_AT_ONCE)
    hits: dict[str, list[bool]] = {}
    for first in range(0, len(groups), scale.gallery):
        part = slice(first, first + scale.gallery)
        gallery, videos = groups[part], clips.encode(part, scorer)
        tokens = processor(text=[rows[0]["caption"] for rows in gallery])
        for name, scores in _rankings(model, scorer, tokens, videos, setting, scale):
            ranks = text_to_video_ranks(scores.numpy(), np.arange(len(gallery)))
            hits.setdefault(name, []).extend((ranks <= 1).tolist())
    return _outcomes([rows[:1] for rows in groups], hits)


def _rankings(
    model: Any, scorer: ClipBertPairScorer, tokens: Any, videos: EncodedVideos, setting: Setting, scale: Scale
) -> Iterator[tuple[str, torch.Tensor]]:
    """Scores (texts, videos) of matching, if it was trained, and of a contrastive head, if there is one."""
    if setting.matches:
        output = scorer.score_pairs(tokens["input_ids"], tokens["attention_mask"], videos=videos)
        clip_logits = cast("torch.Tensor", output.clip_logits)  # (N, B, K, L)
        for name, logits in _aggregated(clip_logits.flatten(0, 1), setting, scale, single_clip="middle"):
            yield f"r1{name}", ranking_scores(logits).unflatten(0, clip_logits.shape[:2])
    if model.contrastive is not None:
        clips = model.embed_clips(videos.tokens)[videos.clip_places]  # (B, K, C)
        texts, kept = model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
        of_counts = clips_by_count(clips.shape[1], scale.inference_clips, single_clip="middle")
        for count, some in of_counts.items():
            pooling = model.config.contrastive_pooling
            yield f"contrastive_r1{AT}{count}", contrastive_similarity(texts, kept, clips[:, some], pooling=pooling)


def _aggregated(
    clip_logits: torch.Tensor, setting: Setting, scale: Scale, *, single_clip: str = "dense"
) -> Iterator[tuple[str, torch.Tensor]]:
    """With each number of clips, by the first way to aggregate; by the others with the most clips."""
    counts = scale.inference_clips
    for place, way in enumerate(setting.aggregations):
        for count, logits in logits_by_clips(clip_logits, way, counts, single_clip=single_clip).items():
            if place == 0:
                yield f"{AT}{count}", logits
            elif count == max(counts):
                yield f"_{way}{AT}{count}", logits


def _outcomes(groups: Sequence[list[Row]], hits: dict[str, list[bool]]) -> Outcomes:
    places = [place for place, rows in enumerate(groups) for _ in rows]
    ids = [row["id"] for rows in groups for row in rows]
    return Outcomes(np.array(ids), np.array(places), {name: np.array(some, np.float32) for name, some in hits.items()})
