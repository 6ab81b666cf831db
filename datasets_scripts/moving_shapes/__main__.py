"""Makes the MovingShapes videos: ``python -m datasets_scripts.moving_shapes --output data/moving_shapes``."""

from __future__ import annotations

import argparse
import sys

from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes.generation import GenerationSummary, generate
from datasets_scripts.moving_shapes.scenes import FPS, Purpose, video_generator
from datasets_scripts.moving_shapes.text import motion_qa_rows, qa_rows


def _summary(done: GenerationSummary) -> str:
    lines = [
        f"MovingShapes in {done.folder}: seed {done.seed}, {done.scenes[0]} to {done.scenes[1]} scenes a video"
        + ", with motion" * done.motion,
        f"{'split':<12}{'videos':>8}{'scenes':>8}{'questions':>11}",
    ]
    for split, plans in done.plans.items():
        scenes = sum(len(plan.scenes) for plan in plans)
        lines.append(f"{split:<12}{len(plans):>8}{scenes:>8}{6 * len(plans):>11}")
    lines.append(f"{done.written} videos written, {done.kept} kept, {done.size / 1e6:.1f} MB, {done.seconds:.1f} s")
    example = next(plan for plans in done.plans.values() for plan in plans)
    lines.append(f"for example {example.file}")
    for scene in example.scenes:
        what = f"{scene.copies} × {scene.color} {scene.shape}"
        way = f", moves {scene.direction}" if scene.direction else ""
        lines.append(f"  {scene.start / FPS:5.2f} to {scene.stop / FPS:4.2f} s  {what}{way}")
    purpose: Purpose = "motion_qa" if done.motion else "qa"
    generator = video_generator(seed=done.seed, split=example.split, number=example.number, purpose=purpose)
    rows = (motion_qa_rows if done.motion else qa_rows)(example, generator)
    lines += [f"  {row['question']:<40} {row['answer']}" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_scripts.moving_shapes",
        description="Make the MovingShapes videos: scenes of coloured shapes with captions and questions.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", required=True, default=argparse.SUPPRESS, help="the data folder")
    parser.add_argument("--train", type=int, default=1000, help="training videos")
    parser.add_argument("--validation", type=int, default=100, help="validation videos")
    parser.add_argument("--test", type=int, default=200, help="test videos")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the data set")
    parser.add_argument("--scenes", type=int, nargs=2, default=(2, 3), metavar=("MIN", "MAX"), help="scenes a video")
    parser.add_argument("--motion", action="store_true", help="shapes move, as the questions of motion_qa need")
    parser.add_argument("--workers", type=int, default=None, help="processes (None: one a core)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    try:
        done = generate(
            options.output,
            seed=options.seed,
            train=options.train,
            validation=options.validation,
            test=options.test,
            scenes=(options.scenes[0], options.scenes[1]),
            motion=options.motion,
            workers=options.workers,
            progress=not options.no_progress,
        )
    except (DatasetError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(_summary(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
