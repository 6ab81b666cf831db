"""Lays out the common tests of transformers, out of the source distribution of one version, beside what they miss."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

PACKAGE = "transformers_tests"
# What their tests import and the source distribution does not hold. Empty mixins: export, generation and the Hub are
# no part of what we test here.
_STUBS = {
    f"{PACKAGE}/__init__.py": "",
    f"{PACKAGE}/exporters/__init__.py": "",
    f"{PACKAGE}/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    f"{PACKAGE}/generation/__init__.py": "",
    f"{PACKAGE}/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    f"{PACKAGE}/utils/__init__.py": "",
    f"{PACKAGE}/utils/test_configuration_utils.py": (
        'config_common_kwargs = {"return_dict": False, "output_hidden_states": True, "dtype": "float16",\n'
        '    "chunk_size_feed_forward": 3, "architectures": ["ClipBertModel"], "id2label": {0: "no", 1: "yes"},\n'
        '    "label2id": {"no": 0, "yes": 1}, "problem_type": "multi_label_classification"}\n'
    ),
    # They look for this one in a folder beside their package.
    "utils/fetch_hub_objects_for_ci.py": "def url_to_local_path(url, *_):\n    return url\n",
}


def fetch_tests(version: str, cache: Path) -> Path:
    """Download the source distribution of a version of transformers, unless it is there, and lay out its tests.

    Args:
        version: Such as ``"5.24.0"``.
        cache: Holds what has been downloaded.

    Returns:
        The folder to put on Python's path, for ``import transformers_tests.test_modeling_common``.
    """
    archive = cache / "downloads" / f"transformers-{version}.tar.gz"
    if not archive.is_file():
        download = ["download", "--no-deps", "--no-binary", "transformers", f"transformers=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *download, "--dest", str(archive.parent)], check=True)
    target = cache / f"tests_{version}"
    extract_tests(archive, target / PACKAGE)
    for name, text in _STUBS.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return target


def extract_tests(archive: Path, target: Path) -> list[str]:
    """Write the files ``<any>/tests/test_*.py`` of an archive into one folder, whatever else it holds.

    Args:
        archive: A ``.tar.gz``.
        target: Made if need be. Only file names are taken from the archive, so nothing can leave this folder.

    Returns:
        The names of the files.

    Raises:
        ValueError: If there are none.
    """
    names = []
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isfile() and len(path.parts) == 3 and path.parts[1] == "tests" and path.match("test_*.py"):
                file = tar.extractfile(member)
                assert file is not None  # it is a file
                (target / path.name).write_bytes(file.read())
                names.append(path.name)
    if not names:
        raise ValueError(f"{archive} must hold tests/test_*.py; found none")
    return names
