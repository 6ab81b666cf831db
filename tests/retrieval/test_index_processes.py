"""Indexes that several processes build, or one that is killed: the rows are those of a build that nothing disturbed."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from dying_work import Dying
from forked_runs import fork_context, run_together
from video_files import real_clip
from video_indexes import build, rows_of, same_rows, write_video

import clipbert_hf
from clipbert_hf.errors import InvalidInputError
from clipbert_hf.retrieval import index_building
from clipbert_hf.retrieval.index_table import IndexTable
from clipbert_hf.retrieval.index_workers import PRELOAD
from clipbert_hf.retrieval.pair_scorer import PairScorer
from clipbert_hf.retrieval.video_index import VideoIndex
from datasets_scripts.execution.executor import LOST, choose_executor
from datasets_scripts.execution.processes import Processes

pytest.importorskip("lancedb", reason='needs pip install "clipbert_hf[search]"')


def _build_alone(folder: str, uri: str, model: str, compacted_from: int = 256) -> None:
    torch.set_num_threads(1)
    index_building._COMPACTED_FROM = compacted_from
    VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)


def start_build(folder: Path, uri: Path, model: Path, **options: int) -> BaseProcess:
    process = fork_context().Process(target=_build_alone, args=(str(folder), str(uri), str(model)), kwargs=options)
    process.start()
    return process


def rows_there(uri: Path) -> list[str]:
    table = IndexTable.find(uri) if uri.exists() else None
    return [] if table is None else table.read(["path"])["path"].to_pylist()


def kill(process: BaseProcess) -> None:
    process.kill()  # by SIGKILL
    process.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 videos could not be read")
def test_a_killed_build_goes_on(index, uninterrupted, folder, model, tmp_path):
    """Killed after the first row, then at moments that were drawn; what is there stays and nothing is there twice."""
    uri = tmp_path / "index"
    generator = np.random.default_rng(0)
    kept = 0
    for number in range(2):
        process = start_build(folder, uri, model)
        while process.is_alive() and len(rows_there(uri)) <= number:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.03))
        kill(process)
        assert len(rows_there(uri)) >= max(kept, number + 1)
        kept = len(rows_there(uri))
    again = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)
    assert len(again.report.added) == 7 - kept
    assert same_rows(rows_of(uri), rows_of(uninterrupted))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:1 videos could not be read")
def test_a_build_killed_twenty_times(originals, model, tmp_path):
    """Real and generated videos, one of them torn, files put together every few rows; then the files change."""
    folder = shutil.copytree(originals, tmp_path / "videos")
    for name in ("bikes", "bigbuckbunny", "carphone_pristine"):
        shutil.copy(real_clip(name), folder)
    for seed in range(20, 100):
        write_video(folder / "more" / f"{seed}.mp4", seed)
    build(folder, tmp_path / "uninterrupted", model)
    uri, generator, kept = tmp_path / "index", np.random.default_rng(0), set()
    in_the_middle = 0
    for _ in range(20):
        process = start_build(folder, uri, model, compacted_from=4)
        rows = int(generator.integers(0, 3))  # 0: at any moment from its start on
        before = len(kept)
        while process.is_alive() and len(rows_there(uri)) < before + rows:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.1 if rows else 2))
        in_the_middle += process.is_alive()
        kill(process)
        there = rows_there(uri)
        assert len(there) == len(set(there))
        assert kept <= set(there)
        kept = set(there)
    assert in_the_middle >= 10
    index = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)
    assert len(index.report.added) == 90 - len(kept)
    assert list(index.errors) == [str(folder / "torn.mp4")]
    assert same_rows(rows_of(uri), rows_of(tmp_path / "uninterrupted"))

    write_video(folder / "more" / "20.mp4", 99)
    write_video(folder / "new.mp4", 98)
    shutil.move(folder / "bikes.mp4", folder / "more" / "moved.mp4")
    (folder / "3.mp4").unlink()
    shutil.copy(real_clip("bikes"), folder / "torn.mp4")
    report = index.update()
    assert (report.added, report.changed) == (
        [str(folder / "new.mp4")],
        [str(folder / "torn.mp4"), str(folder / "more" / "20.mp4")],
    )
    assert report.removed == [str(folder / "3.mp4"), str(folder / "bikes.mp4")]
    assert report.moved == {str(folder / "more" / "moved.mp4"): str(folder / "bikes.mp4")}
    VideoIndex.build(folder, tmp_path / "fresh", model=model, device="cpu", clip_every=1)
    assert same_rows(rows_of(uri), rows_of(tmp_path / "fresh"))


@pytest.mark.filterwarnings("ignore:1 videos could not be read")
def test_two_builds_at_once_write_each_video_once(index, uninterrupted, folder, model, tmp_path):
    uri = tmp_path / "index"
    processes = [start_build(folder, uri, model, compacted_from=3) for _ in range(2)]
    for process in processes:
        process.join(timeout=200)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(rows_there(uri)) == 7
    assert same_rows(rows_of(uri), rows_of(uninterrupted))


def _build_share(rank: int, folder: str, uri: str, model: str) -> None:
    state = PartialState(cpu=True)
    index = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1, accelerator=state)
    assert len(index) == 7
    assert len(index.report.added) == (4, 3)[rank]


@pytest.fixture
def fork_server() -> None:
    """Workers come from one that has everything imported."""
    fork_context()


def test_workers_make_the_same_rows(fork_server, index, uninterrupted, folder, model, tmp_path):
    """With a model of their own each; what only has another name is known, and not encoded again."""
    uri = tmp_path / "index"
    workers = choose_executor(workers=2, preload=PRELOAD)
    built = build(folder, uri, model, executor=workers)
    assert len(built.report.added) == 7
    assert list(built.report.failed) == list(built.errors) == [str(folder / "torn.mp4")]
    assert same_rows(rows_of(uri), rows_of(uninterrupted))

    shutil.move(folder / "0.mp4", folder / "moved.mp4")
    shutil.copy(folder / "1.mp4", folder / "torn.mp4")
    (folder / "2.mp4").unlink()
    write_video(folder / "2.mp4", 20)
    write_video(folder / "more" / "new.mp4", 21)
    report = built.update(executor=workers)
    assert report.moved == {str(folder / "moved.mp4"): str(folder / "0.mp4")}
    assert report.added == [str(folder / "more" / "new.mp4")]
    assert sorted(report.changed) == [str(folder / "2.mp4"), str(folder / "torn.mp4")]
    assert (report.unchanged, report.failed) == (4, {})
    fresh = VideoIndex.build(folder, tmp_path / "fresh", model=model, device="cpu", clip_every=1)
    assert len(fresh) == 8
    assert same_rows(rows_of(uri), rows_of(tmp_path / "fresh"))


class Deadly(Processes):
    """Workers that die of one video each time, and of another one once."""

    def __init__(self, always: str, once: str, traces: Path) -> None:
        super().__init__(2, PRELOAD)
        self.how = always, once, traces

    def run(self, do, todo):
        return super().run(Dying(do, *self.how), todo)


@pytest.mark.filterwarnings("ignore:. videos could not be read")
def test_a_lost_worker_costs_its_video_only(fork_server, index, uninterrupted, folder, model, tmp_path):
    uri = tmp_path / "index"
    dying = Deadly("2.mp4", "3.mp4", tmp_path)
    built = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1, executor=dying)
    assert (tmp_path / "2.mp4").read_text() == "xxx"
    assert sorted(built.report.failed) == [str(folder / "2.mp4"), str(folder / "torn.mp4")]
    assert built.errors[str(folder / "2.mp4")] == LOST
    assert len(built) == 7
    again = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)  # tries what was lost once more
    assert again.report.changed == [str(folder / "2.mp4")]
    assert same_rows(rows_of(uri), rows_of(uninterrupted))


@pytest.mark.long
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore:1 videos could not be read")
def test_workers_of_a_cluster_make_the_same_rows(index, uninterrupted, folder, model, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(clipbert_hf.__file__).parents[1]))
    options = {"model": model, "device": "cpu", "clip_every": 1, "executor": choose_executor(ray="local")}
    assert len(VideoIndex.build(folder, tmp_path / "index", **options).report.added) == 7
    assert same_rows(rows_of(tmp_path / "index"), rows_of(uninterrupted))


def test_workers_refuse_another_model(folder, model, tmp_path):
    """One that has changed in memory, or lies nowhere."""
    changed = PairScorer.from_pretrained(model, device="cpu")
    with torch.no_grad():
        next(changed.model.parameters()).add_(1)
    with pytest.raises(InvalidInputError, match=r"what workers load from .* is not what the index was made with"):
        VideoIndex.build(folder, tmp_path / "one", model=changed, executor=choose_executor(workers=1))
    changed.model.name_or_path = ""
    with pytest.raises(InvalidInputError, match="workers load the model, and this one lies nowhere"):
        VideoIndex.build(folder, tmp_path / "two", model=changed, executor=choose_executor(workers=1))
    with pytest.raises(InvalidInputError, match="expected an accelerator or an executor, not both"):
        VideoIndex.build(
            folder, tmp_path / "three", model=model, accelerator=PartialState(cpu=True), executor=choose_executor()
        )


def test_several_processes_encode_a_share_each(index, uninterrupted, folder, model, tmp_path):
    run_together(2, _build_share, str(folder), str(tmp_path / "index"), str(model))
    assert same_rows(rows_of(tmp_path / "index"), rows_of(uninterrupted))
