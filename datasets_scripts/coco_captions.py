"""COCO captions, for image-text pre-training (Chen et al., 2015): config ``captions``.

Official files: ``captions_train2014.json`` and ``captions_val2014.json`` (or those of 2017). Images are found by their
``file_name`` or as ``<12 digits>.jpg``. The released jsonl files are ``pretrain/coco_train_captions.jsonl`` and
``coco_val_captions.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.coco_images import coco_names, image_names
from datasets_scripts.annotations.files import json_records, jsonl_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.plan import Item, Numbering, Plan, Published, Reader
from datasets_scripts.annotations.released_files import choose_form

_OFFICIAL = {
    "train": ("captions_train2014.json", "captions_train2017.json"),
    "validation": ("captions_val2014.json", "captions_val2017.json"),
}
_RELEASED = {"train": ("coco_train_captions.jsonl",), "validation": ("coco_val_captions.jsonl",)}
_FOLDERS = ("train2014", "val2014")
_PUBLISHED: Published = {
    "train": {"rows": 414_113, "images": 82_783},
    "validation": {"rows": 202_654, "images": 40_504},
}


class CocoCaptions(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "coco_captions"
    CONFIGS = ("captions",)
    BUILDER_CONFIGS = [AnnotationConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: AnnotationConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        official, released = folder.find_all(_OFFICIAL), folder.find_all(_RELEASED)
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        files = official if form == "official" else released
        if not files:
            raise folder.missing(["captions_train2014.json", "pretrain/coco_train_captions.jsonl"], "coco_captions")
        read = read_captions if form == "official" else read_released
        readers: dict[str, Reader] = {split: partial(read, path) for split, path in files.items()}
        published = _PUBLISHED if any("2014" in path.name for path in files.values()) else {}
        return Plan("image_captions", form, readers, list(files.values()), notes, published)


def image_splits(annotation_dir: str) -> tuple[dict[int, str], list[Path]]:
    """Which split each image of COCO is in, by its number, and the files that say so.

    Raises:
        DatasetError: The folder lacks one of the splits, or a file is not as expected.
    """
    folder = AnnotationFolder(annotation_dir)
    plan = CocoCaptions.make_plan(AnnotationConfig(name="captions"), folder)
    if set(plan.splits) != {"train", "validation"}:
        raise folder.missing(["captions_train2014.json and captions_val2014.json"], "coco_dir")
    splits = {}
    for split in ("train", "validation"):  # what is in both is not to be trained on
        for item in plan.splits[split]():
            image = item.row["id"].rpartition("_")[0] if item.row else ""
            if image.isdecimal():
                splits[int(image)] = split
    return splits, plan.files


def read_captions(path: Path) -> Iterator[Item]:
    """The captions of an official file."""
    files: dict[int, str] = {}
    for record in json_records(path, "images"):
        image = record.integer("id", low=0)
        if image in files:
            raise record.error(f"the image id {image} is there twice")
        files[image] = record.text("file_name")
    number = Numbering()
    for record in json_records(path, "annotations"):
        image = record.integer("image_id", low=0)
        if image not in files:
            raise record.error(f"image {image} is not among the images of this file")
        names = tuple(dict.fromkeys((files[image], *coco_names(image, _FOLDERS))))
        row = {"id": number(str(image)), "caption": record.text("caption")}
        yield Item(record, names, row, record.name("id"))


def read_released(path: Path) -> Iterator[Item]:
    """The captions of a jsonl file."""
    number = Numbering()
    for record in jsonl_records(path):
        image, names = image_names(record, "coco_id", _FOLDERS)
        yield Item(record, names, {"id": number(image), "caption": record.text("caption")})
