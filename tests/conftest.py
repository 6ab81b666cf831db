"""A small data set and a tiny model to start from, made once for all tests that train."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from script_runs import TINY

# How fast examples are made says something about the machine, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A forked process must not free what its parent left behind: FFmpeg's scaler waits for threads that did not come along.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gc.freeze, after_in_parent=gc.unfreeze)

# ``make conformance`` runs what needs transformers' own tests; what is left of the folder needs none of them.
collect_ignore_glob = ["conformance/fetch.py", "conformance/run.py"]
if "CONFORMANCE_TESTS" not in os.environ:
    collect_ignore_glob += ["conformance/*_clipbert.py"]

# With --doctest-modules pytest would import this file again, under a name that a folder's own has by then.
collect_ignore = ["conftest.py"]
# Nor is there an example in what drives a browser, which needs selenium.
collect_ignore += ["browser_visitor.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Pages that a test makes from what it checked are written anew with this."""
    parser.addoption("--write-tables", action="store_true", help="write the tables in docs/ anew")


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 training, 5 validation and 6 test videos."""
    from datasets_scripts.moving_shapes import load_moving_shapes

    folder = tmp_path_factory.mktemp("moving_shapes")
    load_moving_shapes("qa", folder, train=24, validation=5, test=6, workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def pretrained(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, pre-trained for two steps."""
    import forked_runs

    folder = tmp_path_factory.mktemp("pretrained")
    options = [*TINY, "--data_dir", small_data, "--output_dir", folder, "--max_steps", "2", "--batch_size", "4"]
    forked_runs.run("run_pretraining.py", "pretraining_moving_shapes.yaml", *options, "--tracker", "none")
    return folder
