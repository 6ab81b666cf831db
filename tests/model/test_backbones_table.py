"""Families of timm's networks as backbones; the table of them in ``docs/backbones.md`` is made here.

``python -m pytest tests/model/test_backbones_table.py --write-tables`` writes it anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from reference_inputs import tiny_config
from torch.utils.flop_counter import FlopCounterMode

from clipbert_hf import ClipBertModel, InvalidInputError
from clipbert_hf.model.folded_backbone_clipbert import prepare_backbone
from clipbert_hf.model.modeling_clipbert import ClipBertGridBackbone, create_backbone
from clipbert_hf.model.pretrained_parts_clipbert import pixel_statistics

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"
HEAD = """# Networks of timm as backbones

A table that `tests/model/test_backbones_table.py` makes and checks, with one small member of each family. "Loads":
saved and loaded again it gives equal features. "Freezes": `freeze_backbone_stages=1` leaves exactly the parameters up
to the first of its feature maps without a gradient. "Trains": every other parameter up to its last feature map gets
one. Grid: rows × columns of visual tokens of a frame of 448 px. GFLOP: of a frame of 448 px through the backbone, a
multiply-add counted as two; counted, not timed. Where a member takes frames of one size only,
`backbone_kwargs={"img_size": 448}` makes it take that one; frames of another are an error that names both sizes. What
is not possible is one error that says so: freezing by stages where timm names no module for a feature map (hrnet,
twins, mvitv2, pit, nasnet, xception: `freeze_backbone_stages=0`), and sizes that the patches or blocks of a network
do not divide (ViTs, halonet at 448 px).

`from_pretrained_parts(vision="timm/NAME")` loads weights, and sets the pixel statistics, given here as mean and
standard deviation of red in units of 0–255. `backbone_stride_in_1x1` is true by default for `resnet50` alone.

"""
TITLES = ["family", "example", "frames (px)", "loads", "freezes", "trains", "grid", "GFLOP", "pixels"]


@dataclass(frozen=True)
class Family:
    """A small member of a family, and how it is made smaller still for what is not counted."""

    name: str
    example: str
    smaller: dict[str, Any] = field(default_factory=dict)


FAMILIES = [
    Family("resnet", "resnet50", {"layers": [1, 1, 1, 1]}),
    Family("resnetv2", "resnetv2_18"),
    Family("regnet", "regnetx_002"),
    Family("nfnet", "test_nfnet"),
    Family("densenet", "densenet121", {"block_config": (2, 2, 2, 2)}),
    Family("efficientnet", "efficientnet_b0"),
    Family("mobilenetv3", "mobilenetv3_small_050"),
    Family("mobilenetv4", "mobilenetv4_conv_small_035"),
    Family("convnext", "convnext_atto"),
    Family("fastvit", "fastvit_t8"),
    Family("mambaout", "mambaout_femto"),
    Family("maxvit", "test_maxvit"),
    Family("swin", "swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "embed_dim": 48}),
    Family("swinv2", "swinv2_tiny_window8_256", {"depths": (1, 1, 1, 1), "embed_dim": 48}),
    Family("swinv2_cr", "swinv2_cr_tiny_224", {"depths": (1, 1, 1, 1), "embed_dim": 48, "num_heads": (3, 3, 3, 3)}),
    Family("hiera", "hiera_tiny_224", {"stages": (1, 1, 1, 1), "embed_dim": 48}),
    Family("sam2 hiera", "sam2_hiera_tiny", {"stages": (1, 1, 1, 1), "global_att_blocks": (), "embed_dim": 48}),
    Family("vit", "vit_tiny_patch16_224", {"depth": 2}),
    Family("dinov3", "vit_small_patch16_dinov3", {"depth": 2}),
    Family("siglip", "vit_base_patch32_siglip_256", {"depth": 2}),
    Family("eva02", "eva02_tiny_patch14_224", {"depth": 2}),
    Family("xcit", "xcit_nano_12_p16_224", {"depth": 2}),
]
# What is not possible: options, frames, and the start of the one error.
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("halonet26t", {}, 448, "backbone 'halonet26t' cannot take frames of 448x448 px: they do not fit its blocks"),
    (
        "test_vit",
        {"backbone_kwargs": {"dynamic_img_size": True}},
        100,
        "backbone 'test_vit' cannot take frames of 100x100",
    ),
    ("hrnet_w18", {"freeze_backbone_stages": 1}, 64, "freeze_backbone_stages must be 0: this CNN has no module 'stem'"),
    ("twins_svt_small", {"freeze_backbone_stages": 1}, 64, "freeze_backbone_stages must be 0: this CNN has no module"),
]


def config_of(family: Family, **options: Any) -> Any:
    return tiny_config(backbone=family.example, freeze_batch_norm=False, **options)


def frame_size(family: Family) -> tuple[int, int] | None:
    """The one size of frames that the member itself takes."""
    with torch.device("meta"):
        return ClipBertGridBackbone(config_of(family)).frame_size


def small(family: Family, **options: Any) -> tuple[ClipBertModel, torch.Tensor]:
    """A member that runs in milliseconds, with random weights, and two frames of its size."""
    torch.manual_seed(0)
    kwargs = {"freeze_backbone_stages": 0, "backbone_kwargs": family.smaller} | options
    model = ClipBertModel(config_of(family, **kwargs)).eval()
    size = model.grid_backbone.frame_size or (96, 96)
    return model, torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def check_loading(family: Family, folder: Path) -> None:
    model, frames = small(family)
    model.save_pretrained(folder)
    loaded = ClipBertModel.from_pretrained(folder)
    with torch.no_grad():
        expected = model.grid_backbone(frames)
        assert torch.equal(loaded.grid_backbone(frames), expected)
        folded = prepare_backbone(model.grid_backbone, torch.float32)(frames)
    torch.testing.assert_close(folded, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def check_gradients(family: Family) -> None:
    """What is frozen is what the first feature map is computed with, and all else of the backbone trains."""
    model, frames = small(family, freeze_backbone_stages=1)
    backbone = model.train().grid_backbone
    backbone(frames).square().sum().backward()
    parameters = dict(backbone.backbone.named_parameters())
    frozen = {name for name, parameter in parameters.items() if not parameter.requires_grad}
    assert 0 < len(frozen) < len(parameters)
    assert {name for name, parameter in parameters.items() if parameter.grad is None} == frozen
    assert frozen == needed_by_first_map(family, frames) & set(parameters)


def needed_by_first_map(family: Family, frames: torch.Tensor) -> set[str]:
    """Names of the parameters that the first feature map depends on, by their gradients."""
    model, _ = small(family)
    backbone: Any = model.grid_backbone.backbone
    first = timm.create_model(family.example, features_only=True, out_indices=(0,), **family.smaller)
    missing = first.load_state_dict(backbone.state_dict(), strict=False).missing_keys
    assert not [name for name in missing if name in dict(first.named_parameters())]
    first.eval()(frames)[-1].square().sum().backward()
    return {name for name, parameter in first.named_parameters() if parameter.grad is not None}


def counted(family: Family) -> tuple[str, str]:
    """Grid and GFLOP of a frame of 448 px; nothing is computed."""
    with torch.device("meta"):
        grid_backbone = ClipBertGridBackbone(
            config_of(family, backbone_kwargs={"img_size": 448} if frame_size(family) else None)
        ).eval()
    frame = torch.empty(1, 3, 448, 448, device="meta")
    with FlopCounterMode(display=False) as counter:
        grid_backbone.backbone(frame)
    rows, columns = grid_backbone(frame).shape[1:3]
    return f"{rows} × {columns}", f"{counter.get_total_flops() / 1e9:.1f}"


def statistics(family: Family) -> str:
    mean, std = pixel_statistics(family.example)
    cfg = timm.get_pretrained_cfg(family.example)
    assert mean == [255 * value for value in cfg.mean]
    assert std == [255 * value for value in cfg.std]
    return f"{mean[0]:.1f}, {std[0]:.1f}"


ROWS: dict[str, list[str]] = {}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family(family: Family, tmp_path: Path) -> None:
    check_loading(family, tmp_path)
    check_gradients(family)
    size = frame_size(family)
    frames = f"{size[0]}, or `img_size`" if size else "any"
    ROWS[family.name] = [family.name, f"`{family.example}`", frames, *"✓✓✓", *counted(family), statistics(family)]


def test_the_page(request: pytest.FixtureRequest) -> None:
    if len(ROWS) < len(FAMILIES):
        pytest.skip("some families were not tried")
    lines = [TITLES, ["---"] * len(TITLES), *ROWS.values()]
    page = HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if request.config.getoption("--write-tables"):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page, "run this test with --write-tables and look at what it wrote"


def test_frames_of_another_size() -> None:
    model, _ = small(next(family for family in FAMILIES if family.name == "swin"))
    with pytest.raises(InvalidInputError, match=r'224x224 px; got 64x96: .* backbone_kwargs=\{"img_size": 96\}'):
        model.grid_backbone(torch.zeros(1, 3, 64, 96))


@pytest.mark.parametrize(("name", "options", "side", "message"), REFUSED)
def test_what_is_not_possible(name: str, options: dict[str, Any], side: int, message: str) -> None:
    config = tiny_config(backbone=name, **{"freeze_backbone_stages": 0} | options)
    with pytest.raises(InvalidInputError, match=message):
        ClipBertGridBackbone(config)(torch.zeros(1, 3, side, side))


def test_the_stride_is_that_of_the_backbone() -> None:
    def stride(**options: Any) -> bool | None:
        return tiny_config(**{"backbone_stride_in_1x1": None} | options).backbone_stride_in_1x1

    assert stride(backbone="resnet50") is True
    assert stride(backbone="resnet50.a1_in1k") is stride(backbone="resnet18") is stride(backbone="vit_tiny") is False
    assert create_backbone(tiny_config(backbone="resnet50", backbone_stride_in_1x1=None)).layer2[0].conv1.stride == (
        2,
        2,
    )
