"""Data sets by name: builders, and :func:`load`."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from datasets_scripts.errors import DatasetError

if TYPE_CHECKING:  # a loader is imported, and datasets with it, when it is asked for
    from datasets import DatasetDict, IterableDatasetDict

    from datasets_scripts.annotations.builder import AnnotationBuilder, MissingPolicy

LOADERS = {
    "activitynet_captions": "ActivityNetCaptions",
    "coco_captions": "CocoCaptions",
    "custom": "Custom",
    "didemo": "Didemo",
    "msrvtt": "Msrvtt",
    "tgif_qa": "TgifQA",
    "visual_genome": "VisualGenome",
    "vqa_v2": "VqaV2",
}


def builder_class(name: str) -> type[AnnotationBuilder]:
    """The builder of a data set.

    Raises:
        DatasetError: There is none of that name.
    """
    if name not in LOADERS:
        raise DatasetError(f"the data set must be one of {', '.join(LOADERS)}, not {name!r}")
    return getattr(importlib.import_module(f"datasets_scripts.{name}"), LOADERS[name])


def create_builder(
    name: str,
    config: str | None = None,
    *,
    annotation_dir: str | os.PathLike[str],
    video_dir: str | os.PathLike[str] | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    missing: MissingPolicy = "error",
    check: bool = False,
    progress: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> AnnotationBuilder:
    """A builder whose files have been checked; see :func:`load` for the arguments."""
    if video_dir is not None and image_dir is not None:
        raise DatasetError("give video_dir or image_dir, not both")
    return builder_class(name)(
        annotation_dir=annotation_dir,
        media_dir=image_dir if video_dir is None else video_dir,
        config_name=config,
        missing=missing,
        check=check,
        progress=progress,
        cache_dir=cache_dir,
        **options,
    )


def load(
    name: str,
    config: str | None = None,
    *,
    annotation_dir: str | os.PathLike[str],
    video_dir: str | os.PathLike[str] | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    missing: MissingPolicy = "error",
    check: bool = False,
    streaming: bool = False,
    quiet: bool = False,
    progress: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> DatasetDict | IterableDatasetDict:
    """Load a data set from where its files lie.

    What was found is written to stderr and kept as the description of each split.

    Args:
        name: Such as ``"msrvtt"``; see ``LOADERS``.
        config: Such as ``"retrieval"``; by default the first of the data set.
        annotation_dir: The folder of the annotation files.
        video_dir: The folder of the videos, by default the same.
        image_dir: The folder of the images, for data sets of images.
        missing: ``"error"`` refuses if a file is missing, ``"drop"`` leaves the rows out and says how many.
        check: Whether to open every file too; those that cannot be read count as missing.
        streaming: Whether to read rows as they are iterated over, without a cache.
        quiet: Whether to write nothing but how many rows were left out.
        progress: Whether to show progress bars.
        cache_dir: Where to keep the prepared rows instead of in the cache of ``datasets``.
        options: Options of the data set, such as ``scheme="9k"``.

    Raises:
        DatasetError: An argument or a file is not as expected; file and line or key are named.
    """
    builder = create_builder(
        name,
        config,
        annotation_dir=annotation_dir,
        video_dir=video_dir,
        image_dir=image_dir,
        missing=missing,
        check=check,
        progress=progress,
        cache_dir=cache_dir,
        **options,
    )
    if not quiet:
        sys.stderr.write(builder.report.summary() + "\n")
    else:
        left_out = (builder.report.dropped if builder.report.dropped_rows else "", builder.report.blank)
        sys.stderr.write("".join(f"{name} {builder.config.name}: {line}\n" for line in left_out if line))
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()
