"""From a model folder to a folder of exported parts, checked, with the processor and a description."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInputError
from ..model.configuration_clipbert import ClipBertConfig
from ..model.modeling_clipbert import ClipBertClipScorer, ClipBertForVideoQuestionAnswering
from ..model.pair_scoring_clipbert import class_to_score_with
from ..model.processing_clipbert import ClipBertProcessor
from .checking import compare, drawn_inputs
from .graphs import Part, Tensors, pairs_part, vision_part
from .runtimes import open_graph
from .scorer import DESCRIPTION
from .writing import PACKAGES, SUFFIXES, check_packages, megabytes, quantize_part, write_part

PARTS = ("vision", "pairs")
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Report:
    """What became of a part.

    Args:
        part: ``vision`` or ``pairs``.
        precision: ``fp32`` or ``int8``.
        seconds: To trace and to write it.
        megabytes: Of its files, in units of 10**6 bytes.
        largest_difference: From PyTorch, see :class:`clipbert_hf.export.checking.Comparison`.
        ratio: Seconds of PyTorch for each of the exported part.
    """

    part: str
    precision: str
    seconds: float
    megabytes: float
    largest_difference: float
    ratio: float


def export_model(
    folder_or_repo: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    file_format: str = "onnx",
    part: str = "all",
    precision: str = "fp32",
) -> list[Report]:
    """Export a model, compare it with PyTorch, and only then put the folder in its place.

    Args:
        folder_or_repo: A saved folder, or a repository of the Hub, of a model with a head, with its processor.
        output: A folder that does not exist, or is empty.
        file_format: ``torch``, ``onnx`` or ``openvino``.
        part: ``vision``, ``pairs`` or ``all``.
        precision: ``int8`` quantises the pair scorer of the format onnx; the vision part stays fp32.

    Returns:
        A report of each part.

    Raises:
        InvalidInputError: If an argument is wrong, packages are missing, the model cannot be loaded, the folder cannot
            be written, or fp32 differs from PyTorch by more than :data:`TOLERANCE`.
    """
    check_packages(file_format, precision)
    if part not in (*PARTS, "all"):
        raise InvalidInputError(f"part must be one of {', '.join(PARTS)}, all; got {part!r}")
    output = Path(output)
    _check_output(output)
    model, processor = _load(folder_or_repo)
    inputs = drawn_inputs(processor)
    of_vision = inputs.for_vision()
    height, width = of_vision[0]["pixel_values"].shape[-2:]
    vision = vision_part(model, frame_size=(height, width))
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as unfinished:
        folder = Path(unfinished) / "finished"
        folder.mkdir()
        parts: list[tuple[Part, list[Tensors]]] = []
        if part != "pairs":
            parts.append((vision, of_vision))
        if part != "vision":
            parts.append((pairs_part(model), inputs.for_pairs(vision)))
        reports = [_export_part(each, given, folder, file_format, precision) for each, given in parts]
        processor.save_pretrained(folder)
        text = json.dumps(_describe(model, [each for each, _ in parts], file_format, reports), indent=2)
        (folder / DESCRIPTION).write_text(text + "\n", "utf-8")
        if output.is_dir():
            output.rmdir()  # empty, as was checked
        shutil.move(folder, output)
    return reports


def _export_part(part: Part, inputs: list[Tensors], folder: Path, file_format: str, precision: str) -> Report:
    start = time.perf_counter()
    try:
        path = write_part(part, inputs[0], file_format, folder)
    except Exception as error:  # exporters raise whatever their parts raise; the cause stays in the traceback
        reason = next(iter(str(error).strip().splitlines()), "")
        raise InvalidInputError(
            f"{part.name} cannot be exported in the format {file_format}: {type(error).__name__}: {reason}"
        ) from error
    if part.name != "pairs":
        precision = "fp32"  # scales of activations that are found at run time slow convolutions down
    if precision == "int8":
        quantize_part(path)
    seconds = time.perf_counter() - start
    compared = compare(part, open_graph(path, file_format), inputs)
    if precision == "fp32" and not compared.largest_difference <= TOLERANCE:
        raise InvalidInputError(
            f"{part.name} in the format {file_format} differs from PyTorch by {compared.largest_difference:.1e}, more "
            f"than {TOLERANCE:.0e}; nothing is written"
        )
    size = megabytes(folder, part.name)
    return Report(part.name, precision, seconds, size, compared.largest_difference, compared.ratio)


def _check_output(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidInputError(f"output must be a new or empty folder; {output} is not")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(output.parent, os.W_OK)
    except OSError as error:
        raise InvalidInputError(f"output: {output} cannot be written: {error}") from error
    if not writable:
        raise InvalidInputError(f"output: {output} cannot be written: no permission in {output.parent}")


def _load(folder_or_repo: str | os.PathLike[str]) -> tuple[ClipBertClipScorer, ClipBertProcessor]:
    try:
        config = ClipBertConfig.from_pretrained(folder_or_repo)
        model = class_to_score_with(config, folder_or_repo).from_pretrained(folder_or_repo, dtype=torch.float32)
        return model.eval(), ClipBertProcessor.from_pretrained(folder_or_repo)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidInputError(f"model: {folder_or_repo} holds no model with its processor: {reason}") from error


def _describe(model: ClipBertClipScorer, parts: list[Part], file_format: str, reports: list[Report]) -> dict[str, Any]:
    config = model.config
    versions = {name: importlib.metadata.version(name) for name in ("clipbert_hf", "torch", "transformers")}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES[file_format]}
    answers: dict[str, Any] = {}
    if isinstance(model, ClipBertForVideoQuestionAnswering):
        answers["answers"] = [config.id2label[each] for each in sorted(config.id2label)]
    return {
        "format": file_format,
        "model_class": type(model).__name__,
        "score_aggregation": config.score_aggregation,
        **answers,
        "parts": {
            part.name: {
                "file": f"{part.name}{SUFFIXES[file_format]}",
                "precision": report.precision,
                "inputs": {name: {"dtype": _dtype(name), "axes": axes} for name, axes in part.inputs.items()},
                "outputs": {name: {"dtype": "float32", "axes": axes} for name, axes in part.outputs.items()},
                "largest_sizes": part.limits,
                "largest_difference_from_pytorch": report.largest_difference,
            }
            for part, report in zip(parts, reports, strict=True)
        },
        "versions": versions,
    }


def _dtype(name: str) -> str:
    return "float32" if name in ("pixel_values", "visual_tokens") else "int64"
