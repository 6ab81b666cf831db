"""Training and evaluation: the engine behind the scripts of ``examples/``, for tasks of one's own too.

A run in six lines, with a :class:`Task` that turns batches into losses and records::

    recipe = parse_recipe(MyRecipe)                       # a YAML file and the command line
    accelerator = open_run(recipe)
    splits = load_task_splits(recipe, "qa")               # rows
    processor = create_processor(recipe, recipe, splits["train"], num_clips=4)
    model = create_model(ClipBertForVideoQuestionAnswering, recipe, processor, labels=["no", "yes"])
    results = train_and_test(accelerator, model, processor, recipe, task=…, train_loader=…, …)

It comes with the extra ``train``: ``pip install "clipbert_hf[train]"``.
"""

try:
    from .calibration import rows_to_calibrate
    from .checkpoints import CheckpointError
    from .data.clips import ClipSamples, ClipSettings, QuestionSettings, QuestionTaskSettings, create_question_loader
    from .data.loaders import create_loader
    from .data.row_tables import Row
    from .data.rows import Groups, Rows, group_by_video, group_rows
    from .data.splits import Splits, load_task_splits
    from .evaluation import Task, evaluate
    from .faults import PreemptedError, UnreadableVideoError
    from .loop import Summary, TrainingError, train
    from .recipe import LoopSettings, RecipeError, ScriptSettings, setting
    from .recipe_parsing import parse_recipe
    from .run import begin_run, close_run, open_run, run_script, train_and_test
    from .starting_points import create_model, create_processor
except ModuleNotFoundError as error:
    if error.name not in ("accelerate", "datasets", "evaluate", "tqdm", "yaml"):
        raise
    raise ImportError(
        f'clipbert_hf.training needs {error.name}, which comes with pip install "clipbert_hf[train]"'
    ) from error

__all__ = [
    "CheckpointError",
    "ClipSamples",
    "ClipSettings",
    "Groups",
    "LoopSettings",
    "PreemptedError",
    "QuestionSettings",
    "QuestionTaskSettings",
    "RecipeError",
    "Row",
    "Rows",
    "ScriptSettings",
    "Splits",
    "Summary",
    "Task",
    "TrainingError",
    "UnreadableVideoError",
    "begin_run",
    "close_run",
    "create_loader",
    "create_model",
    "create_processor",
    "create_question_loader",
    "evaluate",
    "group_by_video",
    "group_rows",
    "load_task_splits",
    "open_run",
    "parse_recipe",
    "rows_to_calibrate",
    "run_script",
    "setting",
    "train",
    "train_and_test",
]
