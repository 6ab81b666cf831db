"""The card that a run leaves in its model's folder, and that nothing of somebody else's becomes markup in it."""

from __future__ import annotations

import html
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_metadata import read_metadata
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clipbert_hf.training.model_card import escape, write_model_card

RESULTS = {
    "steps": 300,
    "seconds": 66.1,
    "stall_share": 0.01,
    "best_step": 300,
    "validation": {"accuracy": 0.5},
    "test": {
        "accuracy_by_inference_clips": {"1": 0.25, "16": 0.75},
        "accuracy": 0.75,
        "accuracy_by_type": {"a|b": float("nan")},
        "expected_calibration_error": float("nan"),
    },
}
RECIPE = {
    "dataset": "mine <script>",
    "more_data": [{"dataset": "yours", "data_dir": "/home/someone/yours"}],
    "data_dir": "/home/someone/mine",
    "output_dir": "/home/someone/runs",
    "start_from": "/home/someone/start",
    "vision": "timm/resnet50.a1_in1k",
    "epochs": 1,
    "max_steps": 300,
    "learning_rate": 0.0005,
    "frozen": [],
    "dataset_options": {"video_dir": "/home/someone/videos"},
}
CONFIG = {
    "architectures": ["ClipBertForVideoQuestionAnswering"],
    "id2label": {"0": "[click](http://x.example)", "1": "a\n# title", "2": "plain"},
}


def run_folder(
    folder: Path, *, results: dict[str, Any] = RESULTS, recipe: dict[str, Any] = RECIPE, config: dict[str, Any] = CONFIG
) -> Path:
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_what_a_card_says(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "my_model")
    write_model_card(folder)
    text = (folder / "README.md").read_text("utf-8")
    for line in (
        r"# my\_model",
        "Measured by this run on the split `test`; nobody else has checked them.",
        r"| accuracy\_by\_inference\_clips, 16 | 0.75 |",
        r"| accuracy\_by\_type, a\|b | nan |",
        "300 steps in 66.1 seconds. The complete settings are in `recipe.yaml`.",
        r"| learning\_rate | 0.0005 |",
        r"- It knows 3 answers and always gives one of them: \[click\](http\://x.example), a \# title, plain.",
        'pipe = pipeline("video-question-answering", model=FOLDER_OR_REPO, trust_remote_code=True)',
    ):
        assert line in text.splitlines()
    assert "mine &lt;script&gt;, yours" in text
    # Neither where things lie on this machine, nor an epoch that 300 steps took the place of.
    assert "someone" not in text
    assert "epochs" not in text
    metadata = read_metadata(folder / "README.md")
    assert metadata["pipeline_tag"] == "visual-question-answering"
    assert metadata["library_name"] == "transformers"
    assert metadata["base_model"] == ["timm/resnet50.a1_in1k"]
    assert "license" not in metadata  # which only its owner knows
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {"name": "mine <script>, yours", "type": "mine <script>, yours", "split": "test"}
    assert result["metrics"] == [{"type": "accuracy", "value": 0.75, "name": "accuracy (measured by this run)"}]


@pytest.mark.parametrize(
    ("head", "tag", "said"),
    [
        ("ClipBertForMultipleChoice", "visual-question-answering", 'pipeline("video-multiple-choice"'),
        ("ClipBertForVideoTextRetrieval", None, 'pipeline("video-text-matching"'),
        (
            "ClipBertForVideoRegression",
            "visual-question-answering",
            "model = ClipBertForVideoRegression.",
        ),
        ("ClipBertForPreTraining", None, "model = ClipBertForPreTraining.from_pretrained"),
        ("SomebodysModel", None, "from clipbert_hf import ClipBertProcessor\n"),
    ],
)
def test_each_head_has_its_card(tmp_path: Path, head: str, tag: str | None, said: str) -> None:
    """Also where nothing was trained or evaluated, and where a recipe of one's own names no data set."""
    results = {"steps": 0, "seconds": 0.0, "validation": {}, "test": {}}
    folder = run_folder(tmp_path / "m", results=results, recipe={"epochs": 0}, config={"architectures": [head]})
    write_model_card(folder)
    text = (folder / "README.md").read_text("utf-8")
    assert said in text
    assert "This run evaluated nothing." in text
    assert "It knows" not in text
    metadata = read_metadata(folder / "README.md")
    assert metadata.get("pipeline_tag") == tag
    assert "model-index" not in metadata


def test_a_card_that_somebody_wrote_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run_folder(tmp_path / "m")
    card = folder / "README.md"
    write_model_card(folder)
    (folder / "results.json").write_text(json.dumps(RESULTS | {"steps": 301}))
    write_model_card(folder)
    assert "301 steps" in card.read_text("utf-8")
    card.write_text("Mine.")
    with caplog.at_level(logging.WARNING):
        write_model_card(folder)
    assert card.read_text("utf-8") == "Mine."
    assert f"{card} was not written by a run and stays as it is" in caplog.text


def test_a_run_leaves_its_card(pretrained: Path) -> None:
    metadata = read_metadata(pretrained / "README.md")
    results = json.loads((pretrained / "results.json").read_text())
    metrics = {m["type"]: m["value"] for m in metadata["model-index"][0]["results"][0]["metrics"]}
    assert metrics["mlm_accuracy"] == results["test"]["mlm_accuracy"]
    assert f"{results['steps']} steps in {results['seconds']} seconds." in (pretrained / "README.md").read_text("utf-8")


@given(st.text(max_size=30))
def test_text_of_somebody_else_is_no_markup(text: str) -> None:
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"x {escape(text)}.")
    assert html.unescape(rendered) == f"<p>x {shown}.</p>\n"
    assert rendered.count("<") == 2
