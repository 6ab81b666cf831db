"""Uploads an exported folder to the Hub, and goes on where an upload was stopped."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.errors import DatasetError
from datasets_scripts.exporting.card import MANIFEST, read_manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_CARD = ("README.md", MANIFEST)


def push_to_hub(folder: str | os.PathLike[str], repository: str, *, private: bool = False) -> str:
    """Upload an exported folder as a data set repository, made if missing; returns its address.

    The files come first, in as many commits as the Hub's limits ask for, and the card comes last; with it the shards of
    older exports go, which the card until then leads to if their number was another. An upload that was stopped goes on
    when it is called again: what the Hub has is not sent again.

    Args:
        folder: From :func:`datasets_scripts.export.export`.
        repository: Such as ``"my-team/msrvtt"``.
        private: Whether a new repository is private.

    Raises:
        DatasetError: The folder was not exported, or the upload stopped.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise DatasetError(f"{folder} has no {MANIFEST}: export the data set there first")
    configs = list(read_manifest(folder, None)["configs"])
    if not configs:
        raise DatasetError(f"{folder} has an export that was stopped: give its command again first")
    try:
        return _upload(HfApi(), folder, repository, configs, private)
    except Exception as error:  # each release of huggingface_hub has other ones
        raise DatasetError(
            f"the upload to {repository} stopped, the same command goes on: {type(error).__name__}: {error}"
        ) from error


def _upload(api: HfApi, folder: Path, repository: str, configs: list[str], private: bool) -> str:
    url = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
    common: dict[str, Any] = {"repo_id": repository, "repo_type": "dataset", "folder_path": folder}
    message = f"Add {', '.join(configs)}"
    api.upload_folder(**common, ignore_patterns=[".*", *_CARD], commit_message=message)
    there = api.list_repo_files(repository, repo_type="dataset")
    old = [name for name in there if name.rpartition("/")[0] in configs and not (folder / name).exists()]
    api.upload_folder(
        **common,
        allow_patterns=list(_CARD),
        delete_patterns=[glob.escape(name) for name in old],
        commit_message=f"{message}: the card",
    )
    return str(url)
