"""Points 1 to 4 as data: which settings, which tables of them, and which claims; ``make claims`` measures them.

Overrides of the same recipes as in ``examples/README.md``, table by table of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.claims.decisions import Claim, Comparison, difference
from benchmarks.claims.families import LOGSUMEXP, PRETRAINING, WAYS, imagenet, trained
from benchmarks.claims.settings import Setting

ACCURACY, R1 = "accuracy@16", "r1@16"
# "At least as good" is said of less than a point below.
MARGIN = 1.0
# Numbers of training clips that there is something to aggregate of.
SEVERAL = (2, 4, 8)


@dataclass(frozen=True)
class Table:
    """Rows of settings.

    Args:
        title: What the rows differ in.
        rows: What a row is called, its setting and its metric.
    """

    title: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Point:
    """A part of the page.

    Args:
        number: Of the point.
        title: What it is about.
        text: What was done, in a few sentences.
        settings: All that its tables and claims need, those that others start from first.
        tables: In order.
        claims: Likewise.
        curves: What is called, setting and measure of curves over inference clips.
    """

    number: int
    title: str
    text: str
    settings: tuple[Setting, ...]
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    curves: tuple[tuple[str, str, str], ...] = ()


def sampling() -> Point:
    """Table 4. For retrieval less of it than for QA, to fit the time."""
    qa_steps = _sampled("qa", random=(1, 2, 4, 8), uniform=(2, 8, 16))
    qa_compute = _sampled("qa", random=(1, 2, 4, 8), uniform=(2, 8, 16), equal_compute=True)
    steps = _sampled("retrieval", random=(1, 2, 4, 8), uniform=(2, 8))
    compute = _sampled("retrieval", random=(4,), uniform=(8, 16), equal_compute=True)
    return Point(
        1,
        "Sparse random against dense uniform sampling (table 4)",
        "LogSumExp over the clips. Equal compute means as many training clips in all as four random ones see: half the "
        "steps for 8 clips, four times the steps for 1.",
        (PRETRAINING, *qa_steps, *qa_compute, *steps, *compute),
        (
            Table("QA, equal steps", _rows(qa_steps, ACCURACY)),
            Table("QA, equal compute", _rows(qa_compute, ACCURACY)),
            Table("Retrieval, equal steps", _rows(steps, R1)),
            Table("Retrieval, equal compute", _rows(compute, R1)),
        ),
        (*_sampling_claims("qa", ACCURACY, (8, 16)), *_sampling_claims("retrieval", R1, (8,))),
    )


def _sampled(
    task: str, *, random: tuple[int, ...], uniform: tuple[int, ...], equal_compute: bool = False
) -> list[Setting]:
    return [
        trained(task, clips, sampling=how, times=4 / clips if equal_compute else 1)
        for how, numbers in (("random", random), ("dense", uniform))
        for clips in numbers
    ]


def _sampling_claims(task: str, metric: str, of_equal_steps: tuple[int, ...]) -> tuple[Claim, ...]:
    """The same for both tasks; `of_equal_steps`: the numbers of uniform clips that are trained with equal steps."""
    four, name = f"{task}-random4-lse", _task(task)

    def against(text: str, better: str, worse: str) -> Comparison:
        return difference(text, better, f"{task}-{worse}", metric, margin=MARGIN)

    return (
        Claim(
            f"With equal steps four random clips are at least as good as dense uniform ones ({name}).",
            tuple(against(f"4 random − {n} uniform", four, f"dense{n}-lse") for n in of_equal_steps),
        ),
        Claim(
            f"With equal compute four random clips are at least as good as dense uniform ones ({name}).",
            tuple(against(f"4 random − {n} uniform", four, f"dense{n}-lse-x{4 / n:g}") for n in (8, 16)),
        ),
        Claim(
            f"Sampling alone: with as many clips, random ones are at least as good as uniform ones ({name}).",
            tuple(against(f"{n} random − {n} uniform", f"{task}-random{n}-lse", f"dense{n}-lse") for n in (2, 8)),
        ),
        Claim(
            f"The number alone: with equal steps more random clips are better ({name}).",
            (
                difference("2 − 1", f"{task}-random2-lse", f"{task}-random1", metric),
                difference("4 − 2", four, f"{task}-random2-lse", metric),
            ),
        ),
    )


def inference_clips() -> Point:
    """Figure 4, of the models that the other points train."""
    models = {
        ACCURACY: [trained("qa", n) for n in (1, 4, 8)],
        R1: [trained("retrieval", n, way="mean") for n in (1, 4, 8)],
    }
    tables, claims = [], []
    for metric, settings in models.items():
        measure = metric.partition("@")[0]
        task, four = settings[1].task, settings[1].name
        counts = (1, 2, 4, 8, 16)
        rows = tuple((counted(n, "inference clip"), four, f"{measure}@{n}") for n in counts)
        tables.append(Table(f"{_task(task)}, trained with 4 clips", rows))
        claims += [
            Claim(
                f"More inference clips help ({_task(task)}).",
                (Comparison("16 − 1 clips", ((four, f"{measure}@16", 1.0), (four, f"{measure}@1", -1.0))),),
            ),
            Claim(
                f"And saturate: the step from 8 to 16 gives less than that from 1 to 8 ({_task(task)}).",
                (
                    Comparison(
                        "what 1 to 8 gives − what 8 to 16 gives",
                        ((four, f"{measure}@8", 2.0), (four, f"{measure}@1", -1.0), (four, f"{measure}@16", -1.0)),
                    ),
                ),
            ),
        ]
    return Point(
        2,
        "Inference clips (figure 4)",
        "One clip lies where the task has it published: at the start for questions, a third into the video for "
        "retrieval. QA is trained with LogSumExp, retrieval with the mean.",
        (PRETRAINING, *(setting for settings in models.values() for setting in settings)),
        tuple(tables),
        tuple(claims),
        tuple(
            (f"{_task(s.task)}, {counted(s.clips, 'training clip')}", s.name, metric.partition("@")[0])
            for metric, settings in models.items()
            for s in settings
        ),
    )


def aggregation() -> Point:
    """Table 3."""
    settings, tables, claims = [], [], []
    for task, metric in (("qa", ACCURACY), ("retrieval", R1)):
        single = trained(task, 1)
        several = [trained(task, n, way=way) for way in WAYS for n in SEVERAL]
        settings += [single, *several]
        measure = metric.partition("@")[0]
        of_one = [(single, metric, "mean"), *((single, f"{measure}_{way}@16", way) for way in single.aggregations[1:])]
        rows = [(f"1 clip, tested with {_way(way)}", s.name, name) for s, name, way in of_one]
        rows += [(f"{s.clips} clips, {_way(s.aggregations[0])}", s.name, metric) for s in several]
        tables.append(Table(_task(task), tuple(rows)))
        for better, worse in ((LOGSUMEXP, "mean"), (LOGSUMEXP, "max"), ("mean", "max")):
            terms = [(f"{task}-random{n}-{better}", metric, 1 / len(SEVERAL)) for n in SEVERAL]
            terms += [(f"{task}-random{n}-{worse}", metric, -1 / len(SEVERAL)) for n in SEVERAL]
            text = f"{_way(better)} − {_way(worse)}, mean of 2, 4 and 8 clips"
            claims.append(
                Claim(
                    f"{_way(better)} is better than {_way(worse)} ({_task(task)}).", (Comparison(text, tuple(terms)),)
                )
            )
    return Point(
        3,
        "Aggregation of clip scores (table 3)",
        "Random clips, equal steps, tested with 16 clips by the aggregation of the training. A single training clip "
        "knows none, so that model is tested with all three. The paper has LogSumExp, mean, max for retrieval, and "
        "LogSumExp, max, mean for QA.",
        (PRETRAINING, *settings),
        tuple(tables),
        tuple(claims),
    )


def end_to_end() -> Point:
    """Table 6, from a CNN that has seen other pictures only."""
    pretraining = Setting(
        "pretraining-imagenet-frozen", "pretraining", {**imagenet(weights=True), "frozen": ["cnn"]}, clips=4
    )
    frozen = {
        "CNN and word embeddings frozen": ("frozen-both", {"frozen": ["cnn", "word_embeddings"]}),
        "CNN frozen": ("frozen-cnn", {"frozen": ["cnn"]}),
        "end to end": ("end-to-end", {}),
    }
    rows = {
        label: trained("qa", 4, start=pretraining.name, suffix=f"imagenet-{suffix}", more=more)
        for label, (suffix, more) in frozen.items()
    }
    both, cnn, whole = (setting.name for setting in rows.values())
    return Point(
        4,
        "End to end against frozen parts (table 6)",
        "EfficientNet-Lite0 with ImageNet's weights, from the package that the tests install. It is frozen in the "
        "pre-training too, so before the fine-tuning it has seen none of these frames; word embeddings have. Its "
        "batch norm stays frozen everywhere. QA with four random clips.",
        (pretraining, *rows.values()),
        (Table("QA", tuple((label, setting.name, ACCURACY) for label, setting in rows.items())),),
        (
            Claim(
                "End to end is better than with a frozen CNN.",
                (difference("end to end − CNN frozen", whole, cnn, ACCURACY),),
            ),
            Claim(
                "End to end is better than with CNN and word embeddings frozen.",
                (difference("end to end − both frozen", whole, both, ACCURACY),),
            ),
        ),
    )


def with_further_seeds() -> dict[int, tuple[Setting, ...]]:
    """By the number of a point, the settings whose comparisons three seeds left undecided by more than three points.

    They are of retrieval: of point 1 those of one and two clips, of point 3 all of several clips.
    """
    several = (trained("retrieval", n, way=way) for n in SEVERAL for way in WAYS)
    return {1: (PRETRAINING, *_sampled("retrieval", random=(1, 2), uniform=(2,))), 3: (PRETRAINING, *several)}


def _rows(settings: list[Setting], metric: str) -> tuple[tuple[str, str, str], ...]:
    def label(setting: Setting) -> str:
        how = "uniform" if setting.overrides["training_sampling"] == "dense" else "random"
        return f"{setting.clips} {how}" + ("" if setting.times == 1 else f", {setting.times:g} × the steps")

    return tuple((label(setting), setting.name, metric) for setting in settings)


def counted(number: int, what: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "clip"), counted(2, "clip")
        ('1 clip', '2 clips')
    """
    return f"{number} {what}{'s' * (number > 1)}"


def _task(task: str) -> str:
    return {"qa": "QA", "retrieval": "retrieval"}[task]


def _way(way: str) -> str:
    return {"lse": "LogSumExp"}.get(way, way)


POINTS: tuple[Callable[[], Point], ...] = (sampling, inference_clips, aggregation, end_to_end)
