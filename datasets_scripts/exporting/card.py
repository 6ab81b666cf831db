"""The README of an exported data set, and the manifest that it is made from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.annotations.json_files import decode_json
from datasets_scripts.annotations.text_files import read_text
from datasets_scripts.errors import DatasetError
from datasets_scripts.exporting.shard_files import embedded_features, tar_features
from datasets_scripts.schemas import features, media_column

if TYPE_CHECKING:
    from datasets import Features

MANIFEST = "export.json"
_MEDIA = {
    "names": "`{column}` is the name of a file that is not part of this repository.",
    "files": "`{column}` is the path of a file in this repository.",
    "embed": '`{column}` holds the file itself, as `{{"bytes", "path"}}`.',
    "parquet": '`{column}` holds the file itself, as `{{"bytes", "path"}}`; the rows of a file follow each other.',
    "webdataset": (
        "In tar files as WebDataset has them: `{ending}` is the file itself and `json` the row, in which `{column}` is "
        "the name of the file; the rows of a file follow each other."
    ),
}
_LICENCE = (
    "Licence: unknown, see the source. Neither the annotations nor the videos or images say what may be done with "
    "them; whoever publishes this repository is to look it up and to state it here."
)


def read_manifest(folder: Path, name: str | None) -> dict[str, Any]:
    """What has been exported into a folder so far.

    Args:
        folder: The folder, which may be missing.
        name: The data set that it is for; None for any.

    Raises:
        DatasetError: It holds another data set, or something else.
    """
    path = folder / MANIFEST
    if path.is_file():
        manifest = decode_json(read_text(path), path)
        if not isinstance(manifest, dict) or not {"name", "configs"} <= set(manifest):
            raise DatasetError(f"{path}, line 1: is not the manifest of an export")
        if name is not None and manifest["name"] != name:
            raise DatasetError(f"{folder} holds the data set {manifest['name']}; choose another folder for {name}")
        return manifest
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} exists and was not exported; choose another folder")
    return {"name": name, "configs": {}}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, by which a folder is known again also if its first export is stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def write_card(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest and the README."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    write_manifest(folder, manifest)
    configs, infos = [], {}
    for config, content in manifest["configs"].items():
        ending = "tar" if content.get("format") == "webdataset" else "parquet"
        files = [{"split": split, "path": _pattern(folder, config, split, ending)} for split in content["rows"]]
        configs.append({"config_name": config, "version": content["version"], "data_files": files})
        infos[config] = DatasetInfo(config_name=config, features=_features(content))
    data = DatasetCardData(license="unknown", configs=configs)
    DatasetInfosDict(infos).to_dataset_card_data(data)
    lines = ["---", data.to_yaml(), "---", "", f"# {manifest['name']}", "", _LICENCE, ""]
    for config, content in manifest["configs"].items():
        lines += _section(config, content)
    _write(folder / "README.md", "\n".join(lines))


def _pattern(folder: Path, config: str, split: str, ending: str) -> str:
    """What leads to the files of a split, but not to those of an export of another number, which may lie beside."""
    total = len(list((folder / config).glob(f"{split}-*-of-*.{ending}")))
    return f"{config}/{split}-*-of-{total:05d}.{ending}"


def _features(content: dict[str, Any]) -> Features:
    if content.get("format") == "webdataset":
        return tar_features(content["schema"], content["ending"])
    return (embedded_features if content["media"] in ("embed", "shards") else features)(content["schema"])


def _section(config: str, content: dict[str, Any]) -> list[str]:
    column = media_column(content["schema"])
    counts = ", ".join(f"{split} {count:,}" for split, count in content["rows"].items())
    lines = [f"## {config}", "", f"Rows: {counts}.", "", f"Columns: {', '.join(features(content['schema']))}."]
    kind = content["media"] if content["media"] != "shards" else content["format"]
    lines += [_MEDIA[kind].format(column=column, ending=content.get("ending")), ""]
    if content["media"] == "shards":
        lines += [f"`{config}/shards.jsonl` says which rows are in which shard, and the SHA-256 of each.", ""]
    lines += [f"- {note}" for note in content["notes"]]
    return [*lines, *([""] if content["notes"] else [])]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
