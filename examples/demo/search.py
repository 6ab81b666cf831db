"""What a search does, shown: seconds of each stage for one text, and which clip matched each of its words."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos, join_videos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer
from clipbert_hf.retrieval.moments import word_moments
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings
from examples.demo.steps import say

CLIPS, CANDIDATES = 16, 10
Result = TypeVar("Result")


@torch.inference_mode()
def search_once(model_folder: Path, data: Path) -> dict[str, float]:
    """Search the test videos with the first test caption, and show what was found.

    Args:
        model_folder: A model for retrieval with a contrastive head, and its processor.
        data: The folder of its data set.

    Returns:
        Seconds for one text: ``first_stage``, ``two_stage`` with ten candidates, and ``matching`` of all videos.
    """
    model = ClipBertForVideoTextRetrieval.from_pretrained(model_folder).eval()
    processor = ClipBertProcessor.from_pretrained(model_folder)
    rows = load_splits(DataSettings(data_dir=str(data)), "retrieval")["test"]
    text, names = rows[0]["caption"], list(dict.fromkeys(row["video"] for row in rows))
    scorer = ClipBertPairScorer(model)
    videos, seconds = _encode(names, processor, scorer)
    clips = model.embed_clips(videos.tokens)[videos.clip_places]  # (videos, clips, size)
    tokens = dict(processor(text=[text]))
    scorer.score_pairs(**tokens, videos=videos)  # which warms up

    def first_stage() -> torch.Tensor:
        vectors, kept = model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
        return contrastive_similarity(vectors, kept, clips)[0]

    similarity, of_first = _timed(first_stage)
    best = similarity.argsort(descending=True)[:CANDIDATES].tolist()
    _, of_candidates = _timed(lambda: scorer.score_pairs(**tokens, videos=videos.select(best)))
    _, of_all = _timed(lambda: scorer.score_pairs(**tokens, videos=videos))
    _show(model, processor, text, names, best[0], clips[best[0]], seconds[best[0]])
    return {"first_stage": of_first, "two_stage": of_first + of_candidates, "matching": of_all}


def _encode(
    names: list[str], processor: ClipBertProcessor, scorer: ClipBertPairScorer
) -> tuple[EncodedVideos, list[Any]]:
    encoded, seconds = [], []
    for name in names:
        video = processor(videos=[name], num_clips=CLIPS, return_metadata=True)
        encoded.append(scorer.encode_videos(video["pixel_values_videos"], video["frame_indices"]))
        seconds.append(video["clip_seconds"][0].numpy())
    return join_videos(encoded), seconds


def _show(
    model: ClipBertForVideoTextRetrieval,
    processor: ClipBertProcessor,
    text: str,
    names: list[str],
    place: int,
    clips: torch.Tensor,
    seconds: Any,
) -> None:
    tokens = processor.tokenizer(text, return_tensors="pt")
    words = text.split()
    ids = processor.tokenizer(words, is_split_into_words=True).word_ids()
    vectors, _ = model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
    placed = [(word, [token for token, of in enumerate(ids) if of == number]) for number, word in enumerate(words)]
    cosines = (vectors[0] @ clips.T).numpy()  # (tokens, clips)
    say(f'\nSearching for "{text}"\n  finds {Path(names[place]).name}; the clip that matched each word:')
    for moment in word_moments([each for each in placed if each[0].isalnum()], cosines, seconds):
        say(f"  {moment.word:<12}{moment.start:5.1f} to {moment.end:4.1f} s   cosine {moment.score:.2f}")


def _timed(run: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start
