"""Every kind of source at every entrance: one answer; the table of them in ``docs/sources.md`` is made here.

``python -m pytest tests/model/test_sources_table.py --write-tables`` writes it anew.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from reference_inputs import tiny_config
from transformers import pipeline
from video_files import numbered_frame, read_numbers, write_video

import datasets_scripts
from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor, probe_video, read_video_frames
from clipbert_hf.video.sources import is_frame

FRAMES = 12
ONE_VIDEO = "frames of one video; `images=` takes them apart"
PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
HEAD = """# What a video may be

A table that `tests/model/test_sources_table.py` makes and checks: each source that is marked with ✓ gives the same
frames at that entrance as a path does at the reader. "Reader" is `open_video`, `probe_video`, `read_video_frames`;
"in a list" stands for the video processor, the processor and the pipelines alike. A loader (`datasets_scripts`) names
files in the folder of videos, by name, stem or absolute path, and leaves reading them to the processor.

"""


class Sources:
    """The same twelve numbered frames in every form; lossless, so that forms can be compared."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.frames = np.stack([numbered_frame(number) for number in range(FRAMES)])
        self.video = folder / "my clïp.mkv"
        write_video(self.video, list(self.frames), codec="ffv1", pixel_format="bgr0", fps=25)
        self.images = folder / "frames"
        self.images.mkdir()
        for number, frame in enumerate(self.frames):
            Image.fromarray(frame).save(self.images / f"{number}.ppm")
        with zipfile.ZipFile(folder / "videos.zip", "w") as archive:
            archive.write(self.video, "a/clip.mkv")
        with fsspec.open("memory://bucket/clip.mkv", "wb") as file:
            file.write(self.video.read_bytes())
        self.server = server

    def videos(self) -> dict[str, Callable[[], Any]]:
        video, frames, data = self.video, self.frames, self.video.read_bytes()
        return {
            "path, `str`": lambda: str(video),
            "path, `pathlib.Path`": lambda: video,
            "folder of images (its frames)": lambda: self.images,
            "`file://` URL": video.as_uri,
            "http(s) URL, percent-encoded or not": lambda: f"{self.server}/{video.name}",
            "`zip://` URL of `datasets`, also `tar://`": lambda: f"zip://a/clip.mkv::{self.folder / 'videos.zip'}",
            "other URL of fsspec: `hf://`, `s3://`, `gs://`, …": lambda: "memory://bucket/clip.mkv",
            "`bytes`, `bytearray`, `memoryview`": lambda: data,
            "binary file object": lambda: io.BytesIO(data),
            "open file": lambda: video.open("rb"),
            'mapping with `"path"` (`datasets.Video(decode=False)`)': lambda: {"path": str(video), "bytes": None},
            'mapping with `"bytes"`': lambda: {"path": None, "bytes": data},
            "array (frames, height, width, 3)": lambda: frames,
            "array (frames, 3, height, width)": lambda: frames.transpose(0, 3, 1, 2),
            "tensor, either way": lambda: torch.from_numpy(frames),
            "list or tuple of PIL images": lambda: [Image.fromarray(frame) for frame in frames],
            "list or tuple of arrays": lambda: list(frames),
            "list or tuple of tensors": lambda: list(torch.from_numpy(frames)),
        }

    def lone_images(self) -> dict[str, Callable[[], Any]]:
        frame = self.frames[7]
        path = self.images / "7.ppm"
        return {
            "image: its path (a video of one frame)": lambda: path,
            "image: bytes": path.read_bytes,
            "image: PIL": lambda: Image.fromarray(frame),
            "image: array (height, width, 3)": lambda: frame,
            "image: tensor (3, height, width)": lambda: torch.from_numpy(frame).permute(2, 0, 1),
        }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    folder = tmp_path_factory.mktemp("sources")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with (
        pytest.MonkeyPatch.context() as patch,
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server,
    ):
        patch.setenv("no_proxy", "*")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Sources(folder, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> ClipBertProcessor:
    vocab = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "number"]))
    return ClipBertProcessor.from_pretrained_parts(
        text=vocab,
        size={"longest_edge": 64},
        num_clips=2,
        num_frames=1,
        sampling_strategy="uniform",
        do_normalize=False,
    )


@pytest.fixture(scope="module")
def pipe(processor: ClipBertProcessor) -> Any:
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(tiny_config(initializer_range=0.3)).eval()
    return pipeline("video-text-matching", model=model, processor=processor)


def found_by_a_loader(sources: Sources, folder: Path, given: Any) -> str:
    """The path that the row of a data set holds which names its video so."""
    (folder / "test.csv").write_text(f"video,question,answer\n{given},number,1\n", "utf-8")
    data = datasets_scripts.load(
        "custom",
        "qa",
        annotation_dir=folder,
        video_dir=sources.folder,
        cache_dir=folder / "cache",
        files={"test": "test.csv"},
    )
    return data["test"][0]["video"]


def answers(make: Callable[[], Any], processor: ClipBertProcessor, pipe: Any) -> dict[str, Any]:
    """What each entrance makes of a source."""

    def pixels(**given: Any) -> Any:
        return processor(**given)["pixel_values_videos"].tolist()

    def score(results: Any) -> list[float]:
        return [round(result["score"], 5) for result in results]

    alone = processor.video_processor(make()).pixel_values_videos.tolist()
    last = probe_video(make()).frames - 1
    return {
        "reader": read_numbers(read_video_frames(make(), [last, 0])),
        "video processor": alone,
        "processor": pixels(text="number", videos=make()),
        "pipelines": score([pipe(make(), "number")]),
        "in a list": in_a_list(make, processor, score, pipe),
    }


def in_a_list(make: Callable[[], Any], processor: ClipBertProcessor, score: Callable[[Any], Any], pipe: Any) -> Any:
    """Two of them; a list of images in memory is one video, as it is in transformers."""
    if is_frame(make()):
        assert processor.video_processor([make(), make()]).pixel_values_videos.shape[0] == 1
        return ONE_VIDEO
    several = [
        processor.video_processor([make(), make()]).pixel_values_videos.tolist(),
        processor(text=["number"] * 2, videos=[make(), make()])["pixel_values_videos"].tolist(),
    ]
    assert several[0] == several[1]
    return several[0], score(pipe([make(), make()], "number"))


def test_the_table(
    sources: Sources, processor: ClipBertProcessor, pipe: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    loaded = {
        "path, `str`": [sources.video.name, sources.video.stem, sources.video],
        "folder of images (its frames)": [sources.images.name, sources.images],
    }
    rows = []
    for kind in (sources.videos(), sources.lone_images()):
        expected = answers(next(iter(kind.values())), processor, pipe)
        for name, make in kind.items():
            found = answers(make, processor, pipe)
            for entrance, answer in found.items():
                assert answer in (expected[entrance], ONE_VIDEO), (name, entrance)
            for given in loaded.get(name, []):
                assert Path(found_by_a_loader(sources, tmp_path, given)) == Path(str(make())), given
            marks = [ONE_VIDEO if answer == ONE_VIDEO else "✓" for answer in found.values()]
            rows.append([name, *marks, "✓" if name in loaded else "–"])
    titles = ["source", *expected, "loaders"]
    lines = [titles, ["---"] * len(titles), *rows]
    page = HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if request.config.getoption("--write-tables"):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page, "run this test with --write-tables and look at what it wrote"
