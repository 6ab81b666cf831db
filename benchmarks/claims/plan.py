"""What a plan will cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.claims.data import KINDS, PREPARED
from benchmarks.claims.one_run import Run
from benchmarks.claims.settings import Scale, Setting

# CPU seconds, forward and backward, fitted to those of the published page: within a tenth for the demo's CNN, within a
# half for EfficientNet, which costs less where it is frozen and more where its batch norm is not. To read a video; of
# the CNN a frame of 64 x 64 pixels; of the encoder a clip (of a text, for language).
_VIDEO, _CNN, _EFFICIENTNET = 0.0030, 0.0024, 0.0030
_ENCODER = {"pretraining": 0.0021, "qa": 0.0013, "retrieval": 0.0018, "language": 0.0005}
_START = 2.5  # to load, to save and to build a model
_TEST_CLIP, _TEST_PAIR = 0.0005, 0.00006  # CNN of a clip, which was decoded for another run; a text with a clip
_QUESTIONS = 6


def seconds_of(setting: Setting, scale: Scale) -> float:
    """About how many seconds of one core a run takes."""
    clips = scale.clips_of(setting)
    frames = clips * setting.frames * setting.pixels
    training = clips * _ENCODER[setting.task] if setting.matches else 0.0
    if setting.task != "language":
        training += clips / setting.clips * _VIDEO
        training += frames * (_EFFICIENTNET if "imagenet" in _lineage(setting) else _CNN)
    return _START + training + _test(setting, scale)


def _lineage(setting: Setting) -> str:
    """In what the name of the CNN shows: a setting that starts from a model says of it only in that model's name."""
    backbone = str(setting.overrides.get("model.backbone")).replace("tf_efficientnet", "imagenet")
    return f"{setting.name} {setting.start} {backbone}"


def _test(setting: Setting, scale: Scale) -> float:
    if setting.task not in ("qa", "retrieval"):
        return 0.0
    clips = max(scale.inference_clips) * scale.test[setting.task]
    texts = (_QUESTIONS if setting.task == "qa" else scale.gallery) if setting.matches else 0
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
