"""Running an exported file: torch, ONNX Runtime or OpenVINO, on the CPU and in fp32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .graphs import Tensors

Runner = Callable[[Tensors], Tensors]


def open_graph(path: Path, file_format: str) -> Runner:
    """Open a file that :mod:`clipbert_hf.export` wrote.

    Args:
        path: The file. A ``.pt2`` can hold code: open only what you trust.
        file_format: ``torch``, ``onnx`` or ``openvino``.

    Returns:
        What takes inputs by name to outputs by name.
    """
    return {"torch": _open_torch, "onnx": _open_onnx, "openvino": _open_openvino}[file_format](path)


def _open_torch(path: Path) -> Runner:
    module = torch.export.load(path).module()

    def run(inputs: Tensors) -> Tensors:
        with torch.no_grad():
            return dict(module(**inputs))

    return run


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Tensors) -> Tensors:
        outputs = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(array) for name, array in zip(names, outputs, strict=True)}

    return run


def _open_openvino(path: Path) -> Runner:
    import openvino

    # Where the processor has bfloat16, OpenVINO computes in it unless told otherwise.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(path, "CPU", options)

    def run(inputs: Tensors) -> Tensors:
        outputs = compiled({name: tensor.numpy() for name, tensor in inputs.items()})
        return {output.any_name: torch.from_numpy(outputs[output].copy()) for output in compiled.outputs}

    return run
