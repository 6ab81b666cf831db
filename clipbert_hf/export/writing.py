"""A part of a model to a file: through ``transformers.exporters``, and directly where these lack a format.

transformers has exporters for torch.export and ONNX in all versions that we support (5.17 and later), and one for
OpenVINO in later ones (5.24 has it, 5.17 does not); they need torch 2.11. What ``export`` returns changed in between:
the program at first, later an object that holds it. Tried with transformers 5.17 and 5.24, onnx 1.23, onnxscript 0.7,
ONNX Runtime 1.32 and OpenVINO 2026.4.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInputError
from .graphs import Part, Tensors

SUFFIXES = {"torch": ".pt2", "onnx": ".onnx", "openvino": ".xml"}
PACKAGES = {
    "torch": ("torch",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
}


def write_part(part: Part, sample: Tensors, file_format: str, folder: Path) -> Path:
    """Trace a part and write it.

    Args:
        part: The part.
        sample: Inputs to trace it with, each axis of a size above 1.
        file_format: One of :data:`SUFFIXES`.
        folder: Where the files go; ONNX keeps weights beside the graph, OpenVINO too.

    Returns:
        The file to open.
    """
    path = folder / f"{part.name}{SUFFIXES[file_format]}"
    with torch.no_grad(), _messages_on_stderr():
        if file_format == "torch":
            torch.export.save(_trace(part, sample), path)
        elif file_format == "onnx":
            _write_onnx(part, sample, path)
        else:
            _write_openvino(part, sample, path)
    return path


def quantize_part(path: Path) -> None:
    """Replace an ONNX file by one whose products with weights are in int8; activations are quantised as they come.

    Word embeddings stay as they are, since they are looked up and not multiplied.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as workplace:
        source = Path(workplace) / path.name
        model = onnx.load(path)
        # Weights are transposed in place, which shapes written beside them would contradict.
        del model.graph.value_info[:]
        onnx.save(model, source, save_as_external_data=True, location=f"{path.name}.data")
        for old in (path, path.with_name(f"{path.name}.data")):
            old.unlink(missing_ok=True)
        quantize_dynamic(
            source,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )


def _trace(part: Part, sample: Tensors) -> torch.export.ExportedProgram:
    from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter

    return _program(DynamoExporter().export(part.graph, dict(sample), DynamoConfig(dynamic_shapes=_axes(part))))


def _write_onnx(part: Part, sample: Tensors, path: Path) -> None:
    import onnx_ir
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    program = _program(OnnxExporter().export(part.graph, dict(sample), OnnxConfig(dynamic_shapes=_axes(part))))
    model = program if isinstance(program, onnx_ir.Model) else program.model
    onnx_ir.save(model, path, external_data=f"{path.name}.data")


def _write_openvino(part: Part, sample: Tensors, path: Path) -> None:
    import openvino

    try:
        from transformers.exporters.exporter_openvino import OpenVINOConfig, OpenVINOExporter
    except ImportError:  # transformers 5.17
        model = openvino.convert_model(_trace(part, sample))
        for ports, names in ((model.inputs, part.inputs), (model.outputs, part.outputs)):
            for port, name in zip(ports, names, strict=True):
                port.get_tensor().set_names({name})
    else:
        config = OpenVINOConfig(dynamic_shapes=_axes(part))
        model = _program(OpenVINOExporter().export(part.graph, dict(sample), config))
    openvino.save_model(model, path, compress_to_fp16=False)


def _program(exported: Any) -> Any:
    return exported.program if hasattr(exported, "components") else exported


def _axes(part: Part) -> dict[str, dict[int, torch.export.Dim]]:
    """One symbol for each name of an axis, whichever inputs have it."""
    names = {axis for axes in part.inputs.values() for axis in axes if isinstance(axis, str)}
    symbols = {name: torch.export.Dim(name, max=part.limits.get(name)) for name in names}
    return {
        name: {place: symbols[axis] for place, axis in enumerate(axes) if isinstance(axis, str)}
        for name, axes in part.inputs.items()
    }


@contextlib.contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """torch.onnx prints its progress, which is not what this command reports."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def check_packages(file_format: str, precision: str) -> None:
    """Check that a format can be written.

    Raises:
        InvalidInputError: If packages are missing, or the precision is not one of the format.
    """
    if file_format not in SUFFIXES:
        raise InvalidInputError(f"format must be one of {', '.join(SUFFIXES)}; got {file_format!r}")
    if precision not in ("fp32", "int8"):
        raise InvalidInputError(f"precision must be fp32 or int8; got {precision!r}")
    if precision == "int8" and file_format != "onnx":
        raise InvalidInputError(f"precision int8 is one of the format onnx; got {file_format}")
    missing = [name for name in PACKAGES[file_format] if not _is_installed(name)]
    if missing:
        raise InvalidInputError(
            f'the format {file_format} needs {", ".join(missing)}: pip install "clipbert_hf[export]"'
        )


def _is_installed(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def megabytes(folder: Path, stem: str) -> float:
    """The size of a part's files, in units of 10**6 bytes."""
    return sum(os.path.getsize(path) for path in folder.iterdir() if path.name.startswith(f"{stem}.")) / 1e6
