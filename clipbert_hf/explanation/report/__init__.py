"""Reports of training runs: one HTML file that asks for nothing else.

::

    write_report(["runs/qa", "runs/blind"], "report.html")

or ``clipbert report runs/qa runs/blind --output report.html``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import InvalidInputError
from ...model import modeling_clipbert
from ...model.configuration_clipbert import ClipBertConfig
from ..explainer import Explainer
from .run_folder import RunFolder, read_run

_EXPLAINABLE = (modeling_clipbert.ClipBertForVideoQuestionAnswering, modeling_clipbert.ClipBertForMultipleChoice)


def write_report(
    runs: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    title: str | None = None,
    examples: int = 3,
    explains: bool = True,
) -> None:
    """Write a report of a run, or of several side by side.

    It shows metrics, by type of answer too, curves, what more inference clips are worth, calibration, examples with
    pictures, all settings, versions and cost: what a run has left of these.

    Args:
        runs: Their folders; or folders by the names under which they are shown.
        output: The HTML file, replaced if it exists.
        title: Of the page; by default the names of the runs.
        examples: Most right answers, and most wrong ones, of a run that are shown with pictures of their videos.
        explains: Whether the run's model is loaded, where it is there, to show what each clip says of the examples.

    Raises:
        InvalidInputError: If there is no run, or a folder is none of a finished run.
        ImportError: If matplotlib or jinja2 is missing.
    """
    named = {**runs} if isinstance(runs, Mapping) else dict(zip(_names(runs), runs, strict=True))
    if not named:
        raise InvalidInputError("runs must be at least one folder; got none")
    if examples < 0:
        raise InvalidInputError(f"examples must be at least 0; got {examples}")
    folders = [read_run(folder, name) for name, folder in named.items()]
    try:
        from .examples import choose_examples, illustrate
        from .page import render
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe", "matplotlib"):
            raise
        raise ImportError(f'reports need {error.name}: pip install "clipbert_hf[train]"', name=error.name) from error
    shown = []
    for run in folders:
        entries = choose_examples(run, examples) if examples else []
        explainer = _explainer_of(run) if explains and entries else None
        shown.append(illustrate(entries, explainer))
    page = render(folders, shown, title or "ClipBERT: " + ", ".join(named))
    Path(output).write_text(page, "utf-8")


def _explainer_of(run: RunFolder) -> Explainer | None:
    """The model of a run, if it can say what each clip says; a blind one has seen none."""
    if not (run.path / "model.safetensors").is_file() or run.recipe.get("text_only"):
        return None
    name = (ClipBertConfig.from_pretrained(run.path).architectures or [""])[0]
    if name not in [each.__name__ for each in _EXPLAINABLE]:
        return None
    return Explainer.from_pretrained(run.path, local_files_only=True)


def _names(runs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The folders' last parts, or as much of their paths as tells them apart."""
    paths = [Path(run).resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise InvalidInputError(f"runs must be different folders; got {', '.join(map(str, runs))}")
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    return ["/".join(path.parts[-length:]) for path in paths]


__all__ = ["RunFolder", "read_run", "write_report"]
