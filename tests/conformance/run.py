"""Runs transformers' own common tests on our classes: python tests/conformance/run.py [lowest] [newest] [-- pytest …].

For each version an environment of its own in ``.conformance``: the project's packages, and before them that version
of transformers with what it needs. Their tests come from the source distribution of exactly that version.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from fetch import fetch_tests

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".conformance"
HERE = Path(__file__).resolve().parent


def requirement(which: str) -> str:
    """What to install for ``lowest``, ``newest`` or a version."""
    if which not in ("lowest", "newest"):
        return f"transformers=={which}"
    bounds = re.search(r'"transformers>=([\d.]+)([^"]*)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert bounds is not None  # it is a dependency
    lowest, others = bounds.groups()
    return f"transformers>={lowest}{others}" if which == "newest" else f"transformers=={lowest}"


def environment(which: str) -> Path:
    """Make or update the environment of a version; returns its Python."""
    folder = CACHE / which
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=False)
    query = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    # What is installed where this runs is found after what is installed here.
    of_project = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (packages / "project.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in of_project))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--upgrade"]
    subprocess.run([*pip, "--upgrade-strategy", "only-if-needed", requirement(which), "parameterized>=0.9"], check=True)
    return python


def run(which: str, options: list[str]) -> int:
    """Run everything at one version; returns pytest's exit status."""
    python = environment(which)
    query = [str(python), "-c", "import importlib.metadata as m; print(m.version('transformers'))"]
    version = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    tests = fetch_tests(version, CACHE)
    sys.stdout.write(f"--- transformers {version} ({which}) ---\n")
    sys.stdout.flush()
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(tests)])
    variables = {"PYTHONPATH": path, "CONFORMANCE_TESTS": version, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "0"}
    # Marks and deprecations are theirs.
    quiet = ["-q", "-rfE", "--disable-warnings", "-p", "no:cacheprovider", "-o", "addopts="]
    command = [str(python), "-m", "pytest", *quiet]
    chosen = options if any(option.endswith(".py") or "::" in option for option in options) else [str(HERE), *options]
    return subprocess.run([*command, *chosen], cwd=ROOT, env=os.environ | variables, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run at the versions named, by default the lowest and the newest."""
    versions, options = arguments, []
    if "--" in arguments:
        place = arguments.index("--")
        versions, options = arguments[:place], arguments[place + 1 :]
    return max([run(which, options) for which in versions or ["lowest", "newest"]])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
