"""Mutated files in processes of their own: frames or one kind of error, never a crash, a hang or a flood of memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from video_files import (
    RECIPES,
    numbered_frame,
    real_clip,
    write_animation,
    write_audio_only,
    write_model_code,
    write_video,
)

MUTATIONS = 1200
SECONDS_A_FILE = 10
MEGABYTES_OF_GROWTH = 100

# Reads each file that it is told of, and answers with one line: the outcome, the seconds and the peak of memory.
READER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from flat.errors_clipbert import VideoDecodeError
from flat.video_reading_clipbert import open_video
import av
av.logging.set_level(av.logging.PANIC)

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

def read(path):
    with open_video(path) as video:
        frames = video.read([0, video.frames - 1, video.frames // 2])
        assert frames.shape[:2] == (3, 3), frames.shape
        return "frames"

read(sys.argv[2])
print("ready", 0, peak(), flush=True)
for line in sys.stdin:
    start = time.monotonic()
    try:
        outcome = read(line.rstrip("\\n"))
    except VideoDecodeError as error:
        outcome = "error"
    except BaseException as error:
        outcome = f"{type(error).__name__}:{error}".replace(" ", "_").replace("\\n", "_")
    print(outcome, round(time.monotonic() - start, 3), peak(), flush=True)
"""

SEEDS = (
    *("b-frames.mp4", "fragmented.mp4", "faststart.mp4", "trimmed.mp4", "two-streams.mp4", "rotated-90.mp4"),
    *("clip.mov", "clip.mkv", "vp9.webm", "alpha.webm", "av1.webm", "h264.avi", "mpeg4-b.avi", "mpeg4-b.mp4"),
    *("clip.ts", "mpeg2.mpg", "clip.flv", "hevc.mp4", "hevc-open.mkv", "open-gop.mp4", "intra-refresh.mp4"),
    *("wmv2.asf", "elementary.h264", "vp9.ivf", "ffmpeg.gif", "ffmpeg.apng", "lossless.mkv"),
)


@dataclass(frozen=True)
class Mutant:
    """A damaged file: what was done to which, and its content."""

    name: str
    data: bytes


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    files = {recipe.name: recipe.write(folder)[0].read_bytes() for recipe in RECIPES if recipe.name in SEEDS}
    assert len(files) == len(SEEDS)
    write_animation(folder / "animation.webp", frames=5)
    write_audio_only(folder / "audio.mp4")
    for path in (folder / "animation.webp", folder / "audio.mp4", real_clip("carphone_pristine")):
        files[path.name] = path.read_bytes()
    return files


def mutate(data: bytes, other: bytes, kind: int, generator: np.random.Generator) -> tuple[str, bytes]:
    """Damage a file in one of eight ways; return which, and the result."""
    damaged = bytearray(data)
    length = len(data)
    if kind == 0:
        return "cut", data[: generator.integers(0, length)]
    if kind == 1:
        for place in generator.integers(0, length, size=generator.integers(1, 40)):
            damaged[place] ^= 1 << int(generator.integers(8))
        return "bits", bytes(damaged)
    if kind == 2:
        for place in generator.integers(0, min(length, 1024), size=6):
            damaged[place] = int(generator.integers(256))
        return "header", bytes(damaged)
    if kind == 3:
        start = int(generator.integers(0, length))
        damaged[start : start + 300] = bytes(len(damaged[start : start + 300]))
        return "zeros", bytes(damaged)
    if kind == 4:
        cut = int(generator.integers(1, 600))
        return "spliced", other[:cut] + data[cut:]
    if kind == 5:
        # Sizes, counts and times are big- or little-endian numbers of four bytes.
        place = int(generator.integers(0, max(length - 4, 1)))
        damaged[place : place + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00"][
            generator.integers(3)
        ]
        return "numbers", bytes(damaged)
    if kind == 6:
        start = int(generator.integers(0, length))
        return "hole", data[:start] + data[start + int(generator.integers(1, 400)) :]
    start, end = sorted(generator.integers(0, length, size=2).tolist())
    return "repeated", data[:end] + data[start:]


def mutants(seeds: dict[str, bytes], count: int) -> Iterator[Mutant]:
    """Damaged files under the names of others, too."""
    names = sorted(seeds)
    generator = np.random.default_rng(20210)
    for number in range(count):
        name = names[number % len(names)]
        other = names[int(generator.integers(len(names)))]
        how, data = mutate(seeds[name], seeds[other], int(generator.integers(8)), generator)
        ending = Path(other if generator.random() < 0.2 else name).suffix
        yield Mutant(f"{number:04d}-{how}-{Path(name).stem}{ending}", data)


class Reader:
    """A process that reads files, and is started anew when it ends."""

    def __init__(self, healthy: Path) -> None:
        self._command = [sys.executable, "-c", READER, str(write_model_code(healthy.parent)), str(healthy)]
        self.megabytes = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        _, _, self.megabytes_at_first = self._answer()
        self.megabytes = self.megabytes_at_first

    def _answer(self) -> tuple[str, float, int]:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        if len(words) != 3:
            code = self._process.wait()
            self._start()
            return f"the_process_ended_with_{code}", 0.0, self.megabytes
        return words[0], float(words[1]), int(words[2])

    def read(self, path: Path) -> tuple[str, float]:
        """Return the outcome and the seconds that it took; a process that hangs is killed."""
        assert self._process.stdin is not None
        watchdog = threading.Timer(SECONDS_A_FILE, self._process.kill)
        watchdog.start()
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        outcome, seconds, megabytes = self._answer()
        watchdog.cancel()
        self.megabytes = max(self.megabytes, megabytes)
        return outcome, seconds

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def test_damage_gives_frames_or_one_kind_of_error(
    seeds: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = tmp_path / "healthy.mp4"
    write_video(healthy, [numbered_frame(number) for number in range(10)])
    reader = Reader(healthy)
    outcomes = {"frames": 0, "error": 0}
    wrong: list[str] = []
    slowest = 0.0
    for mutant in mutants(seeds, MUTATIONS):
        path = tmp_path / mutant.name
        path.write_bytes(mutant.data)
        outcome, seconds = reader.read(path)
        if outcome in outcomes:
            outcomes[outcome] += 1
        else:
            wrong.append(f"{mutant.name}: {outcome} after {seconds} s")
        slowest = max(slowest, seconds)
        path.unlink()
    reader.close()
    growth = reader.megabytes - reader.megabytes_at_first
    with capsys.disabled():
        sys.stdout.write(
            f"\n{MUTATIONS} damaged files: {outcomes['frames']} gave frames, {outcomes['error']} the one error, "
            f"{len(wrong)} went wrong; slowest {slowest:.2f} s, peak of memory {growth} MB above a healthy file\n"
        )
    assert not wrong
    assert sum(outcomes.values()) == MUTATIONS
    assert min(outcomes.values()) > MUTATIONS // 10
    assert growth < MEGABYTES_OF_GROWTH
