"""The vision side: a timm CNN and the grid encoder on top of it (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn

from .errors_clipbert import InvalidInputError

if TYPE_CHECKING:
    from .configuration_clipbert import ClipBertConfig


def create_backbone(config: ClipBertConfig) -> nn.Module:
    """Build the CNN that ``config`` names, with random weights, giving only its last feature map.

    Raises:
        InvalidInputError: If timm does not know the name or the arguments, or if the stride is to be moved into
            1x1 convolutions that the CNN does not have.
    """
    options = {"out_indices": (-1,), **(config.backbone_kwargs or {})}
    try:
        backbone = timm.create_model(config.backbone, pretrained=False, features_only=True, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise InvalidInputError(
            f"backbone must be a CNN of timm that takes backbone_kwargs; got {config.backbone!r} with "
            f"{config.backbone_kwargs or {}}: {error}"
        ) from error
    for module in backbone.modules():
        # Constants such as the kernels of anti-aliased pooling are rebuilt by a constructor, not loaded. But
        # from_pretrained constructs models without memory, so they must come from the checkpoint.
        module._non_persistent_buffers_set.clear()
    if config.backbone_stride_in_1x1:
        _move_stride_to_1x1(backbone, config.backbone)
    return backbone


def _move_stride_to_1x1(backbone: nn.Module, name: str) -> None:
    moved = 0
    for block in backbone.modules():
        conv1, conv2 = getattr(block, "conv1", None), getattr(block, "conv2", None)
        if not (isinstance(conv1, nn.Conv2d) and isinstance(conv2, nn.Conv2d)):
            continue
        if conv1.kernel_size == (1, 1) and conv2.stride == (2, 2):
            conv1.stride, conv2.stride = conv2.stride, conv1.stride
            moved += 1
    if not moved:
        raise InvalidInputError(
            f"backbone_stride_in_1x1 needs a CNN of bottleneck blocks with stride 2, such as resnet50; got {name!r}"
        )


class ClipBertGridBackbone(nn.Module):
    """Frames to grid features: CNN, 3x3 convolution, 2x2 max-pool, ReLU.

    A 448 px frame through a ResNet-50 gives a 14x14 map and, after the pool, a 7x7 grid.
    """

    _gradient_checkpointing_func: Callable[..., torch.Tensor]

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        self.frame_color_order = config.frame_color_order
        self.freeze_batch_norm = config.freeze_batch_norm
        self.freeze_backbone_stages = config.freeze_backbone_stages
        self.gradient_checkpointing = False
        self.backbone = create_backbone(config)
        feature_info: Any = self.backbone.feature_info
        self.stride = feature_info.reduction()[-1]
        channels = feature_info.channels()[-1]
        self.grid_encoder = nn.Sequential(
            nn.Conv2d(channels, config.hidden_size, kernel_size=3, padding=1, bias=False),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.ReLU(),
        )
        self._freeze()

    def train(self, mode: bool = True) -> ClipBertGridBackbone:
        """Switch training mode; what the configuration freezes stays frozen."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        # from_pretrained makes every loaded parameter trainable again and then calls eval(): so freezing belongs
        # to train() and eval().
        frozen = _modules_up_to_stage(self.backbone, self.freeze_backbone_stages)
        if self.freeze_batch_norm:
            frozen += [module for module in self.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames.

        Args:
            frames: (frames, 3, H, W), RGB, normalised as the CNN expects.

        Returns:
            Grid features, (frames, H / 2s, W / 2s, hidden size) for a CNN of stride s.

        Raises:
            InvalidInputError: If the frames are too small for a single grid cell.
        """
        if self.frame_color_order == "bgr":
            frames = frames.flip(1)
        if self.gradient_checkpointing and self.training:
            # transformers sets both attributes; trained batch norm takes a batch's statistics twice then.
            grid = self._gradient_checkpointing_func(self._encode, frames)
        else:
            grid = self._encode(frames)
        return grid.permute(0, 2, 3, 1)  # (frames, rows, columns, hidden)

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        feature_map = self.backbone(frames)[-1]
        if min(feature_map.shape[-2:]) < 2:
            height, width = frames.shape[-2:]
            raise InvalidInputError(
                f"pixel_values_videos: a CNN of stride {self.stride} needs frames of at least {2 * self.stride} px "
                f"a side for one grid cell; got {height}x{width}"
            )
        return self.grid_encoder(feature_map)


def _modules_up_to_stage(backbone: nn.Module, stages: int) -> list[nn.Module]:
    """The modules, in order, up to the end of the given number of the feature maps that timm lists for a CNN."""
    if stages == 0:
        return []
    feature_info: Any = backbone.feature_info
    ends = [info["module"] for info in feature_info.info]
    if stages > len(ends):
        raise InvalidInputError(f"freeze_backbone_stages must be at most {len(ends)} for this CNN; got {stages}")
    # A list network flattens "stages.0" to "stages_0".
    end = (ends[stages - 1], ends[stages - 1].replace(".", "_"))
    modules: list[nn.Module] = []
    reached: str | None = None
    for name, module in backbone.named_modules():
        if reached is not None and not name.startswith(f"{reached}."):
            break
        modules.append(module)
        if name in end:
            reached = name
    return modules
