"""Uploading a saved model."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from clipbert_hf import ClipBertProcessor, InvalidInputError

from ..output import console, plural, print_json
from .models import loading, read_config

# The folder of a run holds checkpoints, curves and logs too.
_ENDINGS = {".json", ".md", ".py", ".safetensors", ".txt", ".yaml"}
_LEFT_OUT = {"unreadable_videos.json", "log.jsonl"}


def upload(folder: str, repository: str, *, private: bool, message: str, as_json: bool) -> None:
    """Upload a saved model.

    Args:
        folder: Where it lies.
        repository: Made if it is not there.
        private: Whether a new one is private.
        message: Of the commit.
        as_json: Whether to print JSON.

    Raises:
        InvalidInputError: If the folder holds no whole model, or the repository cannot have that name.
    """
    if not Path(folder).is_dir():
        raise InvalidInputError(f"--model {folder}: expected the folder of a saved model")
    read_config(folder)
    with loading(folder):
        ClipBertProcessor.from_pretrained(folder)
    files = sorted(path.name for path in Path(folder).iterdir() if path.suffix in _ENDINGS and path.is_file())
    files = [name for name in files if name not in _LEFT_OUT and not name.startswith((".", "non_finite_loss"))]
    if not any(name.endswith(".safetensors") for name in files):
        raise InvalidInputError(f"--model {folder}: there are no weights (*.safetensors) in it")
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InvalidInputError(f"REPO: {' '.join(str(error).split())}") from error
    api = HfApi()
    try:
        url = str(api.create_repo(repository, private=private, exist_ok=True))
        api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=files, commit_message=message)
    except Exception as error:
        # Of the Hub, or of its HTTP library, which differs from release to release.
        if "HTTPError" not in {each.__name__ for each in type(error).__mro__}:
            raise
        raise InvalidInputError(f"REPO {repository}: cannot be uploaded: {' '.join(str(error).split())}") from error
    if as_json:
        print_json({"url": url, "files": files})
    else:
        console().print(f"{url}: {plural(files, 'file')}")
