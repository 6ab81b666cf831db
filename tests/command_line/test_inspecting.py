"""``info``, ``doctor`` and ``push``."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from clipbert_command_line.actions import upload
from clipbert_hf import ClipBertForVideoQuestionAnswering


def test_info_of_a_model_and_of_videos(clipbert, saved):
    facts = json.loads(clipbert("info", "--model", saved / "qa", "--json").out)
    model = ClipBertForVideoQuestionAnswering.from_pretrained(saved / "qa")
    expected = {"command": "clipbert ask", "answers": ["red", "blue", "circle", "square"], "clips": 2, "words": 13}
    assert expected.items() <= facts.items()
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert "red, blue, circle, square" in clipbert("info", "--model", saved / "qa").out
    done = clipbert("info", saved / "bikes.mp4", "--json")
    facts = {"frames": 250, "fps": 25.0, "duration": 10.0, "height": 272, "width": 640}
    assert json.loads(done.out) == {"video": str(saved / "bikes.mp4"), **facts}


def test_doctor_finds_all_well_here(clipbert, saved):
    done = clipbert("doctor", saved / "bikes.mp4", "--model", saved / "qa", "--json")
    checks = {check["what"]: check for check in json.loads(done.out)}
    assert done.status == 0, done.out
    wanted = {"Python", "torch", "decode with pyav", f"decode {saved / 'bikes.mp4'}", "forward on cpu"}
    assert all(checks[what]["ok"] for what in wanted)
    assert "250 frames, 640x272" in checks[f"decode {saved / 'bikes.mp4'}"]["found"]
    assert "VideoQuestionAnswering" in checks[f"{saved / 'qa'} on cpu"]["found"]


def test_doctor_tells_of_what_fails(clipbert, saved, tmp_path):
    (tmp_path / "torn.mp4").write_bytes((saved / "bikes.mp4").read_bytes()[:5000])
    done = clipbert("doctor", tmp_path / "torn.mp4", "--json")
    (failed,) = [check for check in json.loads(done.out) if check["ok"] is False]
    assert done.status == 1
    assert failed["what"] == f"decode {tmp_path / 'torn.mp4'}"
    assert failed["found"].startswith("VideoDecodeError")


def test_push_uploads_the_model_and_nothing_else(clipbert, saved, tmp_path, monkeypatch):
    """The Hub is replaced; what would be sent is looked at."""
    folder = shutil.copytree(saved / "qa", tmp_path / "qa")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "state.json").touch()
    for name in ("log.jsonl", "results.json", ".secret.json"):
        (folder / name).write_text("{}")
    calls = []

    class Hub:
        def create_repo(self, repository: str, **options: object) -> str:
            calls.append((repository, options))
            return f"https://hub/{repository}"

        def upload_folder(self, *, allow_patterns: list[str], **options: object) -> None:
            calls.append((set(allow_patterns), options))

    monkeypatch.setattr(upload, "HfApi", Hub)
    done = clipbert("push", "team/model", "--model", folder, "--private", "--json")
    assert json.loads(done.out)["url"] == "https://hub/team/model"
    (made, sent) = calls
    assert made == ("team/model", {"private": True, "exist_ok": True})
    assert sent[1] == {"repo_id": "team/model", "folder_path": str(folder), "commit_message": "Add the model"}
    expected = {path.name for path in Path(saved / "qa").iterdir()} | {"results.json"}
    assert sent[0] == expected
    assert {"config.json", "model.safetensors", "modeling_clipbert.py", "tokenizer.json"} <= expected


@pytest.mark.parametrize("repository", ["a/b/c", "a b", "-x"])
def test_names_that_the_hub_does_not_know(repository, clipbert, saved):
    done = clipbert("push", "--model", saved / "qa", "--", repository)
    assert done.status == 2
    assert done.err.startswith("error: REPO: ")


def test_a_hub_that_cannot_be_reached(clipbert, saved, monkeypatch):
    """Nobody listens there."""
    monkeypatch.setattr(upload, "HfApi", partial(HfApi, endpoint="http://127.0.0.1:9"))
    done = clipbert("push", "team/model", "--model", saved / "qa")
    assert done.status == 2
    assert done.err.startswith("error: REPO team/model: cannot be uploaded: ")
    assert len(done.err.splitlines()) == 1
