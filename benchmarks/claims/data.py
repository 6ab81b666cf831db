"""The data of the claims: training videos, and test videos that no training ever sees."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.claims.settings import ClaimsError, Scale
from datasets_scripts.moving_shapes import generate
from datasets_scripts.moving_shapes.generation import MANIFEST
from datasets_scripts.preparation.all_videos import prepare_videos
from datasets_scripts.preparation.encoding import EncodingSettings

# Name of the data: scenes a video, motion, and for which task there are test videos.
KINDS: dict[str, tuple[tuple[int, int], bool, str]] = {
    "qa": ((2, 3), False, "qa"),
    "retrieval": ((3, 4), False, "retrieval"),
    "motion": ((2, 3), True, "qa"),
}
PREPARED = {"prepared": "qa"}
# Another one for retrieval than that of its first, shorter runs: their test videos had been used.
_TEST_SEEDS = {"qa": 777, "retrieval": 778}


def make(name: str, root: Path, scale: Scale) -> None:
    """Draw, or prepare, the videos of some data as far as they are not there.

    Args:
        name: Of the data.
        root: Folder of all of it.
        scale: How many videos.

    Raises:
        ClaimsError: If videos cannot be prepared.
    """
    if name in PREPARED:
        make(PREPARED[name], root, scale)
        for folder in (train_folder, test_folder):
            _prepare(folder(PREPARED[name], root), folder(name, root))
        return
    scenes, motion, task = KINDS[name]
    generate(
        train_folder(name, root), scenes=scenes, motion=motion, train=scale.train, validation=0, test=0, progress=False
    )
    test = scale.test[task]
    generate(
        test_folder(name, root),
        seed=_TEST_SEEDS[task],
        scenes=scenes,
        motion=motion,
        train=0,
        validation=0,
        test=test,
        progress=False,
    )


def train_folder(name: str, root: Path) -> Path:
    """Where the training videos are."""
    return root / name


def test_folder(name: str, root: Path) -> Path:
    """Where the test videos are, of another seed."""
    return root / f"{name}_test"


def _prepare(originals: Path, output: Path) -> None:
    """A folder of the data set whose videos are prepared as ``datasets_scripts.prepare`` does it."""
    if (output / MANIFEST).exists():
        return
    videos = (originals / "videos").absolute()
    outcome = prepare_videos(map(str, sorted(videos.glob("*/*.mp4"))), videos, output / "prepared", EncodingSettings())
    if outcome.failed:
        raise ClaimsError(f"videos that cannot be prepared: {outcome.failed}")
    for video in outcome.videos:
        place = output / "videos" / Path(video.source).relative_to(videos)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(output / "prepared" / video.name, place)
    shutil.copytree(originals / "annotations", output / "annotations", dirs_exist_ok=True)
    # Last, since it says that the folder is whole.
    shutil.copyfile(originals / MANIFEST, output / MANIFEST)
