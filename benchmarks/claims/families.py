"""Families of settings, whose names follow from what they are, so that points share runs without knowing of it.

Nothing is tuned for a setting. Learning rates, schedules and sizes are those of the recipes of the embedded data set,
for all of them; numbers of steps, videos and the batch are in ``settings.FULL``, chosen by what fits into the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.claims.language import SIZES
from benchmarks.claims.settings import IMAGENET, Setting

LOGSUMEXP = "lse"
WAYS = ("mean", "max", LOGSUMEXP)

PRETRAINING = Setting("pretraining", "pretraining", clips=4)


def trained(
    task: Any,
    clips: int,
    *,
    sampling: str = "random",
    way: str = LOGSUMEXP,
    times: float = 1.0,
    start: str | None = PRETRAINING.name,
    suffix: str = "",
    more: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Setting:
    """Question answering or retrieval with a number of clips.

    Args:
        task: ``qa`` or ``retrieval``.
        clips: Training clips.
        sampling: ``random`` or ``dense``.
        way: How clip scores are added up. Single clips have none in training; they are tested with the mean first, as
            published for single clips, and with the others.
        times: Steps, as a multiple of the task's.
        start: See :class:`Setting`.
        suffix: Of the name, for `more`.
        more: Further overrides.
        fields: Further fields of :class:`Setting`.
    """
    single = clips == 1
    way = "mean" if single else way
    parts = [task, f"{sampling}{clips}", *([] if single else [way]), *([] if times == 1 else [f"x{times:g}"])]
    overrides = {"training_sampling": sampling, "model.score_aggregation": way, **(more or {})}
    return Setting(
        "-".join([*parts, *([suffix] if suffix else [])]),
        task,
        overrides,
        data=fields.pop("data", task),
        start=start,
        times=times,
        clips=clips,
        aggregations=WAYS if single else (way,),
        **fields,
    )


def imagenet(*, weights: bool) -> dict[str, Any]:
    """Overrides for EfficientNet-Lite0 as CNN and the demo's encoder, with or without the weights of ImageNet."""
    if weights:
        start = {"vision": IMAGENET, "model.freeze_batch_norm": True}
    else:
        start = {"vision": None, "model.freeze_batch_norm": False}
    pixels = [127.5, 127.5, 127.5]
    return {
        **start,
        "model.backbone": "tf_efficientnet_lite0",
        "model.backbone_kwargs": {"out_indices": [3]},
        "model.backbone_stride_in_1x1": False,
        "model.freeze_backbone_stages": 0,
        "model.frame_color_order": "rgb",
        "processor.size": {"longest_edge": 64},
        "processor.num_frames": 1,
        "processor.image_mean": pixels,
        "processor.image_std": pixels,
    }


# With a random encoder, when nothing gives its sizes.
ENCODER: dict[str, Any] = {f"model.{name}": size for name, size in SIZES.items()}
ENCODER |= {
    "model.initializer_range": 0.08,
    "model.hidden_dropout_prob": 0.0,
    "model.attention_probs_dropout_prob": 0.0,
}
GRID: dict[str, Any] = {"model.max_grid_row_position_embeddings": 8, "model.max_grid_col_position_embeddings": 8}
VOCABULARY = {"vocabulary_configs": ["pretraining", "qa", "multiple_choice", "retrieval"]}
