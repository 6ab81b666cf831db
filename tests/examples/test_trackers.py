from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tracked_run
import yaml
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType
from checkpoint_integrity import seal
from checkpointing import CheckpointError, checkpoint_path
from recipe import LoopSettings, RecipeError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trackers import flatten, installed_tracker, last_step_kept, read_run_id
from wandb.proto.wandb_internal_pb2 import Record
from wandb_parts import cut_offline_parts, read_records

SETTINGS = ["--batch_size", "2", "--max_steps", "14", "--log_every", "1", "--learning_rate", "0.02"]
SETTINGS += ["--checkpoint_every", "3", "--evaluate_every", "6", "--resume_from_checkpoint", "last", "--threads", "1"]
Points = dict[str, list[tuple[int, float]]]


# Processes of their own that share the imports of large packages.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["clipbert_hf", "transformers", "accelerate", "torch.utils.tensorboard"])


def run(
    output: Path, tracker: str, losses: Path, *environment: tuple[str, str], end_after: int = 0, how: str = "never"
) -> list[float]:
    """Run a part of a run; returns the losses of its steps."""
    settings = [*SETTINGS, "--tracker", tracker, "--output_dir", str(output)]
    process = PROCESSES.Process(target=tracked_run.main, args=(losses, end_after, how, settings, dict(environment)))
    process.start()
    process.join(300)
    assert process.exitcode == (-9 if how == "kill" else 0)
    return [json.loads(line) for line in losses.read_text().splitlines()]


def read_tensorboard(output: Path) -> tuple[Points, dict[str, Any]]:
    events = EventAccumulator(str(output / "curves")).Reload()
    points = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    (settings,) = (output / "curves").glob("*/hparams.yml")
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
        (started,) = (record.run for record in records if record.HasField("run"))
        assert (started.run_id, started.display_name, started.project) == (run_id, output.name, "clipbert_hf")
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
    [("tensorboard", ()), ("wandb", ()), ("trackio", ()), ("trackio", [("TRACKIO_STORAGE_MODE", "jsonl")])],
)
def test_a_resumed_run_goes_on_with_its_curves(
    tracker: str, environment: list[tuple[str, str]], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    # Killed two steps after the checkpoint of step 3, then stopped two steps after that of step 6.
    first = run(output, tracker, tmp_path / "1", *environment, end_after=5, how="kill")
    second = run(output, tracker, tmp_path / "2", *environment, end_after=5, how="stop")
    drawn, _ = READERS[tracker](output)
    assert [step for step, _ in drawn["train/loss"]][-5:] == [4, 5, 6, 7, 8]
    third = run(output, tracker, tmp_path / "3", *environment)
    assert (first[3:], second[3:]) == (second[:2], third[:2])
    points, settings = READERS[tracker](output)
    expected = list(enumerate([*first[:3], *second[:3], *third], start=1))
    if tracker != "tensorboard":  # which writes each point at once; the others lose some of those before the kill
        kept = len(points["train/loss"]) - len(second[:3]) - len(third)
        assert 0 <= kept <= 3
        expected = [*expected[:kept], *expected[3:]]
    steps, values = zip(*points["train/loss"], strict=True)
    assert list(steps) == [step for step, _ in expected]
    assert list(values) == pytest.approx([loss for _, loss in expected])
    assert points["validation/count"] == [(6, 8.0), (12, 8.0), (14, 8.0)]
    assert len(points["train/learning_rate/other"]) == len(expected)
    assert settings["learning_rate"] == 0.02
    assert settings["adam_betas"] == "[0.9, 0.98]"
    assert "allow_val_change" not in settings


def test_flatten() -> None:
    nested = {"a": None, "b": {"c": True, "d": {"e": 1e-4}}, "f": [], "g": {"h": [1, "x"]}}
    assert flatten(nested) == {"a": None, "b.c": True, "b.d.e": 1e-4, "f": "[]", "g.h": '[1, "x"]'}


def test_a_tracker_that_is_not_installed() -> None:
    missing = next(name for name in LoggerType.list() if name not in [*map(str, get_available_trackers()), "all"])
    with pytest.raises(RecipeError, match=rf"tracker={missing} needs .*: pip install {missing}"):
        installed_tracker(missing)
    assert installed_tracker("none") is None
    assert [installed_tracker(name) for name in READERS] == list(READERS)


@pytest.mark.parametrize(("resume", "expected"), [(None, 12), ("last", 12), ("step_00000003", 3)])
def test_last_step_kept(resume: str | None, expected: int, tmp_path: Path) -> None:
    Accelerator(cpu=True)  # whose log tells of damaged checkpoints
    assert last_step_kept(LoopSettings(output_dir=str(tmp_path))) == 0
    for step in (3, 12, 15):
        unfinished = tmp_path / f"unfinished_{step}"
        unfinished.mkdir()
        checkpoint_path(tmp_path, step).parent.mkdir(exist_ok=True)
        seal(unfinished, checkpoint_path(tmp_path, step))
    (checkpoint_path(tmp_path, 15) / "files.json").unlink()
    if resume is None:
        shutil.rmtree(checkpoint_path(tmp_path, 15))
    wanted = str(tmp_path / "checkpoints" / resume) if resume and resume != "last" else resume
    assert last_step_kept(LoopSettings(output_dir=str(tmp_path), resume_from_checkpoint=wanted)) == expected
    with pytest.raises(CheckpointError):
        last_step_kept(LoopSettings(output_dir=str(tmp_path), resume_from_checkpoint="step_00000004"))


def test_run_id(tmp_path: Path) -> None:
    first = read_run_id(tmp_path, anew=False)
    assert read_run_id(tmp_path, anew=False) == first
    second = read_run_id(tmp_path, anew=True)
    assert second != first
    assert read_run_id(tmp_path, anew=False) == second
    (tmp_path / "tracker_id").write_text("")  # killed while writing
    assert len(read_run_id(tmp_path, anew=False)) == 8


def written(records: list[bytes]) -> bytes:
    """A ``.wandb`` file, byte by byte as LevelDB's description of its log says, with the checksums left out."""
    content = b":W&B\xe1\xbe\x00"
    for record in records:
        kind_of_first, rest, begun = 1, record, False
        while rest or not begun:
            room = 32768 - len(content) % 32768
            if room < 7:
                content += bytes(room)
                continue
            piece, rest = rest[: room - 7], rest[room - 7 :]
            kind = (3 if rest else 4) if begun else (2 if rest else kind_of_first)
            content += bytes(4) + struct.pack("<HB", len(piece), kind) + piece
            begun = True
    return content


@pytest.mark.parametrize("size", [0, 100, 32768 - 14, 32768 - 13, 32768 - 20, 100_000])
def test_records_over_blocks(size: int) -> None:
    records = [b"a" * size, b"b" * 5, b"c" * size, b"d" * 40_000, b"e"]
    content = written(records)
    assert [record for _, record in read_records(content)] == records
    for (start, _), before in zip(read_records(content), range(len(records)), strict=True):
        assert [record for _, record in read_records(content[:start])] == records[:before]
    assert [record for _, record in read_records(content[:-1])] == records[:-1]
    assert [record for _, record in read_records(content + bytes(9))] == records


def test_parts_end_where_the_next_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Accelerator(cpu=True)  # whose log tells of it

    def part(time: int, steps: range, *, run_id: str = "x", begun: bool = True) -> Path:
        records = [Record(run={"run_id": run_id})] if begun else []
        records += [Record(history={"step": {"num": step}, "item": [{"key": "p" * 9000}]}) for step in steps]
        path = tmp_path / f"offline-run-{time}-{run_id}" / f"run-{run_id}.wandb"
        path.parent.mkdir()
        path.write_bytes(written([record.SerializeToString() for record in records]))
        return path

    def steps(path: Path) -> list[int]:
        records = [Record.FromString(record) for _, record in read_records(path.read_bytes())]
        return [record.history.step.num for record in records if record.HasField("history")]

    paths = [part(1, range(1, 9)), part(2, range(7, 20)), part(3, range(1, 20), run_id="other")]
    empty = part(4, range(0), begun=False)
    cut_offline_parts(tmp_path, "x", 6)
    assert [steps(path) for path in paths] == [list(range(1, 7)), [], list(range(1, 20))]
    assert not empty.parent.exists()
    empty.parent.mkdir()
    empty.write_bytes(b"something else")
    cut_offline_parts(tmp_path, "x", 6)
    assert "run-x.wandb is no file of wandb that is known here" in caplog.text
    assert empty.read_bytes() == b"something else"
