"""Settings that a run does not take: refused before anything is written; and runs that only look, or only evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from forked_runs import run_code
from script_runs import RECIPES, SHORT, TINY

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering, ClipBertModel, ClipBertProcessor
from clipbert_hf.training import RecipeError
from clipbert_hf.training.checkpoints import CheckpointError
from clipbert_hf.training.data.splits import LOADERS
from clipbert_hf.training.recipe import DataSettings, StartSettings
from clipbert_hf.training.starting_points import create_model, create_processor
from datasets_scripts.moving_shapes import load_moving_shapes
from examples import run_multiple_choice, run_pretraining, run_retrieval, run_video_qa

TASKS = {
    "pretraining": run_pretraining,
    "video_qa": run_video_qa,
    "multiple_choice": run_multiple_choice,
    "retrieval": run_retrieval,
}


def arguments(name: str, data: Path, begin: Path, output: Path, *more: str) -> list[str]:
    options = ["--data_dir", str(data), "--start_from", str(begin), "--output_dir", str(output), "--tracker", "none"]
    options += ["--num_workers", "0", "--dataset_options", "{}", *SHORT, "--max_steps", "2", "--evaluate_every", "2"]
    return [str(RECIPES / f"{name}_moving_shapes.yaml"), *options, *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED: list[tuple[list[str], type[Exception], str]] = [
    (["--learning_rate", "0.5"], CheckpointError, "holds the checkpoints of an earlier run"),
    (["--seed", "7", "--resume_from_checkpoint", "last"], CheckpointError, "seed: 42 then, 7 now"),
    (["--best_metric", "acuracy"], RecipeError, r"best_metric must be one of .*; got 'acuracy'"),
    (["--processor.num_frame", "2"], RecipeError, r"unknown key 'num_frame' \(did you mean 'num_frames'\?\)"),
    (["--start_from", "/there/is/none"], RecipeError, "start_from: there is no folder /there/is/none"),
    (["--dataset", "moving_shape"], RecipeError, "dataset must be one of"),
    (["--max_steps", "0", "--resume_from_checkpoint", "last"], RecipeError, "the model to evaluate is start_from"),
]


@pytest.mark.parametrize("name", TASKS)
def test_a_refused_command_changes_nothing(name: str, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    TASKS[name].main(arguments(name, small_data, pretrained, output))
    before = contents(output)
    assert {"recipe.yaml", "results.json", "log.jsonl"} <= before.keys()
    for more, kind, message in REFUSED:
        with pytest.raises(kind, match=message):
            TASKS[name].main(arguments(name, small_data, pretrained, output, *more))
        assert contents(output) == before, more
        if kind is not CheckpointError:
            with pytest.raises(kind, match=message):
                TASKS[name].main(arguments(name, small_data, pretrained, tmp_path / "new", *more))
            assert not (tmp_path / "new").exists(), more


@pytest.mark.parametrize("name", TASKS)
def test_what_there_is_is_evaluated(
    name: str, small_data: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without training: validation too, or alone; and where there is neither that is an error."""
    trained = TASKS[name].main(arguments(name, small_data, pretrained, tmp_path / "run"))
    kept: list[str] = ["train", "validation", "test"]

    def load(config: Any, folder: str, **options: Any) -> Any:
        splits = load_moving_shapes(config, folder, progress=False)
        return type(splits)({split: splits[split] for split in kept})

    monkeypatch.setitem(LOADERS, "moving_shapes", load)
    more = ["--max_steps", "null", "--epochs", "0", "--best_metric", "null"]
    same = TASKS[name].main(arguments(name, small_data, tmp_path / "run", tmp_path / "both", *more))
    assert same["test"] == trained["test"]
    assert same["validation"] == trained["validation"]
    kept.remove("test")
    results = TASKS[name].main(arguments(name, small_data, tmp_path / "run", tmp_path / "one", *more))
    assert results["validation"] == trained["validation"]
    assert results["test"] == {}
    kept.remove("validation")
    with pytest.raises(RecipeError, match="neither a split 'validation' nor 'test' to evaluate"):
        TASKS[name].main(arguments(name, small_data, tmp_path / "run", tmp_path / "none", *more))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", TASKS)
def test_a_dry_run(
    name: str, small_data: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = TASKS[name].main(arguments(name, small_data, pretrained, tmp_path / "run", "--dry_run"))
    assert not (tmp_path / "run").exists()
    assert found["train"]["steps"] == 2
    assert found["train"]["samples a step"] == 4
    assert all(loss > 0 for loss in found["train"]["loss of the first batch"].values())
    assert (found["validation"]["samples"], found["test"]["samples"]) == (5, 6)
    assert found["starts from"] == str(pretrained)
    base = ClipBertModel.from_pretrained(pretrained)
    assert found["parameters"] > sum(parameter.numel() for parameter in base.parameters())
    assert "dry run: nothing written" in capsys.readouterr().out


def test_an_evaluation_leaves_the_log_of_a_run(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    run_video_qa.main(arguments("video_qa", small_data, pretrained, tmp_path))
    before = (tmp_path / "log.jsonl").read_bytes()
    run_video_qa.main(arguments("video_qa", small_data, tmp_path, tmp_path, "--max_steps", "0"))
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_what_an_evaluation_costs_is_said(
    small_data: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--inference_clips", "1,4", "--evaluate_every", "1"]
    run_retrieval.main(arguments("retrieval", small_data, pretrained, tmp_path, *options))
    written = capsys.readouterr().err
    assert "test: 6 samples in 2 batches; 6 texts x 6 videos x 5 clips are 180 pairs" in written
    assert written.count("validation: 5 samples in 2 batches; 5 texts x 5 videos x 4 clips are 100 pairs") == 1


# --- Start points ---


def test_a_start_points_text_length_stays(pretrained: Path) -> None:
    start = StartSettings(start_from=str(pretrained))
    saved = ClipBertProcessor.from_pretrained(pretrained).max_text_length
    assert saved == 24
    assert create_processor(start, DataSettings(data_dir="x"), [], num_clips=1).max_text_length == 24
    given = DataSettings(data_dir="x", max_text_length=50)
    assert create_processor(start, given, [], num_clips=1).max_text_length == 50
    new = create_processor(StartSettings(), DataSettings(data_dir="x"), [{"caption": "a b"}], num_clips=1)
    assert new.max_text_length == 100


def test_a_random_cnn_is_not_frozen() -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"backbone": "resnet18"}
    sizes |= {"backbone_stride_in_1x1": False, "intermediate_size": 32}
    processor = create_processor(StartSettings(), DataSettings(data_dir="x"), [{"caption": "a b"}], num_clips=1)

    def model(**more: Any) -> ClipBertForVideoQuestionAnswering:
        settings = StartSettings(model={**sizes, **more})
        return create_model(ClipBertForVideoQuestionAnswering, settings, processor, labels=["a"]).train()

    free = model()
    assert all(parameter.requires_grad for parameter in free.parameters())
    norms = [module for module in free.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)
    frozen = model(freeze_batch_norm=True, freeze_backbone_stages=1)
    assert not frozen.clipbert.grid_backbone.backbone.conv1.weight.requires_grad
    # The published values are those of the configuration, and of a start from weights.
    assert (ClipBertConfig().freeze_batch_norm, ClipBertConfig().freeze_backbone_stages) == (True, 2)


OFFLINE = """
import sys
from clipbert_hf.training import run_script
from examples import run_video_qa
run_script(lambda: run_video_qa.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("part", "alternative"),
    [
        (["--text", "google-bert/bert-base-uncased"], "a folder with a BERT and its tokenizer, or --text null"),
        (["--vision", "timm/resnet50.a1_in1k"], "a folder or file of weights, or --vision null"),
        (["--vision", "resnet50.a1_in1k"], "a folder or file of weights, or --vision null"),
        (["--start_from", "somebody/clipbert"], "a folder that a run has saved"),
    ],
)
def test_parts_that_cannot_be_had(part: list[str], alternative: str, small_data: Path, tmp_path: Path) -> None:
    """At once, in one line, and with nothing left behind."""
    settings = [*TINY, "--data_dir", str(small_data), "--dataset_options", "{}", "--output_dir", str(tmp_path / "run")]
    recipe = str(RECIPES / "video_qa_moving_shapes.yaml")
    code = f"import os; os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'\n{OFFLINE}"
    status, output = run_code(code, recipe, *settings, "--start_from", "null", *part)
    assert status == 1
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert part[0].removeprefix("--") in error
    assert "cannot be had from the Hub" in error
    assert alternative in error
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()
