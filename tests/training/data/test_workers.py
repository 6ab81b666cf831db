"""How many processes read: as the settings say, else by the cores, and equally many everywhere for a stream."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import forked_runs
import pytest
from accelerate import Accelerator, PartialState

from clipbert_hf.training.data import workers
from clipbert_hf.training.data.loaders import create_loader
from clipbert_hf.training.data.workers import batches_ahead, choose_workers, smallest_of_all, workers_for
from clipbert_hf.training.recipe import RecipeError, ScriptSettings


def settings(**given: Any) -> ScriptSettings:
    return ScriptSettings(output_dir="x", data_dir="x", batch_size=2, **given)


@pytest.mark.parametrize(
    ("cores", "processes", "on_cpu", "expected"),
    [
        (1, 1, True, 1),  # never none: the model would wait for each batch
        (2, 1, True, 1),
        (2, 2, True, 1),
        (8, 1, True, 3),
        (8, 2, True, 1),
        (64, 1, True, 8),
        (4, 1, False, 3),
        (64, 8, False, 7),
        (192, 8, False, 8),
        (4, 8, False, 1),
    ],
)
def test_by_cores_and_processes(cores: int, processes: int, on_cpu: bool, expected: int) -> None:
    assert workers_for(cores, processes, on_cpu=on_cpu) == expected


def test_what_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 12)
    PartialState(cpu=True)
    assert choose_workers(settings()) == 5
    assert [choose_workers(settings(num_workers=given)) for given in (0, 1, 20)] == [0, 1, 20]
    assert [batches_ahead(given, 2) for given in (None, 1, 9)] == [4, 1, 9]
    assert batches_ahead(3, 0) is None


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_loader_has_no_more_workers_than_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 64)
    PartialState(cpu=True)
    for rows, expected in ((5, (3, 4)), (100, (8, 2))):
        loader = create_loader([[{"x": 0}]] * rows, len, list, settings(), training=False)  # type: ignore[arg-type]
        assert (loader.num_workers, loader.prefetch_factor) == expected


def test_no_batch_ahead_is_refused() -> None:
    with pytest.raises(RecipeError, match="prefetch must be at least 1; got 0"):
        settings(prefetch=0)


def write_choices(rank: int, folder: str) -> None:
    """In a process of its own: what it takes on a machine with other cores than the other one's."""
    os.environ["LOCAL_WORLD_SIZE"] = "1"  # each on a machine of its own
    Accelerator()
    workers.usable_cores = lambda: (9, 13)[rank]  # type: ignore[attr-defined]
    chosen = [choose_workers(settings()), choose_workers(settings(streaming=True)), smallest_of_all(rank + 3)]
    Path(folder, f"{rank}.json").write_text(json.dumps(chosen))


def test_machines_agree_on_the_workers_of_a_stream(tmp_path: Path) -> None:
    forked_runs.run_together(2, write_choices, str(tmp_path))
    assert json.loads((tmp_path / "0.json").read_text()) == [4, 4, 3]
    assert json.loads((tmp_path / "1.json").read_text()) == [6, 4, 3]
