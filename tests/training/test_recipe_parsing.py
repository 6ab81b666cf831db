from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from script_runs import RECIPES

from clipbert_hf.training.recipe import DataSource, LoopSettings, RecipeError, setting
from clipbert_hf.training.recipe_files import find_recipe
from clipbert_hf.training.recipe_parsing import parse_recipe, read_yaml, write_yaml
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceRecipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe
from clipbert_hf.training.tasks.retrieval_batches import RetrievalRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe

MSRVTT = "retrieval_msrvtt_4x1.yaml"


@dataclass(kw_only=True)
class Toy:
    """A toy."""

    output_dir: str = setting(help="where")
    learning_rate: float = setting(5e-5, "rate")
    steps: int = setting(1, "steps")
    most: int | None = setting(None, "most")
    blind: bool = setting(False, "blind")
    mode: Literal["fast", "slow"] = setting("fast", "mode")
    clips: list[int] = field(default_factory=lambda: [16], metadata={"help": "clips"})
    model: dict[str, Any] = field(default_factory=dict, metadata={"help": "model"})


def parse(*arguments: str) -> Toy:
    first = [] if arguments and arguments[0].startswith("--") else list(arguments[:1])
    return parse_recipe(Toy, [*first, "--output_dir", "x", *arguments[len(first) :]])


def write(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--learning_rate", "1e-4"], "learning_rate", 1e-4),
        (["--learning_rate=3"], "learning_rate", 3.0),
        (["--steps", "7"], "steps", 7),
        (["--most", "7"], "most", 7),
        (["--most", "null"], "most", None),
        (["--blind", "true"], "blind", True),
        (["--mode", "slow"], "mode", "slow"),
        (["--clips", "1,4"], "clips", [1, 4]),
        (["--clips", "[1, 4]"], "clips", [1, 4]),
        (["--clips", "8"], "clips", [8]),
        (["--output_dir", "2024"], "output_dir", "2024"),
        (["--model.hidden_size", "128", "--model.eps=1e-6"], "model", {"hidden_size": 128, "eps": 1e-6}),
        (["--model.backbone_kwargs", "{layers: [1, 2]}"], "model", {"backbone_kwargs": {"layers": [1, 2]}}),
        (["--model.a.b", "1", "--model.a.c", "2"], "model", {"a": {"b": 1, "c": 2}}),
        (["--clips", "1,4", "--clips.1", "8"], "clips", [1, 8]),
    ],
)
def test_command_line(arguments: list[str], name: str, value: Any) -> None:
    result = getattr(parse(*arguments), name)
    assert result == value
    assert type(result) is type(value)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "output_dir: a\nlearning_rate: 1e-3\nsteps: 5\nmodel: {hidden_size: 64, layers: 2}\n")
    toy = parse_recipe(Toy, [path, "--steps", "9", "--model.hidden_size", "128"])
    assert asdict(toy) == {
        "output_dir": "a",
        "learning_rate": 1e-3,
        "steps": 9,
        "most": None,
        "blind": False,
        "mode": "fast",
        "clips": [16],
        "model": {"hidden_size": 128, "layers": 2},
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learning_rat", "1"], ["learning_rat", "did you mean 'learning_rate'", "output_dir"]),
        (["--modell.hidden_size", "1"], ["modell", "did you mean 'model'", "steps"]),
        (["--model.hidden_size"], ["needs a value"]),
        (["--steps", "many"], ["steps must be int", "many"]),
        (["--steps", "1.5"], ["steps must be int", "1.5"]),
        (["--steps", "true"], ["steps must be int"]),
        (["--blind", "1"], ["blind must be bool"]),
        (["--mode", "medium"], ["mode must be fast or slow", "medium"]),
        (["--clips", "1,x"], ["clips[1] must be int", "x"]),
        (["--model", "3"], ["model must be mapping", "3"]),
        (["--learning_rate", "fast"], ["learning_rate must be float"]),
        (["--steps", "1", "two"], ["--key value", "two"]),
        (["--steps", "--blind", "true"], ["--steps needs a value"]),
    ],
)
def test_wrong_command_lines(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        parse(*arguments)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rates: 1", ["learning_rates", "did you mean", "mode"]),
        ("- 1", ["must be a mapping", "list"]),
        ("a: [", ["cannot read recipe"]),
        ("!!python/object/apply:os.getcwd []", ["cannot read recipe"]),
    ],
)
def test_wrong_files(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        parse(write(tmp_path, text))
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch_size", "0"], "batch_size must be at least 1; got 0"),
        (["--epochs", "-1"], "epochs must be at least 0; got -1"),
        (["--warmup_ratio", "6"], r"warmup_ratio must be from 0 to 1; got 6\.0"),
        (["--adam_betas", "0.9"], r"adam_betas must be two numbers from 0 to below 1; got \[0\.9\]"),
        (["--adam_betas", "[0.9, 1.0]"], r"adam_betas must be two numbers from 0 to below 1; got \[0\.9, 1\.0\]"),
        (["--adam_eps", "-1"], r"adam_eps must be at least 0; got -1\.0"),
        (["--seed", "-1"], "seed must be at least 0; got -1"),
        (["--seed", str(2**32)], "seed must be at most 4294967295; got 4294967296"),
        (["--max_grad_norm", "0"], r"max_grad_norm must be above 0, or null for any; got 0\.0"),
        (["--vocabulary_size", "0"], "vocabulary_size must be at least 1; got 0"),
        (["--answer_vocabulary_size", "0"], "answer_vocabulary_size must be at least 1; got 0"),
        (["--inference_clips", "[1,"], r"cannot read the value '\[1,'"),
    ],
)
def test_values_out_of_range(arguments: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(VideoQARecipe, ["--output_dir", "x", "--data_dir", "y", *arguments])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("recipe", [VideoQARecipe, MultipleChoiceRecipe, RetrievalRecipe, PretrainingRecipe])
def test_no_number_is_infinite_or_none(recipe: type[Any], value: str) -> None:
    hints = get_type_hints(recipe)
    names = [entry.name for entry in fields(recipe) if "float" in str(hints[entry.name])]
    assert {"learning_rate", "weight_decay", "max_grad_norm", "warmup_ratio"} < {*names}
    for name in names:
        given = f"[0.9, {value}]" if name == "adam_betas" else value
        with pytest.raises(RecipeError, match=rf"{name} must be .*; got .*{value}"):
            parse_recipe(recipe, ["--output_dir", "x", "--data_dir", "y", f"--{name}={given}"])


@pytest.mark.parametrize(
    ("recipe", "arguments", "expected"),
    [
        ("video_qa_custom", ["--start_from", "mine"], ("mine", None, None)),
        ("video_qa_custom", ["--start_from", "null"], (None, "timm/resnet50.a1_in1k", "google-bert/bert-base-uncased")),
        ("video_qa_msrvtt_4x1", ["--text", "bert"], (None, None, "bert")),
        # Both given: an error once the model is made.
        ("video_qa_custom", ["--start_from", "mine", "--text", "bert"], ("mine", "timm/resnet50.a1_in1k", "bert")),
        ("video_qa_msrvtt_4x1", [], ("models/clipbert_pretrained", None, None)),
    ],
)
def test_start_points_of_the_command_line_replace_those_of_the_recipe(
    recipe: str, arguments: list[str], expected: tuple[str | None, ...]
) -> None:
    found = parse_recipe(VideoQARecipe, [recipe, *arguments])
    assert (found.start_from, found.vision, found.text) == expected


def test_recipes_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("retrieval_msrvtt_4x1") == find_recipe("retrieval_msrvtt_4x1.yaml") == RECIPES / MSRVTT
    with pytest.raises(RecipeError, match=r"recipe retrieval_msvrtt_4x1: .* did you mean retrieval_msrvtt_4x1 or "):
        find_recipe("retrieval_msvrtt_4x1")
    with pytest.raises(RecipeError, match=f"recipe {tmp_path}/{MSRVTT}: .* did you mean retrieval_msrvtt_4x1"):
        find_recipe(str(tmp_path / MSRVTT))
    with pytest.raises(RecipeError, match=r"recipe x: .*; there are multiple_choice_custom, .*, video_qa_vqa_v2"):
        find_recipe("x")
    (tmp_path / MSRVTT).write_text("batch_size: 3\n")  # a file wins over a recipe of its name
    assert find_recipe(MSRVTT) == Path(MSRVTT)


def test_missing_file_and_missing_setting(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read recipe .*no\.yaml"):
        parse(str(tmp_path / "no.yaml"))
    with pytest.raises(RecipeError, match="missing settings: output_dir"):
        parse_recipe(Toy, [])


@given(
    rate=st.floats(0, 10, allow_nan=False),
    steps=st.integers(-(10**9), 10**9),
    clips=st.lists(st.integers(1, 99), max_size=5),
    name=st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1),
    blind=st.booleans(),
)
def test_what_is_written_is_read_back(
    rate: float, steps: int, clips: list[int], name: str, blind: bool, tmp_path_factory: Any
) -> None:
    toy = Toy(output_dir=name, learning_rate=rate, steps=steps, clips=clips, blind=blind, model={"a": {"b": 1.5}})
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    write_yaml(toy, path)
    assert parse_recipe(Toy, [str(path)]) == toy


# --- Further data sets ---

MORE = """
data_dir: a
output_dir: x
more_data:
  - {dataset: visual_genome, data_dir: b, dataset_options: {image_dir: c}}
  - {dataset: custom, dataset_config: retrieval, data_dir: d}
"""


def test_further_data_sets(tmp_path: Path) -> None:
    path = write(tmp_path, MORE)
    changes = ["--more_data.0.data_dir", "e", "--more_data.0.dataset_options.coco_dir=f", "--more_data.1.data_dir", "g"]
    recipe = parse_recipe(PretrainingRecipe, [path, *changes])
    assert recipe.more_data == [
        DataSource(dataset="visual_genome", data_dir="e", dataset_options={"image_dir": "c", "coco_dir": "f"}),
        DataSource(dataset="custom", dataset_config="retrieval", data_dir="g"),
    ]
    write_yaml(recipe, tmp_path / "again.yaml")
    assert parse_recipe(PretrainingRecipe, [str(tmp_path / "again.yaml")]) == recipe
    assert parse_recipe(PretrainingRecipe, [path, "--more_data", "[]"]).more_data == []
    alone = parse_recipe(PretrainingRecipe, [path, "--more_data", "{dataset: custom, data_dir: d}"])
    assert alone.more_data == [DataSource(dataset="custom", data_dir="d")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--more_data.0.data_dri", "e"], r"more_data\[0\]: unknown key 'data_dri' \(did you mean 'data_dir'\?\)"),
        (
            ["--more_data.0.seed", "1"],
            r"more_data\[0\]: unknown key 'seed'; allowed: data_dir, dataset, dataset_config",
        ),
        (["--more_data.2.data_dir", "e"], r"--more_data\.2\.data_dir: expected a number below 2, got '2'"),
        (["--more_data.first.data_dir", "e"], "expected a number below 2, got 'first'"),
        (["--more_data", "[{data_dir: e}]"], r"more_data\[0\]: missing settings: dataset"),
        (["--more_data", "[e]"], r"more_data\[0\] must be mapping of dataset, dataset_config, .*; got 'e'"),
        (["--more_data.1.data_dir", "[1]"], r"more_data\[1\]\.data_dir must be str; got \[1\]"),
        (["--data_dir.a", "1"], "--data_dir.a reaches into 'a', which is no mapping"),
    ],
)
def test_further_data_sets_that_do_not_fit(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(PretrainingRecipe, [write(tmp_path, MORE), *arguments])


@pytest.mark.parametrize(
    ("loop", "trains"),
    [({}, True), ({"epochs": 0}, False), ({"epochs": 0, "max_steps": 3}, True), ({"epochs": 2, "max_steps": 0}, False)],
)
def test_whether_a_run_trains(loop: dict[str, int], trains: bool) -> None:
    assert LoopSettings(output_dir="x", **loop).trains is trains


KINDS = {
    "pretraining": PretrainingRecipe,
    "video_qa": VideoQARecipe,
    "retrieval": RetrievalRecipe,
    "multiple_choice": MultipleChoiceRecipe,
}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_project_are_valid(path: Path) -> None:
    recipe = parse_recipe(next(kind for name, kind in KINDS.items() if path.name.startswith(name)), [str(path)])
    assert set(yaml.safe_load(path.read_text())) <= {entry.name for entry in fields(recipe)}


def test_every_setting_is_explained() -> None:
    for recipe_class in KINDS.values():
        assert all(entry.metadata.get("help") for entry in fields(recipe_class))


def test_empty_file(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "# nothing\n")) == {}


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse("--help")
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert "--mode (fast or slow; fast)" in shown
    assert all(f"--{entry.name}" in shown for entry in fields(Toy))
