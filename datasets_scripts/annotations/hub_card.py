"""The README of an exported data set, and the manifest that it is made from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.json_files import decode_json
from datasets_scripts.annotations.text_files import read_text
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import features, media_column

MANIFEST = "export.json"
_MEDIA = {
    "names": "`{column}` is the name of a file that is not part of this repository.",
    "files": "`{column}` is the path of a file in this repository.",
    "embed": '`{column}` holds the file itself, as `{{"bytes", "path"}}`.',
}


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


def write_card(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest and the README."""
    _write(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    lines = ["---", "configs:"]
    for config, content in manifest["configs"].items():
        lines += [f"- config_name: {config}", f"  version: {content['version']}", "  data_files:"]
        for split in content["rows"]:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*.parquet"]
    lines += ["---", "", f"# {manifest['name']}", ""]
    for config, content in manifest["configs"].items():
        lines += _section(config, content)
    _write(folder / "README.md", "\n".join(lines))


def _section(config: str, content: dict[str, Any]) -> list[str]:
    column = media_column(content["schema"])
    counts = ", ".join(f"{split} {count:,}" for split, count in content["rows"].items())
    lines = [f"## {config}", "", f"Rows: {counts}.", "", f"Columns: {', '.join(features(content['schema']))}."]
    lines += [_MEDIA[content["media"]].format(column=column), ""]
    lines += [f"- {note}" for note in content["notes"]]
    return [*lines, *([""] if content["notes"] else [])]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
