"""Visual Genome region descriptions, for image-text pre-training (Krishna et al., 2016): config ``captions``.

Official file: ``region_descriptions.json``; every phrase is a row with the whole image, and blank phrases are left out
and counted. It has a training split only; ``validation_fraction`` holds some out by image. The released jsonl
files are ``pretrain/vg_train_captions.jsonl`` and ``vg_val_captions.jsonl``.

Many of the images are COCO's too. ``coco_dir`` puts them into the split that COCO has them in, so that none of
COCO's evaluation is trained on; ``image_data.json`` says which they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import json_records, jsonl_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.held_out import hold_out
from datasets_scripts.annotations.plan import Item, Numbering, Plan, Published, Reader
from datasets_scripts.annotations.released_files import choose_form
from datasets_scripts.coco_captions import image_splits
from datasets_scripts.errors import DatasetError

_RELEASED = {"train": ("vg_train_captions.jsonl",), "validation": ("vg_val_captions.jsonl",)}


@dataclass
class VisualGenomeConfig(AnnotationConfig):
    """Options of Visual Genome.

    Args:
        validation_fraction: The share of the images to hold out, where no validation file is there.
        validation_seed: Another seed holds out other images.
        coco_dir: The folder of COCO's caption files, as ``coco_captions`` reads them. An image that is COCO's too is
            for training if COCO trains on it, otherwise for validation.
    """

    validation_fraction: float = 0.0
    validation_seed: int = 0
    coco_dir: str | None = None


class VisualGenome(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "visual_genome"
    CONFIGS = ("captions",)
    BUILDER_CONFIG_CLASS = VisualGenomeConfig
    BUILDER_CONFIGS = [VisualGenomeConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: VisualGenomeConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        official = folder.find_all({"train": ("region_descriptions.json",)})
        released = folder.find_all(_RELEASED)
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        files = official if form == "official" else released
        if not files:
            raise folder.missing(["region_descriptions.json", "pretrain/vg_train_captions.jsonl"], "visual_genome")
        read = read_regions if form == "official" else read_released
        readers: dict[str, Reader] = {split: partial(read, path) for split, path in files.items()}
        sources, known = list(files.values()), None
        if config.coco_dir is not None:
            if "validation" in files:
                raise DatasetError(f"coco_dir chooses the images for validation, but {files['validation']} has them")
            image_data = folder.require("image_data.json", purpose="coco_dir")
            splits, coco_files = image_splits(config.coco_dir)
            known = read_coco_images(image_data, splits)
            sources += [image_data, *coco_files]
            held = sum(known.values())
            notes.append(f"{len(known):,} images are COCO's too: {held:,} of its evaluation are validation, not train")
        readers = hold_out(readers, config.validation_fraction, config.validation_seed, known)
        if set(readers) != set(files):
            share = f"{config.validation_fraction:.0%} of the {'other ' if known else ''}images"
            notes.append(f"validation is {share}, held out with seed {config.validation_seed}")
        published: Published = {"+".join(readers): {"images": 108_077}}
        return Plan("image_captions", form, readers, sources, notes, published)


def read_coco_images(path: Path, splits: Mapping[int, str]) -> dict[str, bool]:
    """Images that are COCO's too, and whether they are held out.

    Args:
        path: ``image_data.json``.
        splits: The split of each image of COCO. One that has none there is of a test, and held out.
    """
    return {
        str(record.integer("image_id", low=0)): splits.get(record.integer("coco_id", low=0)) != "train"
        for record in json_records(path)
        if record.value("coco_id") is not None
    }


def read_regions(path: Path) -> Iterator[Item]:
    """The phrases of the official file."""
    for record in json_records(path):
        number = Numbering()
        for region in record.records("regions"):
            image = str(region.integer("image_id", low=0))
            caption = region.text("phrase", blank=True)
            row = {"id": number(image), "caption": caption} if caption else None
            yield Item(region, f"{image}.jpg", row, region.name("region_id"))


def read_released(path: Path) -> Iterator[Item]:
    """The captions of a jsonl file."""
    number = Numbering()
    for record in jsonl_records(path):
        image = record.name("vg_id")
        caption = record.text("caption", blank=True)
        row = {"id": number(image), "caption": caption} if caption else None
        yield Item(record, f"{image}.jpg", row)
