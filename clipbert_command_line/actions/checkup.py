"""``clipbert doctor``: what is installed, and whether it decodes a video and runs a model."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval, open_video
from clipbert_hf.retrieval import PairScorer
from datasets_scripts.moving_shapes.rendering import encode_mp4, render_frames
from datasets_scripts.moving_shapes.scenes import plan_split

from ..output import print_json, print_table
from .models import loading, quiet, read_config

REQUIRED = ("clipbert_hf", "torch", "torchvision", "transformers", "timm", "huggingface_hub", "numpy", "pillow", "av")
# Each with what installs it.
OPTIONAL = {
    "decord": "decord",
    "torchcodec": "clipbert_hf[torchcodec]",
    "accelerate": "clipbert_hf[train]",
    "datasets": "clipbert_hf[train]",
    "lancedb": "clipbert_hf[search]",
    "onnxruntime": "clipbert_hf[export]",
    "openvino": "clipbert_hf[export]",
}
BACKENDS = ("pyav", "decord", "torchcodec")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        what: Its name.
        ok: Whether it works; None: it is not there and need not be.
        found: A version, a measurement, or the error.
    """

    what: str
    ok: bool | None
    found: str


def check_up(video: str | None, model: str | None, *, as_json: bool) -> bool:
    """Look at everything.

    Args:
        video: Decoded too, besides one that is drawn.
        model: Run too, besides a small one with random weights.
        as_json: Whether to print JSON.

    Returns:
        Whether all is well.
    """
    quiet()
    drawn = encode_mp4(render_frames(plan_split(split="test", count=1, seed=0, scenes=(1, 1))[0], seed=0))
    checks = [*_versions(), *map(partial(_decoder, drawn), BACKENDS)]
    if video is not None:
        checks.append(_try(f"decode {video}", partial(_decode, video, "auto")))
    for device in _devices():
        checks.append(_try(f"forward on {device}", partial(_forward, device)))
        if model is not None:
            checks.append(_try(f"{model} on {device}", partial(_forward_of, model, video or drawn, device)))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        marks = {True: "ok", False: "FAILED", None: "–"}
        print_table(["", "what", "found"], [[marks[check.ok], check.what, check.found] for check in checks])
    return all(check.ok is not False for check in checks)


def _versions() -> list[Check]:
    checks = [Check("Python", True, f"{platform.python_version()}, {platform.platform()}")]
    for name in (*REQUIRED, *OPTIONAL):
        try:
            checks.append(Check(name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            wanted = OPTIONAL.get(name)
            found = f'not installed: pip install "{wanted}"' if wanted else "not installed"
            checks.append(Check(name, None if wanted else False, found))
    import av

    parts = [f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items()]
    checks.append(Check("FFmpeg of av", True, ", ".join(parts)))
    return checks


def _decoder(video: bytes, backend: str) -> Check:
    what = f"decode with {backend}"
    if find_spec("av" if backend == "pyav" else backend) is None:
        return Check(what, None, "not installed")
    return _try(what, partial(_decode, video, backend))


def _decode(video: str | bytes, backend: Any) -> str:
    started = time.perf_counter()
    with open_video(video, backend=backend) as reader:
        info = reader.info
        frames = reader.read([0, info.frames // 2, info.frames - 1])
    seconds = time.perf_counter() - started
    return f"{info.frames} frames, {info.width}x{info.height}; 3 of them {tuple(frames.shape)} in {seconds:.2f} s"


def _devices() -> list[str]:
    devices = [f"cuda:{place}" for place in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *devices]


def _forward(device: str) -> str:
    """A small model with random weights."""
    config = ClipBertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        backbone="test_resnet",
        backbone_stride_in_1x1=False,
    )
    model = ClipBertForVideoTextRetrieval(config).eval().to(device)
    started = time.perf_counter()
    with torch.no_grad():
        logits = model(
            input_ids=torch.randint(1, 60, (1, 6), device=device),
            pixel_values_videos=torch.randn(1, 2, 1, 3, 64, 64, device=device),
        ).logits
    if not logits.isfinite().all():
        raise RuntimeError(f"the logits are not finite: {logits.tolist()}")
    return f"{_describe(device)}; {time.perf_counter() - started:.2f} s"


def _forward_of(model: str, video: str | bytes, device: str) -> str:
    read_config(model)
    with loading(model):
        scorer = PairScorer.from_pretrained(model, device=device)
    started = time.perf_counter()
    scorer.score("a video", [video])
    return f"{type(scorer.model).__name__}; {time.perf_counter() - started:.2f} s"


def _describe(device: str) -> str:
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return f"{torch.get_num_threads()} threads of {os.cpu_count()} cores" if device == "cpu" else "Apple GPU"


def _try(what: str, check: Callable[[], str]) -> Check:
    """Whatever goes wrong is what the user wants to know."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Check(what, True, check())
    except Exception as error:
        return Check(what, False, " ".join(f"{type(error).__name__}: {error}".split()))
