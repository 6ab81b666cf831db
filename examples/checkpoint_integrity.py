"""Folders that are written whole or not at all, and that can tell afterwards whether they still are.

A list of files with their sizes and SHA-256 is written last. A folder gets its name when it and everything in it have
reached the disk; what a power cut or a full disk leaves behind either has another name or fails the comparison.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

_LIST = "files.json"


def seal(unfinished: Path, final: Path) -> None:
    """List what is in a folder, force it to the disk and give it its name; an older folder of that name goes.

    Args:
        unfinished: A folder of files and folders, complete.
        final: Its name from now on, in the same folder.

    Raises:
        OSError: If something cannot be written; then ``final`` does not exist, or is as it was.
    """
    files = {str(path.relative_to(unfinished)): path for path in sorted(unfinished.rglob("*")) if path.is_file()}
    listing = {name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for name, path in files.items()}
    (unfinished / _LIST).write_text(json.dumps(listing, indent=1) + "\n", "utf-8")
    for path in [*unfinished.rglob("*"), unfinished]:
        _to_disk(path)
    outdated = final.with_name(f".outdated_{final.name}")
    shutil.rmtree(outdated, ignore_errors=True)
    if final.exists():  # a resumed run may come by the same step again
        os.replace(final, outdated)
    os.replace(unfinished, final)
    _to_disk(final.parent)
    shutil.rmtree(outdated, ignore_errors=True)


def damage(folder: Path) -> str | None:
    """Compare a sealed folder with its list of files.

    Args:
        folder: What :func:`seal` named.

    Returns:
        What is wrong with it; None if nothing is.
    """
    try:
        listing = json.loads((folder / _LIST).read_text("utf-8"))
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in listing.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return f"{_LIST} cannot be read ({type(error).__name__}: {error})"
    for name, (size, digest) in expected.items():
        path = folder / name
        try:
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes instead of {size}"
            if _sha256(path) != digest:
                return f"the content of {name} has changed"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows has no such thing for folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
