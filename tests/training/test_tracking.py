from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tracked_run
import yaml
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType
from forked_runs import fork_context
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.tracking import flatten, installed_tracker, read_log, read_run_id

# Optional, and too new for the lowest versions of the rest.
pytest.importorskip("trackio")
Record = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record

SETTINGS = ["--batch_size", "2", "--max_steps", "14", "--log_every", "1", "--learning_rate", "0.02"]
SETTINGS += ["--checkpoint_every", "3", "--evaluate_every", "6", "--resume_from_checkpoint", "last", "--threads", "1"]
Points = dict[str, list[tuple[int, float]]]


def run(
    output: Path, tracker: str, losses: Path, *environment: tuple[str, str], end_after: int = 0, how: str = "never"
) -> list[float]:
    """Run a part of a run; returns the losses of its steps."""
    settings = [*SETTINGS, "--tracker", tracker, "--output_dir", str(output)]
    process = fork_context().Process(
        target=tracked_run.main, args=(losses, end_after, how, settings, dict(environment))
    )
    process.start()
    process.join(300)
    assert process.exitcode == (-9 if how == "kill" else 0)
    return [json.loads(line) for line in losses.read_text().splitlines()]


def read_tensorboard(output: Path) -> tuple[Points, dict[str, Any]]:
    events = EventAccumulator(str(output / "curves")).Reload()
    points = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    settings = max((output / "curves").glob("*/hparams.yml"))  # accelerate writes one at each start
    return points, yaml.safe_load(settings.read_text())


def read_trackio(output: Path) -> tuple[Points, dict[str, Any]]:
    rows, configs = [], []
    path = output / "trackio" / "clipbert_hf.db"
    if path.exists():
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
            configs = [json.loads(config) for (config,) in database.execute("SELECT config FROM configs")]
    for path in sorted((output / "trackio" / "inbox").rglob("*.jsonl")):  # not in the database yet
        for record in map(json.loads, path.read_text().splitlines()):
            if record["kind"] == "metric":
                rows.append((record["run"], record["step"], json.dumps(record["metrics"])))
                configs += [record["config"]] if record["config"] else []
    points: Points = {}
    for name, step, metrics in rows:
        assert name == f"{output.name}-{(output / 'tracker_id').read_text().strip()}"
        for metric, value in json.loads(metrics).items():
            points.setdefault(metric, []).append((step, value))
    return points, configs[-1]


def read_wandb(output: Path) -> tuple[Points, dict[str, Any]]:
    points: Points = {}
    config: dict[str, Any] = {}
    run_id = (output / "tracker_id").read_text().strip()
    for path in sorted((output / "wandb").glob("offline-run-*/*.wandb")):
        assert path.name == f"run-{run_id}.wandb"
        records = read_one_block(path.read_bytes())
        started = [record.run for record in records if record.HasField("run")]
        assert len(started) <= 1  # none where it was killed before anything was written
        for one in started:
            assert (one.run_id, one.display_name, one.project) == (run_id, output.name, "clipbert_hf")
        config |= {u.key: json.loads(u.value_json) for r in records for u in r.config.update if u.key}
        for record in records:
            for item in record.history.item:
                name = item.key or item.nested_key[0]
                if not name.startswith("_"):
                    points.setdefault(name, []).append((record.history.step.num, json.loads(item.value_json)))
    return points, config


def read_one_block(content: bytes) -> list[Record]:
    """The records of a file that is too short for any of them to be split."""
    assert len(content) < 32768
    records, place = [], 7
    while place < len(content):
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        records.append(Record.FromString(content[place + 7 : place + 7 + length]))
        place += 7 + length
    return records


READERS = {"tensorboard": read_tensorboard, "trackio": read_trackio, "wandb": read_wandb}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "environment"),
    # What trackio does on network file systems: into files, from which it later fills its database.
    [
        ("tensorboard", ()),
        pytest.param("wandb", (), marks=pytest.mark.long),
        ("trackio", ()),
        ("trackio", [("TRACKIO_STORAGE_MODE", "jsonl")]),
    ],
)
def test_a_resumed_run_goes_on_under_its_name(tracker: str, environment: list[tuple[str, str]], tmp_path: Path) -> None:
    output = tmp_path / "run"
    # Killed two steps after the checkpoint of step 3, then stopped two steps after that of step 6.
    first = run(output, tracker, tmp_path / "1", *environment, end_after=5, how="kill")
    second = run(output, tracker, tmp_path / "2", *environment, end_after=5, how="stop")
    third = run(output, tracker, tmp_path / "3", *environment)
    assert (first[3:], second[3:]) == (second[:2], third[:2])
    points, settings = READERS[tracker](output)
    # All that the second and the third part drew is there, and of the first what was written before it was killed.
    drawn = Counter((step, round(value, 3)) for step, value in points["train/loss"])
    later = [*enumerate(second, start=4), *enumerate(third, start=7)]
    before = drawn - Counter((step, round(loss, 3)) for step, loss in later)
    assert drawn.total() - before.total() == len(later)
    of_first = [(step, round(loss, 3)) for step, loss in enumerate(first, start=1)]
    assert sorted(before.elements()) == of_first[: before.total()]
    assert tracker != "tensorboard" or before.total() == 5  # it writes each point at once
    assert sorted(points["validation/count"]) == [(6, 8.0), (12, 8.0), (14, 8.0)]
    assert len(points["train/learning_rate/other"]) == drawn.total()
    assert settings["learning_rate"] == 0.02
    assert settings["adam_betas"] == "[0.9, 0.98]"
    assert "allow_val_change" not in settings
    # The record of the run itself has each line once.
    assert [line["step"] for line in read_log(output / "log.jsonl")] == [4, 6, 8, 12, 14]


def test_flatten() -> None:
    nested = {"a": None, "b": {"c": True, "d": {"e": 1e-4}}, "f": [], "g": {"h": [1, "x"]}}
    assert flatten(nested) == {"a": None, "b.c": True, "b.d.e": 1e-4, "f": "[]", "g.h": '[1, "x"]'}


def test_a_tracker_that_is_not_installed() -> None:
    missing = next(name for name in LoggerType.list() if name not in [*map(str, get_available_trackers()), "all"])
    with pytest.raises(RecipeError, match=rf"tracker={missing} needs .*: pip install {missing}"):
        installed_tracker(missing)
    assert installed_tracker("none") is None
    assert [installed_tracker(name) for name in READERS] == list(READERS)


def test_run_id(tmp_path: Path) -> None:
    first = read_run_id(tmp_path, anew=False)
    assert read_run_id(tmp_path, anew=False) == first
    second = read_run_id(tmp_path, anew=True)
    assert second != first
    assert read_run_id(tmp_path, anew=False) == second
    (tmp_path / "tracker_id").write_text("")  # killed while writing
    assert len(read_run_id(tmp_path, anew=False)) == 8
