from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import run_pretraining
from accelerate.state import AcceleratorState, GradientState
from script_runs import EXAMPLES, TINY

from datasets_scripts.moving_shapes import load_moving_shapes


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps its state in the process; each test starts without one."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture
def prepared_rows_in_a_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of annotation files are prepared in a folder of the test run, not in the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 training, 5 validation and 6 test videos."""
    folder = tmp_path_factory.mktemp("moving_shapes")
    load_moving_shapes("qa", folder, train=24, validation=5, test=6, workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def pretrained(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    recipe = EXAMPLES / "recipes" / "pretraining_moving_shapes.yaml"
    # A tiny model, pre-trained for two steps.
    options = [*TINY, "--data_dir", str(small_data), "--output_dir", str(folder), "--max_steps", "2"]
    run_pretraining.main([str(recipe), *options, "--batch_size", "4", "--tracker", "none", "--num_workers", "0"])
    return folder
