"""Rows out of a folder of MovingShapes videos: the builder, and :func:`load_moving_shapes`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import datasets
from datasets import DatasetDict, Features, List, Value

from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes import scenes as scenes_module
from datasets_scripts.moving_shapes import text as text_module
from datasets_scripts.moving_shapes.generation import (
    MANIFEST,
    annotation_file,
    find_manifest,
    generate,
    read_manifest,
    read_plans,
)
from datasets_scripts.moving_shapes.scenes import FPS, SPLITS, SplitName, VideoPlan, video_generator
from datasets_scripts.moving_shapes.text import (
    Row,
    motion_qa_rows,
    multiple_choice_rows,
    pretraining_rows,
    qa_rows,
    retrieval_rows,
)

ConfigName = Literal["qa", "retrieval", "multiple_choice", "pretraining", "motion_qa"]
CONFIGS: tuple[ConfigName, ...] = get_args(ConfigName)

_text = Value("string")
_FEATURES: dict[str, dict[str, Any]] = {
    "qa": {"question": _text, "answer": _text, "answer_type": _text},
    "retrieval": {"caption": _text},
    "multiple_choice": {"question": _text, "options": List(_text), "answer": Value("int64")},
    "pretraining": {
        "start": Value("float64"),
        "end": Value("float64"),
        "caption": _text,
        "hard_negatives": List(_text),
        "key_words": List(_text),
    },
    "motion_qa": {"question": _text, "answer": _text, "answer_type": _text},
}


@dataclass
class MovingShapesConfig(datasets.BuilderConfig):
    """Options of the rows; those of the videos are options of :func:`generate`.

    Args:
        captions_per_video: ``retrieval``: captions of a training video, each naming its scenes in another order.
            Validation and test videos have one.
        captions_per_scene: ``pretraining``: captions of a training scene, each with another template.
            Validation and test scenes have one.
    """

    captions_per_video: int = 6
    captions_per_scene: int = 4


class MovingShapes(datasets.GeneratorBasedBuilder):
    """Reads a folder that :func:`generate` made.

    The prepared rows are cached in ``.cache`` inside the folder under a hash of the folder's annotations, its
    place and the code that writes questions, so that they are never stale.

    Args:
        data_dir: The folder.
        cache_dir: Where to keep the prepared rows instead.
        options: Further arguments of ``datasets.DatasetBuilder``, ``config_name`` among them.

    Raises:
        DatasetError: The folder is not a complete MovingShapes folder, or ``motion_qa`` is asked for and its videos
            were made without motion.
    """

    BUILDER_CONFIG_CLASS = MovingShapesConfig
    BUILDER_CONFIGS = [MovingShapesConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    def __init__(
        self, *, data_dir: str | os.PathLike[str], cache_dir: str | os.PathLike[str] | None = None, **options: Any
    ) -> None:
        self.folder = Path(data_dir).resolve()
        # Errors while rows are made would come wrapped in a datasets exception, so the folder is checked here.
        for split in SPLITS:
            read_plans(self.folder, split)
        self.manifest = read_manifest(self.folder)
        if options.get("config_name") == "motion_qa" and not self.manifest.motion:
            raise DatasetError(f"motion_qa needs videos made with motion=True, and those in {self.folder} are not")
        options.setdefault("hash", _fingerprint(self.folder))
        cache = self.folder / ".cache" if cache_dir is None else cache_dir
        super().__init__(data_dir=str(self.folder), cache_dir=str(cache), **options)

    def _info(self) -> datasets.DatasetInfo:
        features = {"id": _text, "video": _text, **_FEATURES[self.config.name]}
        return datasets.DatasetInfo(description="Scenes of coloured shapes.", features=Features(features))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"split": split})
            for split in SPLITS
            if self.manifest.splits[split]
        ]

    def _generate_examples(self, split: SplitName) -> Iterator[tuple[str, Row]]:
        for plan in read_plans(self.folder, split):
            video = str(self.folder / plan.file)
            for row in self._rows(plan):
                yield row["id"], {"video": video, **row}

    def _rows(self, plan: VideoPlan) -> list[Row]:
        name = self.config.name
        generator = video_generator(seed=self.manifest.seed, split=plan.split, number=plan.number, purpose=name)
        training = plan.split == "train"
        if name == "qa":
            return qa_rows(plan, generator)
        if name == "motion_qa":
            return motion_qa_rows(plan, generator)
        if name == "multiple_choice":
            return multiple_choice_rows(plan, generator)
        if name == "retrieval":
            captions = self.config.captions_per_video if training else 1
            return retrieval_rows(plan, generator, captions=captions)
        captions = self.config.captions_per_scene if training else 1
        return list(pretraining_rows(plan, generator, captions=captions, fps=FPS))


def _fingerprint(folder: Path) -> str:
    """Changes with the folder's place, manifest and annotations, and with the code that makes rows."""
    digest = hashlib.sha256(str(folder).encode())
    sources = [Path(module) for module in (__file__, scenes_module.__file__, text_module.__file__)]
    for path in [folder / MANIFEST, *(annotation_file(folder, split) for split in SPLITS), *sources]:
        digest.update(hashlib.sha256(path.read_bytes() if path.exists() else b"").digest())
    return digest.hexdigest()[:32]


def load_moving_shapes(
    config: ConfigName,
    data_dir: str | os.PathLike[str],
    *,
    seed: int | None = None,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    scenes: tuple[int, int] | None = None,
    motion: bool | None = None,
    workers: int | None = None,
    progress: bool = True,
    captions_per_video: int = 6,
    captions_per_scene: int = 4,
) -> DatasetDict:
    """Load a configuration, after generating the videos that are missing.

    Args:
        config: ``qa``, ``retrieval``, ``multiple_choice``, ``pretraining`` or ``motion_qa``.
        data_dir: The data folder; see :func:`generate`.
        seed: As in :func:`generate`; whatever is None is taken from the folder, else from the defaults there.
        train: Likewise.
        validation: Likewise.
        test: Likewise.
        scenes: Likewise.
        motion: Likewise; a new folder for ``motion_qa`` has motion.
        workers: Number of processes that render.
        progress: Whether to show progress bars.
        captions_per_video: As in :class:`MovingShapesConfig`.
        captions_per_scene: Likewise.

    Returns:
        The splits that have videos.

    Raises:
        DatasetError: The configuration is unknown, or :func:`generate` refuses the options.
    """
    if config not in CONFIGS:
        raise DatasetError(f"config must be one of {', '.join(CONFIGS)}, not {config!r}")
    manifest = find_manifest(Path(data_dir).resolve())
    given = {"seed": seed, "train": train, "validation": validation, "test": test, "scenes": scenes, "motion": motion}
    options: dict[str, Any] = {"motion": config == "motion_qa"}
    if manifest is not None:
        options = {"seed": manifest.seed, "scenes": manifest.scenes, "motion": manifest.motion}
        options.update((split, manifest.splits[split]) for split in SPLITS)
    options |= {name: value for name, value in given.items() if value is not None}
    generate(data_dir, **options, workers=workers, progress=progress)
    builder = MovingShapes(
        config_name=config,
        data_dir=data_dir,
        captions_per_video=captions_per_video,
        captions_per_scene=captions_per_scene,
    )
    shown = datasets.is_progress_bar_enabled()
    if shown:  # the rows take a fraction of a second
        datasets.disable_progress_bars()
    try:
        builder.download_and_prepare()
        return builder.as_dataset()
    finally:
        if shown:
            datasets.enable_progress_bars()
