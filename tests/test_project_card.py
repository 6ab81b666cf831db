"""The project's own card: valid metadata, and figures that the paper or a committed measurement stands for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hub_metadata import read_metadata
from script_runs import ROOT

CARD = ROOT / "model_card.md"
# Copied by hand from the paper.
PUBLISHED = {
    "msrvtt": {"r1": 22.0, "r5": 46.8, "r10": 59.9, "median_rank": 6.0},
    "didemo": {"r1": 20.4, "r5": 48.0, "r10": 60.8, "median_rank": 6.0},
    "activitynet_captions": {"r1": 21.3, "r5": 49.0, "r10": 63.5, "median_rank": 6.0},
    "tgif_qa_action": {"accuracy": 82.8},
    "tgif_qa_transition": {"accuracy": 87.8},
    "tgif_qa_frameqa": {"accuracy": 60.3},
    "msrvtt_qa": {"accuracy": 37.4},
    "msrvtt_multiple_choice": {"accuracy": 88.2},
}


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    return read_metadata(CARD)


def test_what_the_hub_reads(metadata: dict[str, Any]) -> None:
    assert metadata["pipeline_tag"] == "visual-question-answering"
    assert metadata["library_name"] == "transformers"
    assert "base_model" not in metadata  # the package holds no weights


def test_each_result_is_published_or_measured(metadata: dict[str, Any]) -> None:
    (entry,) = metadata["model-index"]
    published = [result for result in entry["results"] if "source" in result]
    measured = [result for result in entry["results"] if "source" not in result]
    for result in published:
        assert "published" in result["source"]["name"]
        assert all(metric["name"].endswith("(published)") for metric in result["metrics"])
    found = {r["dataset"]["type"]: {m["type"]: m["value"] for m in r["metrics"]} for r in published}
    assert found == PUBLISHED
    assert {result["dataset"]["type"] for result in measured} == {"moving_shapes"}
    shown = {m["name"]: m["value"] for result in measured for m in result["metrics"]}
    readme = (ROOT / "README.md").read_text("utf-8")
    figures = re.search(r"test accuracy ([\d. /]+) % with ([\d /]+) inference clips", readme)
    assert figures is not None
    accuracies, clips = (part.split(" / ") for part in figures.groups())
    expected = dict(zip(clips, map(float, accuracies), strict=True))
    assert {re.search(r"\d+", name)[0]: value for name, value in shown.items()} == expected
    assert all(name.endswith("(measured here)") for name in shown)


def test_the_text_says_the_same(metadata: dict[str, Any]) -> None:
    text = CARD.read_text("utf-8").partition("\n---\n")[2]
    for result in metadata["model-index"][0]["results"]:
        values = " / ".join(str(metric["value"]) for metric in result["metrics"])
        assert values in text, result["dataset"]["name"]
