"""Tiny models of each kind, two real clips, and the command as a function."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate_fixtures import fresh_accelerate, prepared_rows_in_a_folder
from reference_inputs import save_tiny
from transformers.utils import logging
from video_files import real_clip

from clipbert_command_line.main import main
from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
)

__all__ = ["fresh_accelerate", "prepared_rows_in_a_folder"]

ANSWERS = ("red", "blue", "circle", "square")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def clipbert(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command line in this process."""

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        status = main([str(each) for each in arguments])
        return Ended(status, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def transformers_tells_as_before() -> object:
    """A command silences transformers, for its process."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the models ``qa``, ``choice`` and ``retrieval`` and the videos ``bikes.mp4`` and ``carphone.mp4``."""
    folder = tmp_path_factory.mktemp("saved")
    shutil.copy(real_clip("bikes"), folder / "bikes.mp4")
    shutil.copy(real_clip("carphone_pristine"), folder / "carphone.mp4")
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "color", *ANSWERS, "a", "?"]))
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    search = {"contrastive_size": 16, "cls_token_id": 2, "sep_token_id": 3}
    save_tiny(ClipBertForVideoQuestionAnswering, folder / "qa", vocab, labels)
    save_tiny(ClipBertForMultipleChoice, folder / "choice", vocab, {})
    save_tiny(ClipBertForVideoTextRetrieval, folder / "retrieval", vocab, search)
    return folder
