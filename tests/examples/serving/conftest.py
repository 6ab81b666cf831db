"""Tiny models with random weights and small videos."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference_inputs import save_tiny
from video_indexes import write_video

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoQuestionAnswering, ClipBertForVideoTextRetrieval

WORDS = "what color is it ? a red blue video"
ANSWERS = ("red", "blue", "bikes", "horses")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``ask``, ``choose`` and ``match``; ``0.mp4`` to ``3.mp4``."""
    folder = tmp_path_factory.mktemp("serving")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]))
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    save_tiny(ClipBertForVideoQuestionAnswering, folder / "ask", vocabulary, labels)
    save_tiny(ClipBertForMultipleChoice, folder / "choose", vocabulary, {})
    save_tiny(ClipBertForVideoTextRetrieval, folder / "match", vocabulary, {})
    for seed in range(4):
        write_video(folder / f"{seed}.mp4", seed)
    return folder


@pytest.fixture(scope="module")
def server(home: Path):
    """Answers questions; videos of the folder ``home`` may be named by path."""
    from running_server import running  # not before: a conftest cannot be skipped

    with running(model=str(home / "ask"), batch_size=4, max_wait_ms=200, max_mb=1, video_dir=home) as server:
        yield server
