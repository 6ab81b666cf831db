"""What pages call by name, in miniature: models with random weights, videos, tables, an export, a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import timm
from accelerate_fixtures import fresh_accelerate, prepared_rows_in_a_folder
from miniature_files import write_table
from published_miniatures import write_msrvtt
from reference_inputs import save_tiny
from safetensors.torch import save_file
from script_runs import EXAMPLES
from transformers import BertConfig, BertModel
from video_indexes import write_video

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoQuestionAnswering, ClipBertForVideoTextRetrieval

__all__ = ["fresh_accelerate", "prepared_rows_in_a_folder"]

TEXTS = "what color is the circle are they riding ? a man rides bike red circles car cat sleeps"
ANSWERS = ("red", "blue", "bikes", "horses")
VIDEOS = (
    *("bikes.mp4", "a.mp4", "b.mp4", "holidays/1.mp4", "holidays/2.mp4", "videos/1.mp4"),
    *(f"runs/demo/data/videos/test/test_{number:05}.mp4" for number in range(2)),
    *(f"data/videos/clip_{number}.mp4" for number in range(3)),
)


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that pages name; tests work on a copy."""
    home = tmp_path_factory.mktemp("pages")
    for seed, name in enumerate(VIDEOS):
        write_video(home / name, seed)
    vocab = home / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(TEXTS.split())]))
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    search = {"contrastive_size": 16, "cls_token_id": 2, "sep_token_id": 3}
    save_tiny(ClipBertForVideoQuestionAnswering, home / "runs/demo/model", vocab, labels)
    save_tiny(ClipBertForMultipleChoice, home / "my-multiple-choice-model", vocab, {})
    save_tiny(ClipBertForVideoTextRetrieval, home / "my-retrieval-model", vocab, search)
    for copy, model in {"my-model": "runs/demo/model", "my-choice-model": "my-multiple-choice-model"}.items():
        shutil.copytree(home / model, home / copy)
    rows = [[f"clip_{number}.mp4", "a man rides"] for number in range(3)]
    for split in ("train", "test"):
        write_table(home / "data" / f"{split}.csv", [["video", "caption"], *rows], delimiter=",")
    write_msrvtt(home / "data")
    (home / "msrvtt").mkdir()
    (home / "msrvtt" / "annotations").symlink_to(home / "data" / "msrvtt")
    (home / "msrvtt" / "videos").symlink_to(home / "data" / "msrvtt" / "videos")
    return home


@pytest.fixture
def home(miniatures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniatures as the working directory of a test."""
    folder = tmp_path / "home"
    shutil.copytree(miniatures, folder, symlinks=True)
    (folder / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def hub_folders(home: Path) -> None:
    """``bert`` and ``cnn``: what the Hub has under other names, as folders and tiny."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=60, **sizes)).save_pretrained(home / "bert")
    shutil.copy(home / "vocab.txt", home / "bert")
    (home / "cnn").mkdir()
    save_file(timm.create_model("test_resnet").state_dict(), home / "cnn" / "model.safetensors")
    colours = {"mean": [0.5] * 3, "std": [0.25] * 3, "first_conv": "conv1", "classifier": "fc", "num_classes": 1000}
    config = {"architecture": "test_resnet", "num_classes": 1000, "pretrained_cfg": colours}
    (home / "cnn" / "config.json").write_text(json.dumps(config))
