"""What a pipeline gains by decoding the next video while the model works on this one.

``video-question-answering`` over a list of real videos, one question each, with and without the thread that reads
ahead, in turn; the least of several repeats. PyTorch computes with ``--threads`` threads, so that with one of two cores
the other is there for decoding.

Run ``python -m benchmarks.reading_ahead --output reading_ahead.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Pipeline

from benchmarks.forward_backward import VIDEOS, find_video
from clipbert_hf import (
    ClipBertConfig,
    ClipBertForVideoQuestionAnswering,
    ClipBertProcessor,
    VideoQuestionAnsweringPipeline,
)

QUESTION = "what is the man doing ?"


def make_pipeline(config: ClipBertConfig, side: int, folder: Path, dtype: torch.dtype) -> Any:
    """A pipeline whose model has random weights."""
    torch.manual_seed(0)
    words = folder / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *QUESTION.split()]), "utf-8")
    processor = ClipBertProcessor.from_pretrained_parts(text=words, size={"longest_edge": side})
    model = ClipBertForVideoQuestionAnswering(config).to(dtype).eval()
    return VideoQuestionAnsweringPipeline(model=model, processor=processor)


def seconds(pipe: Any, videos: list[str], *, ahead: bool, **options: Any) -> tuple[float, list[Any]]:
    """Seconds for all videos, and the answers."""
    rows = [{"video": video, "question": QUESTION} for video in videos]
    parameters: tuple[dict[str, Any], ...] = (options, {}, {"top_k": 1})
    begin = time.perf_counter()
    results = (
        pipe.get_iterator(rows, 0, 1, *parameters) if ahead else Pipeline.get_iterator(pipe, rows, 0, 1, *parameters)
    )
    answers = list(results)
    return time.perf_counter() - begin, answers


def compare(pipe: Any, videos: list[str], *, repeats: int, **options: Any) -> dict[str, float]:
    """Seconds with and without, their ratio, and those that decoding alone takes.

    Raises:
        AssertionError: If the answers differ.
    """
    taken: dict[str, list[float]] = {"without": [], "with": [], "decoding": []}
    seconds(pipe, videos[:1], ahead=True, **options)
    for _ in range(repeats):
        without, expected = seconds(pipe, videos, ahead=False, **options)
        ahead, answers = seconds(pipe, videos, ahead=True, **options)
        assert answers == expected
        begin = time.perf_counter()
        for video in videos:
            pipe.preprocess({"video": video, "question": QUESTION}, **options)
        for name, value in (("without", without), ("with", ahead), ("decoding", time.perf_counter() - begin)):
            taken[name].append(value)
    least = {name: min(values) for name, values in taken.items()}
    return least | {"gain": least["without"] / least["with"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    videos = [str(find_video(VIDEOS[number % len(VIDEOS)])) for number in range(options.videos)]
    results: dict[str, Any] = {"load_average": os.getloadavg(), "threads": options.threads, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        pipe = make_pipeline(ClipBertConfig(), 448, Path(folder), torch.bfloat16)
        sys.stdout.write("clips  without s   with s  decoding s   gain\n")
        for clips in options.clips:
            found = compare(pipe, videos, repeats=options.repeats, num_clips=clips, num_frames=2)
            results[f"clips_{clips}"] = found
            sys.stdout.write(
                f"{clips:5} {found['without']:10.2f} {found['with']:8.2f} {found['decoding']:11.2f} "
                f"{found['gain']:5.2f}x\n"
            )
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
