"""Runs the quick tests with the oldest dependencies that pyproject.toml allows: python tests/lowest_versions.py.

In an environment of its own, ``.lowest``: what users depend on and the extra ``train`` at the lower bounds; what only
developers need as new as it comes, but for the trackers, which ask for newer releases of the others than we do; what
these need in turn as pip chooses. Options are passed on to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings the same under another name
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".lowest"


def requirements() -> tuple[list[str], list[str]]:
    """Pins of what is used, out of rows ``name>=version; marker``; and the rows of what developers need beside it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins = []
    for row in project["dependencies"] + extras["train"]:
        pin, found = re.subn(r"^([\w.-]+)>=([\w.]+)(?=$|;)", r"\1==\2", row)
        assert found, f"pyproject.toml: {row!r} states no lower bound"
        pins.append(pin)
    return pins, [row for row in extras["dev"] if not row.startswith(project["name"])]


def environment() -> Path:
    """Make or update the environment; returns its Python."""
    python = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    pins, tools = requirements()
    for arguments in (
        ["install", *pins, *tools, "--editable", str(ROOT)],
        ["install", "--no-deps", "--requirement", str(ROOT / "tests/requirements-media.txt")],
    ):
        subprocess.run([str(python), "-m", "pip", *arguments], cwd=ROOT, check=True)
    return python


def main(options: list[str]) -> int:
    """Run the tests; returns pytest's exit status."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = [str(environment()), "-m", "pytest", "-m", "not slow and not long", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
