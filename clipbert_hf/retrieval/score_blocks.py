"""Scores of finished videos on a disk, so that scoring that was killed goes on where it was.

A folder holds ``job.json``, which says what is scored with what, and a file for each block of videos. A file gets its
name when all of it has reached the disk, and holds a SHA-256 of its scores: one that was damaged since is scored anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import InvalidInputError
from ..model.encoded_videos_clipbert import EncodedVideos

_JOB = "job.json"
_ENDING = ".safetensors"


class ScoreBlocks:
    """The finished blocks of one job.

    Args:
        folder: It is made if it does not exist.
        job: What is scored with what; see :func:`describe_job`.

    Raises:
        InvalidInputError: If the folder holds the blocks of another job; the parts that differ are named.
    """

    def __init__(self, folder: str | os.PathLike[str], job: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _JOB
        if path.exists():
            try:
                saved = json.loads(path.read_text("utf-8"))
            except ValueError as error:
                raise InvalidInputError(f"resume_dir: {path} is no JSON: {error}") from error
            different = sorted(name for name in {*saved, *job} if saved.get(name) != job.get(name))
            if different:
                raise InvalidInputError(
                    f"resume_dir: {folder} holds scores of other {' and '.join(different)}; name another folder"
                )
        else:
            _write(path, json.dumps(job, indent=1).encode())

    def read(self) -> dict[int, np.ndarray]:
        """The scores of all texts with each finished video, by the video's place; damaged files are left out."""
        columns: dict[int, np.ndarray] = {}
        for path in sorted(self.folder.glob(f"*{_ENDING}")):
            try:
                with safe_open(path, framework="numpy") as file:
                    places, scores = file.get_tensor("videos"), file.get_tensor("scores")
                    digest = (file.metadata() or {}).get("sha256")
            except (SafetensorError, OSError) as error:
                warnings.warn(f"{path} cannot be read and is scored anew: {error}", stacklevel=2)
                continue
            if digest != _digest(places, scores):
                warnings.warn(f"the content of {path} has changed; it is scored anew", stacklevel=2)
                continue
            columns |= {int(place): scores[:, number] for number, place in enumerate(places)}
        return columns

    def write(self, places: Sequence[int], scores: np.ndarray) -> None:
        """Keep the scores of a block.

        Args:
            places: Of the videos.
            scores: (texts, videos of the block, …).
        """
        videos = np.array(places, dtype=np.int64)
        scores = np.ascontiguousarray(scores)
        content = save({"videos": videos, "scores": scores}, metadata={"sha256": _digest(videos, scores)})
        _write(self.folder / f"videos_{min(places):08d}_{len(places)}{_ENDING}", content)


def describe_job(
    model: torch.nn.Module, tokens: Mapping[str, torch.Tensor], videos: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What is scored with what, in few words: two jobs are the same if these are.

    Args:
        model: Its weights count.
        tokens: Of the texts.
        videos: Paths (with size and time of the last change), URLs, bytes, arrays, or encoded ones.
        options: Of the processor, and the arithmetic.

    Raises:
        InvalidInputError: If a video is one that cannot be recognised again, such as an open file.
    """
    return {
        "weights": _digest(*(tensor for _, tensor in sorted(model.state_dict().items()))),
        "texts": _digest(*(tokens[name] for name in sorted(tokens))),
        "videos": hashlib.sha256(json.dumps([_recognise(video) for video in videos]).encode()).hexdigest(),
        "options": hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest(),
    }


def _recognise(video: Any) -> list[Any]:
    if isinstance(video, EncodedVideos):
        return ["encoded", _digest(video.tokens, video.clip_places)]
    if isinstance(video, bytes):
        return ["bytes", hashlib.sha256(video).hexdigest()]
    if isinstance(video, (np.ndarray, torch.Tensor)):
        return ["frames", _digest(video)]
    if isinstance(video, (str, os.PathLike)):
        name = os.fspath(video)
        if os.path.exists(name):
            facts = os.stat(name)
            return ["path", name, facts.st_size, facts.st_mtime_ns]
        return ["name", name]
    raise InvalidInputError(
        f"resume_dir: videos must be paths, URLs, bytes, arrays or encoded ones, to be recognised again; got "
        f"{type(video).__name__}"
    )


def _digest(*arrays: np.ndarray | torch.Tensor) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        tensor = torch.as_tensor(array).detach().cpu().contiguous()
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    if os.name != "nt":  # Windows has no such thing for folders
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
