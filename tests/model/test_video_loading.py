"""Reading in loader workers however they are started, and thousands of videos without taking more memory."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from video_files import numbered_frame, read_number, write_animation, write_video

from clipbert_hf.model.video_processing_clipbert import ClipBertVideoProcessor
from clipbert_hf.video.reading import open_video, read_video_frames

FRAMES = 24
MEGABYTES_OF_GROWTH = 50


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small videos that are read by packet table, by counting, and by Pillow."""
    folder = tmp_path_factory.mktemp("loading")
    frames = [numbered_frame(number) for number in range(FRAMES)]
    write_video(folder / "a.mp4", frames, options={"g": "8", "bf": "2"})
    write_video(folder / "b.webm", frames, codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"})
    write_video(folder / "c.avi", frames, codec="mpeg4", options={"bf": "2"})
    write_video(folder / "d.ts", frames)
    write_animation(folder / "e.gif", FRAMES)
    write_animation(folder / "f.webp", FRAMES)
    return sorted(folder.iterdir())


class Numbers(Dataset[tuple[int, int, int]]):
    """Reads frame ``index % FRAMES`` of a video; gives what was asked for, what was read, and this process."""

    def __init__(self, paths: list[Path], length: int) -> None:
        self.paths, self.length = paths, length
        # An instance that has worked in the parent must work in a child.
        self.processor = ClipBertVideoProcessor(size={"longest_edge": 64}, num_clips=1, num_frames=1)
        self.processor(paths[0])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        number = index % FRAMES
        path = self.paths[index % len(self.paths)]
        assert self.processor(path).pixel_values_videos.shape == (1, 1, 1, 3, 64, 64)
        return number, read_number(read_video_frames(path, [number])[0]), os.getpid()


@pytest.mark.parametrize("start", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.long)])
def test_workers_read_the_right_frames_however_they_are_started(start: str, paths: list[Path]) -> None:
    # The parent has decoded, and holds an open reader, when the workers start.
    with open_video(paths[0]) as held:
        held.read([3])
        loader = DataLoader(Numbers(paths, 24), batch_size=4, num_workers=2, multiprocessing_context=start)
        asked, read, workers = (torch.cat(parts).tolist() for parts in zip(*loader, strict=True))
        assert read_number(held.read([20])[0]) == 20
    assert asked == list(range(24))
    assert read == asked
    assert len(set(workers)) == 2
    assert os.getpid() not in workers


def resident_megabytes() -> float:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("only Linux tells how much memory a process uses")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth_over(opens: int, paths: list[Path]) -> float:
    """How many megabytes this process has grown between a tenth of many opens and their end."""
    before = 0.0
    for number in range(opens):
        path = paths[number % len(paths)]
        assert read_number(read_video_frames(path, [number % FRAMES])[0]) == number % FRAMES
        if number == opens // 10:
            gc.collect()
            before = resident_megabytes()
    gc.collect()
    return resident_megabytes() - before


class Growth(Dataset[float]):
    """Each item opens thousands of videos and tells by how much the worker grew."""

    def __init__(self, paths: list[Path], opens: int) -> None:
        self.paths, self.opens = paths, opens

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> float:
        return growth_over(self.opens, self.paths)


def test_memory_stays_flat_in_one_process(paths: list[Path]) -> None:
    opens = len(os.listdir("/proc/self/fd"))
    assert growth_over(500, paths) < MEGABYTES_OF_GROWTH
    assert len(os.listdir("/proc/self/fd")) <= opens


@pytest.mark.slow
@pytest.mark.parametrize("opens", [1000, pytest.param(5000, marks=pytest.mark.long)])
def test_memory_stays_flat_over_thousands_of_videos(
    opens: int, paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = growth_over(opens, paths)
    loader = DataLoader(Growth(paths, opens // 2), batch_size=1, num_workers=2, multiprocessing_context="fork")
    workers = [float(growth) for growth in loader]
    with capsys.disabled():
        sys.stdout.write(
            f"\ngrowth over {opens} videos: {alone:.1f} MB alone, {max(workers):.1f} MB in each of 2 workers\n"
        )
    assert max(alone, *workers) < MEGABYTES_OF_GROWTH
