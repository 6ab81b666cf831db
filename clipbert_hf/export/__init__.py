"""Models for those who run no PyTorch: ONNX, OpenVINO, torch.export; ``python -m clipbert_hf.export`` writes them."""

from .exporting import Report, export_model
from .scorer import ExportedPairScorer

__all__ = ["ExportedPairScorer", "Report", "export_model"]
