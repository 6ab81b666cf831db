"""Work on a local Ray cluster of two machines, one of which is killed in the middle."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from miniature_files import write_jsonl, write_media

import datasets_scripts
from datasets_scripts import check, export, prepare
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import ATTEMPTS, LOST, choose_executor
from datasets_scripts.execution.ray_cluster import RayCluster
from datasets_scripts.execution.record import read_record_lines

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
ROOT = Path(datasets_scripts.__file__).parents[1]


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DatasetError, match=r"--ray needs Ray: pip install 'clipbert_hf\[cluster\]'"):
        choose_executor("auto")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head with a core, which this process talks to, and its address."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    paths = (ROOT, ROOT / "tests", Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    home = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the paths of its sockets must be short
    monkeypatch.setenv("RAY_TMPDIR", home)
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(home, ignore_errors=True)


def add_machine(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=2, object_store_memory=80_000_000)


def _work(folder: Path, doomed: str, number: int) -> int | str:
    """Leave a trace of each attempt, with the machine that it ran on, where one does not end; of seven each dies."""
    import ray

    machine = ray.get_runtime_context().get_node_id()
    with (folder / str(number)).open("a") as file:
        file.write(machine + "\n")
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600 if machine == doomed else 0.3)
    return number


def attempts(folder: Path) -> dict[int, list[str]]:
    return {int(path.name): path.read_text().split() for path in folder.iterdir()}


@needs_ray
@pytest.mark.slow
@pytest.mark.long
def test_a_machine_that_is_killed_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    machine = add_machine(cluster)
    results, is_there = [], True
    for work, result in RayCluster(cluster.address).run(partial(_work, tmp_path, machine.node_id), range(24)):
        results.append((work, result))
        if is_there and any(machine.node_id in where for where in attempts(tmp_path).values()):
            cluster.remove_node(machine, allow_graceful=False)
            is_there = False
    assert not is_there
    assert Counter(work for work, _ in results) == Counter(range(24))
    assert dict(results) == {number: LOST if number == 7 else number for number in range(24)}
    tried = attempts(tmp_path)
    assert any(machine.node_id in where for number, where in tried.items() if number != 7)
    assert all(where[-1] != machine.node_id for where in tried.values())
    assert len(tried[7]) == ATTEMPTS


@needs_ray
@pytest.mark.slow
@pytest.mark.long
def test_commands_work_on_a_cluster(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_machine(cluster)
    names = [f"clip{number}.mp4" for number in range(8)]
    write_media(tmp_path / "videos", *names)
    (tmp_path / "videos" / "clip3.mp4").write_bytes(b"no video")
    write_jsonl(tmp_path / "train.jsonl", [{"video": name, "caption": "c"} for name in names])
    command = ["custom", "retrieval", "--annotation_dir", str(tmp_path), "--video_dir", str(tmp_path / "videos")]
    command += ["--no_progress"]
    on_cluster, output = ["--ray", cluster.address], ["--output", str(tmp_path / "out")]
    assert check.main([*command, *on_cluster]) == 1
    assert "train: 0 missing, 1 unreadable" in capsys.readouterr().out
    assert prepare.main([*command, *output, *on_cluster]) == 1
    assert "7 videos prepared, 7 of them by this run" in capsys.readouterr().out
    lines = list(read_record_lines(tmp_path / "out" / "prepared.jsonl"))
    assert sorted(line["name"] for line in lines) == sorted(set(names) - {"clip3.mp4"})
    assert not list((tmp_path / "out").rglob("*.part"))
    shards = [*command, "--media", "shards", "--shard_size", "4KB", "--output"]
    assert export.main([*shards, str(tmp_path / "there"), *on_cluster]) == 0
    assert export.main([*shards, str(tmp_path / "here")]) == 0
    there, here = (tmp_path / name / "retrieval" for name in ("there", "here"))
    contents = {path.name: path.read_bytes() for path in there.iterdir()}
    assert len([name for name in contents if name.endswith(".parquet")]) > 2
    assert contents == {path.name: path.read_bytes() for path in here.iterdir()}


def _import_what_is_nowhere(_: int) -> int | str:
    raise ModuleNotFoundError("No module named 'nowhere'")


@needs_ray
@pytest.mark.slow
@pytest.mark.long
def test_what_a_machine_lacks_is_one_line(cluster: Any) -> None:
    with pytest.raises(DatasetError, match="is to be installed on each of them: No module named 'nowhere'"):
        list(RayCluster(cluster.address).run(_import_what_is_nowhere, range(3)))


@needs_ray
def test_no_cluster_at_an_address_is_one_line() -> None:
    with pytest.raises(DatasetError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        list(RayCluster("127.0.0.1:1").run(str, ["a"]))
