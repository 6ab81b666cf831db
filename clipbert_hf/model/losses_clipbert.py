"""The losses of the paper, on logits that are already aggregated over clips."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..errors import InvalidInputError


def at_least_fp32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in fp32 if it has 16 bits, in which neither sums over clips nor losses are taken."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def classification_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy for one right label, binary cross-entropy for soft scores.

    Args:
        logits: (texts, labels).
        labels: Either indices, (texts,), where -100 is left out; or soft scores in 0..1, (texts, labels), as in
            image VQA, where the mean is multiplied by the number of labels.

    Raises:
        InvalidInputError: If ``labels`` has neither shape, or an index is outside the labels.
    """
    if labels.is_floating_point() and labels.shape == logits.shape:
        logits = at_least_fp32(logits)
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)) * logits.shape[-1]
    if labels.is_floating_point() or labels.shape != logits.shape[:1]:
        raise InvalidInputError(
            f"labels must be indices of shape {tuple(logits.shape[:1])} or soft scores of shape "
            f"{tuple(logits.shape)}; got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    return indexed_cross_entropy(logits, labels, name="labels")


def indexed_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, name: str) -> torch.Tensor:
    """Mean cross-entropy over the labels that are not -100; zero where all of them are.

    Args:
        logits: (..., classes).
        labels: Indices, (...).
        name: What the caller names the labels, for the error.

    Raises:
        InvalidInputError: If an index is neither -100 nor one of the classes.
    """
    classes = logits.shape[-1]
    # On an accelerator the check would wait for the device at each step, and it checks indices itself.
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        wrong = labels[((labels < 0) & (labels != -100)) | (labels >= classes)]
        if wrong.numel():
            raise InvalidInputError(
                f"{name} must be indices from 0 to {classes - 1}, or -100 to leave one out; got {int(wrong[0])}"
            )
    total = F.cross_entropy(at_least_fp32(logits).flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def rank_loss(logits: torch.Tensor, labels: torch.Tensor, video_of_text: torch.Tensor, margin: float) -> torch.Tensor:
    """Margin between the sigmoid scores of a video's matching texts and of its other texts, mean over pairs.

    Args:
        logits: (texts, 1).
        labels: (texts,), 1 where text and video match, else 0.
        video_of_text: (texts,), the video that each text is scored against.
        margin: How much higher the score of the match should be.

    Returns:
        A scalar; 0, with a graph, where no video has both a matching and another text.
    """
    scores = at_least_fp32(logits).squeeze(-1).sigmoid()
    pair = (video_of_text[:, None] == video_of_text) & (labels[:, None] == 1) & (labels == 0)  # (match, other)
    hinge = (margin + scores[None, :] - scores[:, None]).clamp(min=0)
    return (hinge * pair).sum() / pair.sum().clamp(min=1)
