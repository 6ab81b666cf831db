"""Points 5 to 7 as data; ``make claims-more`` measures them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.claims.decisions import Claim, Comparison, difference
from benchmarks.claims.families import ENCODER, GRID, PRETRAINING, VOCABULARY, imagenet, trained
from benchmarks.claims.points import ACCURACY, MARGIN, R1, Point, Table
from benchmarks.claims.settings import Setting

CONTRASTIVE_R1 = "contrastive_r1@16"


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
    sizes = {
        side: trained(
            "qa",
            4,
            suffix="" if side == 64 else f"side{side}",
            more={} if side == 64 else {"processor.size.longest_edge": side},
            pixels=(side / 64) ** 2,
        )
        for side in (32, 48, 64, 96)
    }
    configs = ["qa", "multiple_choice", "retrieval", "motion_qa"]
    pretraining = Setting("pretraining-motion", "pretraining", {"vocabulary_configs": configs}, data="motion", clips=4)
    fused = {"one frame": _moving("mean", 1)}
    for fusion, label in (("mean", "mean"), ("conv3d", "Conv3D"), ("conv2plus1d", "Conv(2+1)D")):
        fused |= {f"{label}, {count} frames": _moving(fusion, count) for count in (2, 4)}
    name = {label: setting.name for label, setting in fused.items()}
    motion, still = "motion_accuracy@16", "still_accuracy@16"
    return Point(
        6,
        "Image size, frames and their fusion (tables 1 and 2)",
        "Size: QA with four random clips of one frame; the videos have 64 × 64 pixels, so 96 adds none. Frames: "
        "videos in which shapes move, two random clips of a second, twice the steps. Four of six questions ask which "
        "way something moves, and two its colour or shape, which one frame shows. A mean over frames cannot tell one "
        "way from the opposite.",
        (PRETRAINING, *sizes.values(), pretraining, *fused.values()),
        (
            Table("Image side", tuple((f"{side} pixels", setting.name, ACCURACY) for side, setting in sizes.items())),
            Table("Questions that need motion", tuple((label, setting, motion) for label, setting in name.items())),
            Table("Questions that do not", tuple((label, setting, still) for label, setting in name.items())),
        ),
        (
            Claim(
                "Larger images are better up to a size.",
                (
                    difference("64 − 32 pixels", sizes[64].name, sizes[32].name, ACCURACY),
                    difference("64 − 96 pixels", sizes[64].name, sizes[96].name, ACCURACY, margin=MARGIN),
                ),
            ),
            Claim(
                "Several frames by their mean are at least as good as one, where nothing asks for motion.",
                (difference("mean of 4 − one frame", name["mean, 4 frames"], name["one frame"], still, margin=MARGIN),),
            ),
            Claim(
                "The mean is at least as good as convolutions over time, where nothing asks for motion.",
                (
                    difference(
                        "mean − Conv3D, 4 frames",
                        name["mean, 4 frames"],
                        name["Conv3D, 4 frames"],
                        still,
                        margin=MARGIN,
                    ),
                    difference(
                        "mean − Conv(2+1)D, 4 frames",
                        name["mean, 4 frames"],
                        name["Conv(2+1)D, 4 frames"],
                        still,
                        margin=MARGIN,
                    ),
                ),
            ),
            Claim(
                "Beyond the paper: convolutions over time are better where motion is asked for.",
                (difference("Conv3D − mean, 4 frames", name["Conv3D, 4 frames"], name["mean, 4 frames"], motion),),
            ),
        ),
    )


def _moving(fusion: str, count: int) -> Setting:
    """Clips of a second, as in the paper's table."""
    more: dict[str, Any] = {"dataset_config": "motion_qa", "model.temporal_fusion": fusion}
    more |= {"processor.num_frames": count, "processor.target_fps": count}
    suffix = f"motion-{fusion}{count}"
    return trained("qa", 2, times=2, start="pretraining-motion", suffix=suffix, more=more, data="motion", frames=count)


def beyond() -> Point:
    """What the paper does not have."""
    prepared = trained("qa", 4, suffix="prepared", data="prepared")
    original = trained("qa", 4)
    head = {"model.contrastive_size": 128, "model.contrastive_pooling": "maxsim"}
    with_head = Setting("pretraining-contrastive", "pretraining", head, clips=4)
    after = trained("qa", 4, start=with_head.name, suffix="after-contrastive")
    numbers = (1, 2, 4, 8)
    matching = {n: trained("retrieval", n, way="mean") for n in numbers}
    heads = {
        (pooling, n): trained(
            "retrieval",
            n,
            way="mean",
            suffix=f"contrastive-{pooling}",
            more={**head, "model.contrastive_pooling": pooling, "matching_weight": 0},
        )
        for pooling in ("maxsim", "mean")
        for n in numbers
    }
    rows = [(f"matching, {n} clips", setting.name, R1) for n, setting in matching.items()]
    rows += [
        (f"{'MaxSim' if pooling == 'maxsim' else 'mean of clips'}, {n} clips", setting.name, CONTRASTIVE_R1)
        for (pooling, n), setting in heads.items()
    ]
    share = 1 / len(numbers)

    def against_matching(pooling: str) -> tuple[Comparison, ...]:
        terms = [(heads[pooling, n].name, CONTRASTIVE_R1, share) for n in numbers]
        terms += [(matching[n].name, R1, -share) for n in numbers]
        return (Comparison(f"{pooling} − matching, mean of 1, 2, 4 and 8 clips", tuple(terms)),)

    return Point(
        7,
        "Beyond the paper",
        "Prepared: trained and tested on videos encoded again by `datasets_scripts.prepare`. Heads: a contrastive "
        "head alone, with the steps, videos and clips of matching, by MaxSim or by the mean over clips. Pre-training "
        "with a contrastive head beside MLM and ITM, and QA that starts from there.",
        (PRETRAINING, original, prepared, with_head, after, *matching.values(), *heads.values()),
        (
            Table(
                "Prepared videos, QA", (("originals", original.name, ACCURACY), ("prepared", prepared.name, ACCURACY))
            ),
            Table("Vectors against matching, retrieval", tuple(rows)),
            Table(
                "QA after contrastive pre-training",
                (("without", original.name, ACCURACY), ("with a contrastive head", after.name, ACCURACY)),
            ),
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


POINTS: tuple[Callable[[], Point], ...] = (initialisation, frames, beyond)
