"""The losses of the paper, on logits that are already aggregated over clips."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..errors import InvalidInputError


def at_least_fp32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in fp32 if it has 16 bits, in which neither sums over clips nor losses are taken."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def classification_loss(logits: torch.Tensor, labels: torch.Tensor, problem_type: str | None = None) -> torch.Tensor:
    """Cross-entropy for one right label, binary cross-entropy for soft scores or several right ones.

    Args:
        logits: (texts, labels).
        labels: Either indices, (texts,), where -100 is left out; or scores in 0..1, (texts, labels), as in image VQA,
            where the mean is multiplied by the number of labels.
        problem_type: As in the configuration: ``"single_label_classification"`` takes indices only,
            ``"multi_label_classification"`` scores only, which may then be integers too. By default the labels tell.

    Raises:
        InvalidInputError: If ``labels`` does not fit, an index is outside the labels, or ``problem_type`` is another.
    """
    if problem_type not in (None, "single_label_classification", "multi_label_classification"):
        raise InvalidInputError(
            f"problem_type of a classifier must be None, single_label_classification or multi_label_classification; "
            f"got {problem_type!r}: ClipBertForVideoRegression predicts numbers"
        )
    is_multi = problem_type == "multi_label_classification"
    if labels.shape == logits.shape and (is_multi or (problem_type is None and labels.is_floating_point())):
        logits = at_least_fp32(logits)
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)) * logits.shape[-1]
    if is_multi or labels.is_floating_point() or labels.shape != logits.shape[:1]:
        allowed = []
        if not is_multi:
            allowed.append(f"indices of shape {tuple(logits.shape[:1])}")
        if problem_type != "single_label_classification":
            allowed.append(f"soft scores of shape {tuple(logits.shape)}")
        kind = "" if problem_type is None else f" (problem_type {problem_type})"
        raise InvalidInputError(
            f"labels must be {' or '.join(allowed)}{kind}; got {labels.dtype} of shape {tuple(labels.shape)}"
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
