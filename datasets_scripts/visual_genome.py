"""Visual Genome region descriptions, for image-text pre-training (Krishna et al., 2016): config ``captions``.

Official file: ``region_descriptions.json``; every phrase is a row with the whole image, and blank phrases are left out
and counted. It has a training split only; ``validation_fraction`` holds some out by image. The released jsonl
files are ``pretrain/vg_train_captions.jsonl`` and ``vg_val_captions.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets_scripts.annotation_builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotation_files import json_records, jsonl_records
from datasets_scripts.annotation_folder import AnnotationFolder
from datasets_scripts.annotation_plan import Item, Numbering, Plan, Published, Reader
from datasets_scripts.held_out import hold_out
from datasets_scripts.released_files import choose_form

_RELEASED = {"train": ("vg_train_captions.jsonl",), "validation": ("vg_val_captions.jsonl",)}


@dataclass
class VisualGenomeConfig(AnnotationConfig):
    """Options of Visual Genome.

    Args:
        validation_fraction: The share of the images to hold out, where no validation file is there.
        validation_seed: Another seed holds out other images.
    """

    validation_fraction: float = 0.0
    validation_seed: int = 0


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
        readers = hold_out(readers, config.validation_fraction, config.validation_seed)
        if set(readers) != set(files):
            share = f"{config.validation_fraction:.0%} of the images"
            notes.append(f"validation is {share}, held out with seed {config.validation_seed}")
        published: Published = {"+".join(readers): {"images": 108_077}}
        return Plan("image_captions", form, readers, list(files.values()), notes, published)


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
