"""Points 5 to 7 as data; ``make claims-more`` measures them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.claims.decisions import Claim, Comparison, difference
from benchmarks.claims.families import ENCODER, GRID, PRETRAINING, VOCABULARY, imagenet, trained
from benchmarks.claims.points import ACCURACY, MARGIN, R1, Point, Table, counted
from benchmarks.claims.settings import Setting

CONTRASTIVE_R1 = "contrastive_r1@16"
_MOTION, _STILL = "motion_accuracy@16", "still_accuracy@16"
_SIDES = (32, 48, 64, 96)
_HEAD = {"model.contrastive_size": 128, "model.contrastive_pooling": "maxsim"}
_MOVING_TIMES = 3
_MOVING = f"pretraining-x{_MOVING_TIMES}-motion"
_NUMBERS = (1, 2, 4, 8)  # of training clips


def initialisation() -> Point:
    """Table 5, all with one architecture."""
    language = Setting("language", "language")
    text = {"text": language.name}
    together = Setting(
        "pretraining-imagenet",
        "pretraining",
        {**imagenet(weights=True), **GRID, **VOCABULARY},
        start=None,
        parts=text,
        clips=4,
    )
    new = {**GRID, **VOCABULARY}
    rows = {
        "random": trained("qa", 4, start=None, suffix="random", more={**imagenet(weights=False), **ENCODER, **new}),
        "CNN pre-trained": trained(
            "qa", 4, start=None, suffix="cnn", more={**imagenet(weights=True), **ENCODER, **new}
        ),
        "language pre-trained": trained(
            "qa", 4, start=None, suffix="language", more={**imagenet(weights=False), **new}, parts=text
        ),
        "both": trained("qa", 4, start=None, suffix="both", more={**imagenet(weights=True), **new}, parts=text),
        "image-text pre-training": trained("qa", 4, start=together.name, suffix="image-text"),
    }
    name = {label: setting.name for label, setting in rows.items()}
    return Point(
        5,
        "Initialisation (table 5)",
        "EfficientNet-Lite0 and the demo's encoder in all rows. CNN: ImageNet's weights. Language: masked words of "
        "the captions and questions alone. Image-text pre-training starts from both, by MLM and ITM on single frames. "
        "QA with four random clips and LogSumExp.",
        (language, together, *rows.values()),
        (Table("QA", tuple((label, setting.name, ACCURACY) for label, setting in rows.items())),),
        (
            Claim(
                "Image-text pre-training helps more than parts that are pre-trained apart.",
                (difference("image-text − both", name["image-text pre-training"], name["both"], ACCURACY),),
            ),
            Claim(
                "Parts that are pre-trained apart help more than random weights.",
                (difference("both − random", name["both"], name["random"], ACCURACY),),
            ),
        ),
    )


def frames() -> Point:
    """Tables 1 and 2."""
    beginnings, sizes = zip(*(_of_size(side) for side in _SIDES), strict=True)
    small, _, middle, large = (setting.name for setting in sizes)
    configs = ["qa", "multiple_choice", "retrieval", "motion_qa"]
    pretraining = Setting(
        _MOVING, "pretraining", {"vocabulary_configs": configs}, data="motion", times=_MOVING_TIMES, clips=4
    )
    fused = {"one frame": _moving("mean", 1)}
    fused |= {f"mean, {count} frames": _moving("mean", count) for count in (2, 4)}
    fused |= {"Conv3D, 4 frames": _moving("conv3d", 4), "Conv(2+1)D, 4 frames": _moving("conv2plus1d", 4)}
    name = {label: setting.name for label, setting in fused.items()}
    larger = (
        difference("64 − 32 pixels", middle, small, ACCURACY),
        difference("64 − 96 pixels", middle, large, ACCURACY, margin=MARGIN),
    )
    return Point(
        6,
        "Image size, frames and their fusion (tables 1 and 2)",
        "Size: QA with four random clips of one frame, pre-trained at the same size; the videos have 64 × 64 pixels, "
        "so 96 adds none. Frames: videos in which shapes move, two random clips of a second, four times the steps, "
        "after three times those of pre-training. Four of six questions ask which way something moves, and two its "
        "colour or shape, which one frame shows. A mean over frames cannot tell one way from the opposite; "
        "convolutions over time are new layers, which pre-training on single frames has not seen. Changed after "
        "results of two seeds on these test videos were seen: with once the pre-training and twice the steps no "
        "setting had left chance, and sizes had started from the pre-training at 64 pixels; the new numbers of steps "
        "were chosen on another seed and other videos.",
        (*beginnings, *sizes, pretraining, *fused.values()),
        (
            Table(
                "Image side",
                tuple((f"{side} pixels", each.name, ACCURACY) for side, each in zip(_SIDES, sizes, strict=True)),
            ),
            Table("Questions that need motion", tuple((label, setting, _MOTION) for label, setting in name.items())),
            Table("Questions that do not", tuple((label, setting, _STILL) for label, setting in name.items())),
        ),
        (Claim("Larger images are better up to a size.", larger), *_fusion_claims(name)),
    )


def _of_size(side: int) -> tuple[Setting, Setting]:
    """Pre-training and question answering at a size."""
    if side == 64:
        return PRETRAINING, trained("qa", 4)
    more, pixels = {"processor.size.longest_edge": side}, (side / 64) ** 2
    first = Setting(f"pretraining-side{side}", "pretraining", more, clips=4, pixels=pixels)
    return first, trained("qa", 4, start=first.name, suffix=f"side{side}", more=more, pixels=pixels)


def _fusion_claims(name: Mapping[str, str]) -> tuple[Claim, ...]:
    """Of settings by their labels."""
    mean = name["mean, 4 frames"]
    convolved = {label: name[f"{label}, 4 frames"] for label in ("Conv3D", "Conv(2+1)D")}
    return (
        Claim(
            "Several frames by their mean are at least as good as one, where nothing asks for motion.",
            (difference("mean of 4 − one frame", mean, name["one frame"], _STILL, margin=MARGIN),),
        ),
        Claim(
            "The mean is at least as good as convolutions over time, where nothing asks for motion.",
            tuple(
                difference(f"mean − {label}, 4 frames", mean, setting, _STILL, margin=MARGIN)
                for label, setting in convolved.items()
            ),
        ),
        Claim(
            "Beyond the paper: convolutions over time are better where motion is asked for.",
            (difference("Conv3D − mean, 4 frames", convolved["Conv3D"], mean, _MOTION),),
        ),
    )


def _moving(fusion: str, count: int) -> Setting:
    """Clips of a second, as in the paper's table."""
    more: dict[str, Any] = {"dataset_config": "motion_qa", "model.temporal_fusion": fusion}
    more |= {"processor.num_frames": count, "processor.target_fps": count}
    suffix = f"motion-{fusion}{count}"
    return trained("qa", 2, times=4, start=_MOVING, suffix=suffix, more=more, data="motion", frames=count)


def beyond() -> Point:
    """What the paper does not have."""
    prepared, original = trained("qa", 4, suffix="prepared", data="prepared"), trained("qa", 4)
    with_head = Setting("pretraining-contrastive", "pretraining", _HEAD, clips=4)
    after = trained("qa", 4, start=with_head.name, suffix="after-contrastive")
    matching = [trained("retrieval", n, way="mean") for n in _NUMBERS]
    heads = {"maxsim": _contrastive("maxsim"), "mean": _contrastive("mean")}
    rows = [(f"matching, {counted(each.clips, 'clip')}", each.name, R1) for each in matching]
    for label, settings in zip(("MaxSim", "mean of clips"), heads.values(), strict=True):
        rows += [(f"{label}, {counted(each.clips, 'clip')}", each.name, CONTRASTIVE_R1) for each in settings]
    videos = (("originals", original.name, ACCURACY), ("prepared", prepared.name, ACCURACY))
    starts = (("without", original.name, ACCURACY), ("with a contrastive head", after.name, ACCURACY))

    def against_matching(pooling: str) -> tuple[Comparison, ...]:
        share = 1 / len(_NUMBERS)
        terms = [(each.name, CONTRASTIVE_R1, share) for each in heads[pooling]]
        terms += [(each.name, R1, -share) for each in matching]
        return (Comparison(f"{pooling} − matching, mean of 1, 2, 4 and 8 clips", tuple(terms)),)

    return Point(
        7,
        "Beyond the paper",
        "Prepared: trained and tested on videos encoded again by `datasets_scripts.prepare`. Heads: a contrastive "
        "head alone, with the steps, videos and clips of matching, by MaxSim or by the mean over clips. Pre-training "
        "with a contrastive head beside MLM and ITM, and QA that starts from there.",
        (PRETRAINING, original, prepared, with_head, after, *matching, *heads["maxsim"], *heads["mean"]),
        (
            Table("Prepared videos, QA", videos),
            Table("Vectors against matching, retrieval", tuple(rows)),
            Table("QA after contrastive pre-training", starts),
        ),
        (
            Claim(
                "Prepared videos are as good as the originals.",
                (difference("prepared − originals", prepared.name, original.name, ACCURACY, margin=MARGIN),),
            ),
            Claim("MaxSim over clips ranks better than matching, for the same steps.", against_matching("maxsim")),
            Claim("The mean of clips ranks better than matching, for the same steps.", against_matching("mean")),
            Claim(
                "Contrastive pre-training helps question answering.",
                (difference("with − without", after.name, original.name, ACCURACY),),
            ),
        ),
    )


def _contrastive(pooling: str) -> list[Setting]:
    """Trained by a contrastive head alone."""
    more = {**_HEAD, "model.contrastive_pooling": pooling, "matching_weight": 0}
    return [trained("retrieval", n, way="mean", suffix=f"contrastive-{pooling}", more=more) for n in _NUMBERS]


POINTS: tuple[Callable[[], Point], ...] = (initialisation, frames, beyond)
