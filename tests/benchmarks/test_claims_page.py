"""Tables, verdicts and pictures follow from the raw results, and the plan is one that can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from script_runs import ROOT

from benchmarks.claims.__main__ import all_points, further_done, further_runs, main
from benchmarks.claims.decisions import Claim, difference
from benchmarks.claims.one_run import ROW, Run
from benchmarks.claims.page import claim_sentence, page, table_text
from benchmarks.claims.plots import plot
from benchmarks.claims.points import Point, Table, with_further_seeds
from benchmarks.claims.results import Results, told_of
from benchmarks.claims.runner import claim, runs_of
from benchmarks.claims.settings import FULL, QUICK, ClaimsError, Setting, arguments, by_name
from clipbert_hf.training import parse_recipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe
from clipbert_hf.training.tasks.retrieval_batches import RetrievalRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe

RECIPES: dict[str, Any] = {"pretraining": PretrainingRecipe, "qa": VideoQARecipe, "retrieval": RetrievalRecipe}
GOOD, BAD = Setting("good", "qa"), Setting("bad", "qa")
METRIC = "accuracy@16"
POINT = Point(
    1,
    "A point",
    "What was done.",
    (GOOD, BAD),
    (Table("By hand", (("the good one", "good", METRIC), ("the bad one", "bad", METRIC))),),
    (Claim("Good is better.", (difference("good − bad", "good", "bad", METRIC),)),),
)
CURVES = Point(2, "Curves", "", (GOOD,), (), (), (("good", "good", "accuracy"),))


def row(setting: str, seed: int, accuracy: float, seconds: float) -> dict[str, Any]:
    cost = {"clips": 3200, "seconds": 99.0, "cpu_seconds": seconds, "peak_mib": 700 + seed, "test_seconds": 1.0}
    return {"setting": setting, "seed": seed, "metrics": {METRIC: accuracy, "accuracy@1": 20.0}, "cost": cost}


@pytest.fixture
def results() -> Results:
    rows = [
        row("good", 1, 75.0, 10.0),
        row("bad", 1, 25.0, 20.0),
        row("good", 2, 50.0, 30.0),
        row("bad", 2, 25.0, 20.0),
    ]
    good = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.float32)
    bad = np.array([[1, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    videos = {("good", METRIC): good, ("bad", METRIC): bad, ("good", "accuracy@1"): bad}
    return Results(rows, videos, draws=300)


def test_a_table_by_hand(results: Results) -> None:
    header, _, good, bad, _ = table_text(POINT.tables[0], results).split("\n")
    assert header == "| By hand | accuracy | seeds | clips | CPU s | peak MiB |"
    # Means of the seeds 75 and 50, deviation 25 / sqrt(2); CPU seconds 10 and 30; peaks 701 and 702.
    assert good.startswith("| the good one | 62.5 ± 17.7 [")
    assert good.endswith("] | 2 | 3,200 | 20 | 702 |")
    assert bad.startswith("| the bad one | 25.0 ± 0.0 [0.0, ")


def test_claims_compare_video_by_video(results: Results) -> None:
    """Differences are 0, 1, 1, 0 and 0, 1, 0, 0: never below zero, and with some draws zero."""
    found = results.compare(POINT.claims[0].comparisons[0])
    assert (found.mean, found.low) == (37.5, 0.0)
    assert claim_sentence(POINT.claims[0], results).startswith("**Not decidable here** (overlapping intervals): good")
    results.videos["good", METRIC] = np.ones((2, 4), np.float32)
    results.videos["bad", METRIC] = np.zeros((2, 4), np.float32)
    assert claim_sentence(POINT.claims[0], results) == (
        "**Reproduced** (every interval is on the side of the claim): good − bad +100.0 points [+100.0, +100.0]."
    )


def test_claims_compare_the_seeds_that_all_settings_have(results: Results) -> None:
    comparison = POINT.claims[0].comparisons[0]
    before = results.compare(comparison)
    results.rows.append(row("good", 3, 100.0, 10.0))
    values = results.videos["good", METRIC]
    results.videos["good", METRIC] = np.concatenate([values, np.ones((1, 4), np.float32)])
    assert results.compare(comparison) == before
    assert results.estimate("good", METRIC).mean == 75.0
    # Paired by the seed, not by the place: seed 1, which both have, is the second row of one, the first of the other.
    results.rows = [
        row("good", 2, 0.0, 1.0),
        row("good", 1, 0.0, 1.0),
        row("bad", 1, 0.0, 1.0),
        row("bad", 3, 0.0, 1.0),
    ]
    results.videos["good", METRIC] = np.stack([np.zeros(4), np.ones(4)])
    results.videos["bad", METRIC] = np.stack([np.full(4, 0.5), np.zeros(4)])
    assert results.compare(comparison).mean == 50.0
    results.rows[2] = row("bad", 4, 0.0, 1.0)
    with pytest.raises(ClaimsError, match="good − bad: settings have other seeds"):
        results.compare(comparison)


def test_the_page_says_all_of_it_from_the_saved_results(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "claims.json")
    loaded = Results.load(tmp_path / "claims.json", draws=300)
    assert loaded.rows == results.rows
    text = page([POINT], [CURVES], loaded, FULL, quick=False)
    assert table_text(POINT.tables[0], results) in text
    assert f"Good is better. {claim_sentence(POINT.claims[0], results)}" in text
    assert "| 1 | Good is better. | Not decidable here |" in text
    assert "## Not run\n- 2. Curves" in text
    assert "mean nothing" not in text
    assert "mean nothing" in page([POINT], [], loaded, QUICK, quick=True)


def test_the_published_page_is_that_of_its_raw_results(tmp_path: Path) -> None:
    docs = ROOT / "docs"
    published = Results.load(docs / "claims.json", draws=FULL.draws)
    there = {run["setting"] for run in published.rows}
    done = [point for point in all_points() if all(setting.name in there for setting in point.settings)]
    absent = [point for point in all_points() if point not in done]
    seeds_of = {setting: [*FULL.seeds] for setting in there}
    for run in further_runs(FULL, tmp_path):
        seeds_of[run.setting.name].append(run.seed)
    assert page(done, absent, published, FULL, quick=False) == (docs / "claims.md").read_text("utf-8")
    for point in done:
        assert (docs / "figures" / f"claims_{point.number}.png").exists()
        for setting in point.settings:
            assert sorted(published.seeds(setting.name)) == sorted(seeds_of[setting.name])


def test_pictures(results: Results, tmp_path: Path) -> None:
    assert told_of([POINT, CURVES], (1, 16)) == [("good", METRIC), ("bad", METRIC), ("good", "accuracy@1")]
    for point in (POINT, CURVES):
        with Image.open(plot(point, results, (1, 16), tmp_path)) as image:
            assert (image.width, Path(image.filename).name) == (910, f"claims_{point.number}.png")  # type: ignore[attr-defined]


def test_results_that_are_not_there(results: Results) -> None:
    with pytest.raises(ClaimsError, match="no result of other"):
        results.of("other")
    with pytest.raises(ClaimsError, match="no accuracy@2 of good"):
        results.estimate("good", "accuracy@2")
    results.videos["bad", METRIC] = np.zeros((2, 3), np.float32)
    with pytest.raises(ClaimsError, match="good − bad: settings have other seeds or videos"):
        results.compare(POINT.claims[0].comparisons[0])


# --- The plan ---


def test_further_seeds_are_of_comparisons_of_retrieval(tmp_path: Path) -> None:
    for settings in with_further_seeds().values():
        assert {(setting.task, setting.times) for setting in settings} == {("pretraining", 1), ("retrieval", 1)}
    runs = [(run.setting.name, run.seed) for run in further_runs(QUICK, tmp_path)]
    # Two settings are of both points, with the seed that both have once.
    assert runs.count(("retrieval-random2-lse", 44)) == runs.count(("pretraining", 44)) == 1
    assert len(runs) == len({*runs}) == 4 * 2 + 10 - 2


def test_further_seeds_count_when_all_their_settings_are_done(tmp_path: Path) -> None:
    first, second = ([setting.name for setting in settings] for settings in with_further_seeds().values())
    assert first == ["pretraining", "retrieval-random1", "retrieval-random2-lse", "retrieval-dense2-lse"]
    assert len(second) == 10

    def done() -> list[tuple[str, int]]:
        return [(run.setting.name, run.seed) for run in further_done(QUICK, tmp_path)]

    def do(name: str) -> None:
        folder = tmp_path / "runs" / name / "44"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ROW).write_text("{}")

    for name in first:
        assert done() == []
        do(name)
    assert done() == [(name, 44) for name in first]
    for name in second:
        assert len(done()) == len(first)
        do(name)
    assert done() == [(name, 44) for name in dict.fromkeys([*first, *second])]
    assert further_done(FULL, tmp_path) == []


def test_every_setting_is_one_that_its_script_takes(tmp_path: Path) -> None:
    settings = by_name(setting for point in all_points() for setting in point.settings)
    for setting in settings.values():
        if setting.task == "language":
            continue
        starts = {name: tmp_path / name for name in setting.needs}
        line = arguments(setting, 43, FULL, output=tmp_path, data=tmp_path, starts=starts)
        recipe = parse_recipe(RECIPES[setting.task], line)
        assert (recipe.seed, recipe.max_steps, recipe.best_metric) == (43, FULL.steps_of(setting), None)
        seen = recipe.frames_per_video if setting.task == "pretraining" else recipe.training_clips
        assert recipe.max_steps * recipe.batch_size * seen == FULL.clips_of(setting)
        assert recipe.start_from == (str(tmp_path / setting.start) if setting.start else None)
        if setting.aggregations:
            assert recipe.model["score_aggregation"] == setting.aggregations[0]


def test_points_name_what_they_train_and_nothing_is_tuned() -> None:
    allowed = {"training_sampling", "frozen", "matching_weight", "dataset_config", "vision", "vocabulary_configs"}
    for point in all_points():
        trained = {setting.name for setting in point.settings}
        assert {name for name, _ in told_of([point], FULL.inference_clips)} <= trained
        assert len(point.claims) > 0
        for setting in point.settings:
            loose = {name for name in setting.overrides if not name.startswith(("model.", "processor."))}
            assert loose <= allowed, setting.name
    assert len(FULL.seeds) >= 3


def test_equal_compute_is_equal_clips() -> None:
    settings = {setting.name: setting for setting in all_points()[0].settings}
    for table in all_points()[0].tables:
        equal = FULL.clips_of if table.title.endswith("equal compute") else FULL.steps_of
        assert len({equal(settings[name]) for _, name, _ in table.rows}) == 1, table.title


def test_names_are_those_of_one_setting() -> None:
    with pytest.raises(ClaimsError, match="two different settings are called good"):
        by_name([GOOD, Setting("good", "retrieval")])
    with pytest.raises(ClaimsError, match="late needs good, which must come before it"):
        by_name([Setting("late", "qa", start="good"), GOOD])


def test_a_folder_is_never_taken_for_a_run_with_other_settings(tmp_path: Path) -> None:
    run = Run(GOOD, 42, tmp_path)
    claim(run, FULL)
    claim(Run(Setting("good", "qa", times=1), 42, tmp_path), FULL)
    with pytest.raises(ClaimsError, match="good/42 holds a run with other settings"):
        claim(run, QUICK)


@pytest.mark.parametrize(
    ("what", "minutes"), [(["--points", "1,2,3,4"], 100), (["--points", "5,6,7"], 100), (["--further-seeds"], 110)]
)
def test_the_plan_fits_into_the_time(
    what: list[str], minutes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each command, when those before it are done."""
    if what[-1] == "5,6,7":
        before = by_name(setting for point in all_points()[:4] for setting in point.settings)
        for run in runs_of(before, FULL, tmp_path):
            run.folder.mkdir(parents=True)
            (run.folder / ROW).write_text("{}")
    there = sorted(tmp_path.rglob("*"))
    assert main(["--plan", *what, "--processes", "2", "--work", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert 10 < int(last.split("cores; ")[1].split(" of them left")[0]) <= minutes, last
    assert sorted(tmp_path.rglob("*")) == there


def test_what_cannot_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--processes", "0"])
    assert "argument --processes: expected a whole number of at least 1; got 0" in capsys.readouterr().err
    assert main(["--points", "1,9"]) == 1
    assert "--points must be numbers of 1, 2, 3, 4, 5, 6, 7" in capsys.readouterr().err
