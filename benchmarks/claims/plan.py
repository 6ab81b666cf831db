"""What a plan will cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.claims.data import KINDS, PREPARED
from benchmarks.claims.one_run import Run
from benchmarks.claims.settings import Scale, Setting

# Seconds of one core: of the CNN a frame of 64 x 64 pixels, and of decoding and the encoder a clip (of a text, for
# language), forward and backward. CPU time of short runs on a busy machine, so rather too much.
_CNN, _EFFICIENTNET = 0.0022, 0.0040
_ENCODER = {"pretraining": 0.0033, "qa": 0.0027, "retrieval": 0.0033, "language": 0.0008}
_START = 3.0  # to load, to save and to build a model
_TEST_CLIP, _TEST_PAIR = 0.0008, 0.00007  # decoding and CNN of a clip; a pair of a text and a clip
_QUESTIONS = 6


def seconds_of(setting: Setting, scale: Scale) -> float:
    """About how many seconds of one core a run takes."""
    clips = scale.clips_of(setting)
    cnn = 0.0 if setting.task == "language" else _EFFICIENTNET if "imagenet" in _lineage(setting) else _CNN
    training = clips * (cnn * setting.frames * setting.pixels + _ENCODER[setting.task] * max(setting.pixels, 1))
    return _START + training + _test(setting, scale)


def _lineage(setting: Setting) -> str:
    """In what the name of the CNN shows: a setting that starts from a model says of it only in that model's name."""
    backbone = str(setting.overrides.get("model.backbone")).replace("tf_efficientnet", "imagenet")
    return f"{setting.name} {setting.start} {backbone}"


def _test(setting: Setting, scale: Scale) -> float:
    if setting.task not in ("qa", "retrieval"):
        return 0.0
    clips = max(scale.inference_clips) * scale.test[setting.task]
    texts = _QUESTIONS if setting.task == "qa" else scale.gallery
    return clips * (_TEST_CLIP * setting.frames * setting.pixels + _TEST_PAIR * texts)


def plan_text(runs: Sequence[Run], scale: Scale, *, processes: int) -> str:
    """The plan as lines: each setting with its seeds, what is done, and minutes in all."""
    lines = [f"{'setting':<48}{'steps':>7}{'clips':>9}{'seeds':>7}{'left':>6}{'core min':>10}"]
    by_setting: dict[str, list[Run]] = {}
    for run in runs:
        by_setting.setdefault(run.setting.name, []).append(run)
    total = left_total = 0.0
    for name, some in by_setting.items():
        setting, left = some[0].setting, sum(not run.is_done for run in some)
        minutes = seconds_of(setting, scale) / 60
        total, left_total = total + len(some) * minutes, left_total + left * minutes
        counts = f"{scale.steps_of(setting):>7}{scale.clips_of(setting):>9,}{len(some):>7}{left:>6}"
        lines.append(f"{name:<48}{counts}{len(some) * minutes:>10.1f}")
    data = ", ".join(dict.fromkeys(run.setting.data for run in runs if run.setting.data in {*KINDS, *PREPARED}))
    lines.append(
        f"{len(runs)} runs on {data}: about {total / processes:.0f} minutes with {processes} at a time on as many "
        f"quiet cores; {left_total / processes:.0f} of them left"
    )
    return "\n".join(lines) + "\n"
