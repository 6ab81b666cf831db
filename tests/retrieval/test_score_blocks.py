"""Scoring goes on after a kill, and in several processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from forked_runs import run_together

from clipbert_hf import InvalidInputError
from clipbert_hf.retrieval import PairScorer, pair_scorer

TEXTS = ["what is it ?", "what color", "what shape is it ?"]


class KilledError(Exception):
    pass


@pytest.fixture
def scorer(saved, monkeypatch) -> PairScorer:
    monkeypatch.setattr(pair_scorer, "_VIDEOS_AT_ONCE", 2)
    return PairScorer.from_pretrained(saved, device="cpu", batch_size=8)


def count_decoded(monkeypatch, stop_after: int | None = None) -> list[object]:
    """Note each video that is decoded, and fail at one of them."""
    decoded: list[object] = []
    decode = PairScorer._decode

    def noted(self, video):
        if stop_after is not None and len(decoded) == stop_after:
            raise KilledError
        decoded.append(video)
        return decode(self, video)

    monkeypatch.setattr(PairScorer, "_decode", noted)
    return decoded


def test_goes_on_after_a_kill(scorer, frames, tmp_path, monkeypatch):
    videos = [frames(seed) for seed in range(7)]
    expected = scorer.score(TEXTS, videos)
    with monkeypatch.context() as patch:
        count_decoded(patch, stop_after=5)
        with pytest.raises(KilledError):
            scorer.score(TEXTS, videos, resume_dir=tmp_path)
    finished = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert finished == ["videos_00000000_2.safetensors", "videos_00000002_2.safetensors"]
    decoded = count_decoded(monkeypatch)
    np.testing.assert_allclose(scorer.score(TEXTS, videos, resume_dir=tmp_path), expected, atol=1e-6)
    assert len(decoded) == 3
    np.testing.assert_array_equal(scorer.score(TEXTS, videos, resume_dir=tmp_path), expected)
    assert len(decoded) == 3
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", ["torn", "changed", "empty"])
def test_a_damaged_block_is_scored_anew(scorer, frames, tmp_path, damage):
    videos = [frames(seed) for seed in range(4)]
    expected = scorer.score(TEXTS, videos, resume_dir=tmp_path)
    path = tmp_path / "videos_00000002_2.safetensors"
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"torn": content[:-3], "changed": changed, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="scored anew"):
        scores = scorer.score(TEXTS, videos, resume_dir=tmp_path)
    np.testing.assert_array_equal(scores, expected)
    assert path.read_bytes() == content


def test_another_job_is_refused(scorer, saved, frames, tmp_path):
    video = tmp_path / "clip.bin"
    videos = [frames(0), torch.from_numpy(frames(1)), scorer.encode(frames(2))[0]]
    jobs = tmp_path / "jobs"
    scorer.score(TEXTS, videos, resume_dir=jobs)
    calls = {
        "other texts": lambda: scorer.score(TEXTS[:2], videos, resume_dir=jobs),
        "other videos": lambda: scorer.score(TEXTS, videos[::-1], resume_dir=jobs),
        "other options": lambda: PairScorer.from_pretrained(saved, device="cpu", num_clips=2).score(
            TEXTS, videos, resume_dir=jobs
        ),
    }
    for message, call in calls.items():
        with pytest.raises(InvalidInputError, match=message):
            call()
    with torch.no_grad():
        scorer.model.classifier[0].bias.add_(1)
    with pytest.raises(InvalidInputError, match="other weights"):
        scorer.score(TEXTS, videos, resume_dir=jobs)
    video.write_bytes(b"no video")
    with video.open("rb") as file, pytest.raises(InvalidInputError, match="recognised again"):
        scorer.score(TEXTS, [file], resume_dir=tmp_path / "other")
    (jobs / "job.json").write_text("{")
    with pytest.raises(InvalidInputError, match="no JSON"):
        scorer.score(TEXTS, videos, resume_dir=jobs)


def score_a_share(rank: int, saved: Path, videos: list[np.ndarray], folder: Path) -> None:
    scorer = PairScorer.from_pretrained(saved, device="cpu", batch_size=8)
    decoded: list[object] = []
    decode = scorer._decode
    scorer._decode = lambda video: decoded.append(video) or decode(video)  # type: ignore[method-assign]
    state = PartialState(cpu=True)
    scores = scorer.score(TEXTS, videos, resume_dir=folder / "blocks", accelerator=state)
    assert len(decoded) == (2 if rank == 0 else 1)
    np.save(folder / f"{rank}.npy", scores)


def test_several_processes_share_the_videos(scorer, saved, frames, tmp_path):
    videos = [frames(seed) for seed in range(3)]
    run_together(2, score_a_share, saved, videos, tmp_path)
    expected = scorer.score(TEXTS, videos)
    for rank in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), expected, atol=1e-6)
    assert len(list((tmp_path / "blocks").glob("*.safetensors"))) == 2
