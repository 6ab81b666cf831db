"""Captions that say the same are never each other's negatives, whichever way negatives are drawn."""

from __future__ import annotations

import string
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.training.data.captions import CaptionPool, RetrievalSamples, caption_key
from clipbert_hf.training.data.frames import PretrainingSamples
from clipbert_hf.training.tasks.pretraining import PretrainingCollator
from clipbert_hf.training.tasks.retrieval_batches import RetrievalCollator


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A red ring", "a red ring"),
        ("a red ring", "a red ring."),
        ("a red ring", "  a  red\tring \n"),
        ("a red ring", "a red\u00a0ring\u2003"),  # a space that does not break, a wide one
        ("a man, running", "a man running !"),
        ("a man's T-shirt", "a mans t shirt"),
        ("a man's hat", "a man\u2019s hat"),
        ("do n't run", "don't run"),
        ("STRASSE", "straße"),
        ("cafe\u0301 bar", "caf\u00e9 bar"),
        ("\uff32\uff25\uff24 ring", "red ring"),  # full width
        ("the \ufb01sh", "the fish"),  # a ligature
        ("a red\u200bring", "a red\u00adring"),  # not seen
        ("\u00bfqu\u00e9 es?", "qu\u00e9 es"),
        ("two + two", "two two"),  # ASCII's marks, whatever Unicode calls them
    ],
)
def test_captions_that_say_the_same(one: str, other: str) -> None:
    assert caption_key(one) == caption_key(other) != ""
    assert caption_key(caption_key(one)) == caption_key(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a red ring", "a red rings"), ("1 ring", "2 rings"), ("r\u00e9d", "red"), ("ring \u2665", "ring"), ("ring", "")],
)
def test_captions_that_do_not(one: str, other: str) -> None:
    assert caption_key(one) != caption_key(other)


# --- All ways of drawing ---

SAYINGS = [("a", "red", "ring"), ("two", "stars"), ("a", "red", "star"), ("no", "ring"), ("blue",)]
BETWEEN = [" ", "  ", "\t", " , ", "-", ". ", " '", "\u00a0", "\u2003", " \u2014 ", " \u200b"]
WIDE = str.maketrans({letter: chr(ord(letter) + 0xFEE0) for letter in string.ascii_letters})


@st.composite
def captions(draw: st.DrawFn) -> tuple[int, str]:
    """What is said, and how it is written."""
    saying = draw(st.integers(0, len(SAYINGS) - 1))
    ways = [
        str.lower,
        str.upper,
        str.title,
        lambda word: word.translate(WIDE),
        lambda word: word.upper().translate(WIDE),
    ]
    words = [draw(st.sampled_from(ways))(word) for word in SAYINGS[saying]]
    text = words[0] + "".join(draw(st.sampled_from(BETWEEN)) + word for word in words[1:])
    ends = st.sampled_from(["", ".", " !", '"', " ", "\u2026", "\n", "(", "\u00bf"])
    return saying, draw(ends) + text + draw(ends)


rows_of_captions = st.lists(
    st.tuples(st.sampled_from("abcd"), captions(), st.lists(captions(), max_size=3)), min_size=2, max_size=9
)
SAYING_OF = {"".join(words): number for number, words in enumerate(SAYINGS)}


def saying(text: str) -> int:
    """Found again letter by letter, without the code under test."""
    narrow = (chr(ord(c) - 0xFEE0) if 0xFF21 <= ord(c) <= 0xFF5A else c for c in text)
    return SAYING_OF["".join(c for c in narrow if c.isascii() and c.isalpha()).lower()]


class Masker:
    """Hands texts through instead of tokens."""

    tokenizer = SimpleNamespace(pad_token_id=0)

    def encode(self, text: str) -> list[str]:
        return [text]

    def mask(self, text: str, *_: Any) -> tuple[list[str], list[int]]:
        return [text], []


def pixels(rows: list[dict[str, Any]], generator: np.random.Generator) -> dict[str, Any]:
    return {"pixels": torch.zeros(1, 1, 1, 3, 8, 8), "rows": rows}


@settings(max_examples=150, deadline=None)
@given(rows_of_captions, st.integers(0, 99), st.sampled_from(["random", "hard", "in_batch"]), st.integers(1, 8))
def test_no_negative_says_what_a_caption_of_the_video_says(
    drawn: list[tuple[str, tuple[int, str], list[tuple[int, str]]]], seed: int, negatives: Any, among: int
) -> None:
    rows = [
        {"id": str(n), "video": video, "caption": text, "hard_negatives": [other for _, other in hard]}
        for n, (video, (_, text), hard) in enumerate(drawn)
    ]
    own: dict[str, set[int]] = {}
    for video, (number, text), _ in drawn:
        assert saying(text) == number
        own.setdefault(video, set()).add(number)
    pool = CaptionPool(rows)
    videos = {video: [row for row in rows if row["video"] == video] for video in own}

    # Retrieval: samples, and what the collator adds.
    retrieval = RetrievalSamples(
        pixels,
        pool,
        negatives=negatives,
        negatives_per_caption=2,
        hard_candidates=among,  # type: ignore[arg-type]
    )
    samples = [retrieval(group, np.random.default_rng([seed, n])) for n, group in enumerate(videos.values())]
    collate = RetrievalCollator(lambda text: {"texts": text}, pool, in_batch=9 if negatives == "in_batch" else 0)  # type: ignore[arg-type]
    made = collate(samples)
    labels = iter(made["labels"].tolist())
    for video, texts in zip(videos, made["inputs"]["texts"], strict=True):
        for text in texts:
            assert (saying(text) in own[video]) == bool(next(labels))

    # Pre-training: likewise.
    read = PretrainingSamples(
        SimpleNamespace(video_processor=ClipBertVideoProcessor(size={"longest_edge": 8})),  # type: ignore[arg-type]
        Masker(),  # type: ignore[arg-type]
        pool,
        frames=1,
        masked_texts=0,
        matched_texts=6,
        negatives=negatives,
        hard_negatives=0.7,
        hard_candidates=among,
    )
    samples = [read.without_video(group, np.random.default_rng([seed, n])) for n, group in enumerate(videos.values())]
    collator = PretrainingCollator(Masker(), pool)  # type: ignore[arg-type]
    for place, (video, sample) in enumerate(zip(videos, samples, strict=True)):
        for (text,), match in zip(collator._texts(samples, place), sample["itm_labels"], strict=True):
            assert (saying(text) in own[video]) == bool(match)


def test_each_of_the_wrong_captions_once() -> None:
    rows = [{"video": v, "caption": text} for v, text in (("a", "a ring"), ("b", "A star."), ("c", "a star"))]
    pool = CaptionPool(rows)
    assert pool.of_others([{"rows": [row]} for row in rows], 0) == ["A star."]
    assert pool.wrong("b", ["a STAR", "a ring", "A ring !", "the sky"]) == ["a ring", "the sky"]


def test_where_all_say_the_same_there_is_no_negative() -> None:
    rows = [{"video": str(n), "caption": text} for n, text in enumerate(["a ring", "A ring", "a ring."])]
    pool = CaptionPool(rows)
    assert pool.draw("0", np.random.default_rng(0)) is None
    assert pool.draw_alike(rows[0], np.random.default_rng(0), among=9) is None
