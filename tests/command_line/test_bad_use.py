"""Bad use of each command: one line and an exit status; the table of them in ``docs/commands.md`` is made here.

``python -m pytest tests/command_line/test_bad_use.py --write-tables`` writes it anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from reference_inputs import CASES, published_state, save_tiny

from clipbert_command_line import main as entrance
from clipbert_hf import ClipBertForVideoTextRetrieval

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "commands.md"
HEAD = """# The command `clipbert`

`clipbert --help` lists the commands, `clipbert ask --help` the options of one. `--json` prints what the pipelines and
the index return, a line for each video, and nothing else on standard output; tables and progress bars are for people.
`-` in place of videos, questions or texts reads them from standard input, a line each. `clipbert --install-completion`
makes the shell complete commands, tasks and recipes.

{statuses}
An error is one line on standard error; `--verbose` shows its trace. The tables are made by
`tests/command_line/test_bad_use.py`, which runs each command. In them `qa` and `retrieval` are model folders, `other`
is another retrieval model, `an.index` an index made with `retrieval`, `bikes.mp4` a video and `notes.txt` none, `empty`
a folder without files, `bert` the folder of a BERT, `torn` a model whose weights end in the middle, `data` a folder
with a `test.csv` about `data/videos/bikes.mp4`. Where a message ends in "…", more follows.
"""


class Row(NamedTuple):
    """A bad use."""

    line: str
    what: str
    message: str
    status: int = 2


NO_VIDEO = "error: cannot decode notes.txt with pyav: it is damaged, cut short or no video …"
OTHER_INDEX = "error: model: the index was made with other weights, so that its vectors say nothing to this one; …"
ASK = 'ask bikes.mp4 "what ?" --model'
DATA = "custom qa --annotation_dir data --video_dir data/videos --no_progress"
TRAIN = 'train video_qa video_qa_custom --data_dir data --dataset_options "{video_dir: data/videos}" --start_from qa'
TEST = f'{TRAIN} --vision null --text null --model "{{}}" --processor "{{}}" --max_steps 0 --tracker none'
ROWS = [
    Row("aks", "no such command", "error: No such command 'aks'. Did you mean 'ask'? …"),
    Row("ask bikes.mp4 --model qa", "no question", "error: ask needs a video and a question; got only 'bikes.mp4'"),
    Row('ask bikes.mp4 "" --model qa', "a blank question", "error: QUESTION: expected text, got a blank"),
    Row('ask bikes.mp4 "what ?"', "no model", "error: Missing option '--model' (see clipbert ask --help)"),
    Row('ask no.mp4 "what ?" --model qa', "wrong path", "error: no.mp4: no such video"),
    Row('ask notes.txt "what ?" --model qa', "no video", NO_VIDEO),
    Row('ask empty "what ?" --model qa', "no video", "error: cannot decode empty with file: the folder holds no …"),
    Row("ask - - --model qa", "two lists", "error: standard input (-) can be read once"),
    Row(f"{ASK} nowhere", "wrong model folder", "error: --model nowhere: there is no such folder, and …"),
    Row(f"{ASK} empty", "wrong model folder", "error: --model empty: expected a saved model; the folder holds no …"),
    Row(f"{ASK} notes.txt", "wrong model folder", "error: --model notes.txt: expected a folder or a repository of…"),
    Row(f"{ASK} bert", "another kind of model", "error: --model bert: expected a ClipBERT; its config.json names bert"),
    Row(f"{ASK} torn", "torn weights", "error: --model torn: cannot be loaded: …"),
    Row(
        f"{ASK} retrieval",
        "model of another task",
        "error: --model retrieval: clipbert ask needs a ClipBertForVideoQuestionAnswering; this is a "
        "ClipBertForVideoTextRetrieval; try clipbert match",
    ),
    Row(f"{ASK} qa --device nothing", "no such device", "error: --device nothing: …"),
    Row(f"{ASK} qa --top_k 0", "value out of range", "error: Invalid value for '--top_k': …"),
    Row(f"{ASK} qa --beam 3", "no such option", "error: No such option: --beam …"),
    Row(f"{ASK} qa --json > /dev/full", "full disk", "error: output: No space left on device"),
    Row(
        'ask bikes.mp4 bikes.mp4 "what ?" --model qa --plot x.png',
        "more than can be drawn",
        "error: --plot and --attention draw one video and one text; give one of each",
    ),
    Row(f"{ASK} qa --plot nowhere/x.png", "wrong path", "error: nowhere/x.png: there is no folder nowhere"),
    Row(
        'choose bikes.mp4 "what ?" --option red --model choice',
        "one option",
        "error: --option: expected at least two answers to choose from, got one",
    ),
    Row('choose notes.txt "what ?" --option red --option blue --model choice', "no video", NO_VIDEO),
    Row("match bikes.mp4 --model retrieval", "no text", "error: Missing argument 'TEXT' (see clipbert match --help)"),
    Row('match notes.txt "a man" --model retrieval', "no video", NO_VIDEO),
    Row('match bikes.mp4 "a man" --model qa', "model of another task", "error: --model qa: clipbert match needs a …"),
    Row("index nowhere --uri new.index --model retrieval", "wrong path", "error: nowhere: no such video"),
    Row("index empty --uri new.index --model retrieval", "no videos", "error: videos: expected at least one video, …"),
    Row("index bikes.mp4 --uri new.index", "no model", "error: index needs --model, or --update of an index that …"),
    Row("index bikes.mp4 --uri new.index --model empty", "wrong model folder", "error: --model empty: expected a …"),
    Row("index bikes.mp4 --uri nowhere --update", "no index", "error: uri: there is no index at nowhere; …"),
    Row("index bikes.mp4 --uri an.index --model other", "index of another model", OTHER_INDEX),
    Row(
        "index bikes.mp4 --uri notes.txt --model retrieval",
        "a file in place of a folder",
        "error: uri: an index is a folder; notes.txt is a file",
    ),
    Row(
        "index bikes.mp4 --uri notes.txt/an.index --model retrieval",
        "a folder that cannot be made",
        "error: …/notes.txt/an.index: Not a directory",
    ),
    Row("search an.index", "no text", "error: search needs TEXT or --video, one of both"),
    Row('search nowhere "a man"', "wrong path", "error: uri: there is no index at nowhere; …"),
    Row('search an.index "a man" --model other', "index of another model", OTHER_INDEX),
    Row('search an.index "a man" --where "year > 3"', "no such column", "error: where: …"),
    Row("search an.index --video no.mp4", "wrong path", "error: cannot decode …/no.mp4 with any decoder: …"),
    Row("search an.index --video notes.txt", "no video", "error: cannot decode …/notes.txt with any decoder: …"),
    Row("train sorting", "no such task", "error: No such command 'sorting' …"),
    Row(
        "train retrieval retrieval_msvrtt_8x2",
        "unknown recipe",
        "error: cannot read recipe retrieval_msvrtt_8x2: there is no such file, nor a recipe of that name; did you "
        "mean retrieval_msrvtt_8x2 or …",
    ),
    Row(f"{TRAIN} --batch_siz 8", "no such setting", "error: command line: unknown key 'batch_siz' (did you mean …"),
    Row(f"{TRAIN} --batch_size many", "wrong value", "error: batch_size must be int; got 'many'"),
    Row(
        "train video_qa video_qa_custom --data_dir nowhere",
        "wrong path",
        "error: the annotation folder …/nowhere does not exist",
    ),
    Row(f"{TRAIN} --accelerate_config no.yaml", "wrong path", "error: --accelerate_config no.yaml: there is no such …"),
    Row(
        f"{TEST} --output_dir notes.txt",
        "a file in place of a folder",
        "error: notes.txt: File exists",
    ),
    Row("data sort", "no such command", "error: No such command 'sort'. …"),
    Row("data check", "no data set", "error: the following arguments are required: name, --annotation_dir (see …"),
    Row("data check nothing --annotation_dir data", "no such data set", "error: the data set must be one of …"),
    Row("data check custom qa --annotation_dir nowhere", "wrong path", "error: the annotation folder …/nowhere does …"),
    Row("data check custom qa --annotation_dir data --video_dir empty --no_progress", "a missing video", "", 1),
    Row(f"data check {DATA} --report /dev/full", "full disk", "error: [Errno 28] No space left on device"),
    Row(f"data statistics {DATA} --output notes.txt/x", "a folder that cannot be made", "error: [Errno 20] …"),
    Row(f"data prepare {DATA} --output notes.txt", "a file in place of a folder", "error: the output …/notes.txt is …"),
    Row(f"data export {DATA} --output notes.txt", "a file in place of a folder", "error: …/notes.txt exists and …"),
    Row("convert --checkpoint no.pt --output new", "wrong path", "error: no.pt must be a file of weights; …"),
    Row("convert --checkpoint notes.txt --output new", "no checkpoint", "error: notes.txt must hold names and …"),
    Row(
        "convert --checkpoint published.pt --output notes.txt",
        "a file in place of a folder",
        "error: output must be a folder; notes.txt is a file",
    ),
    Row("export qa", "no format", "error: the following arguments are required: --format, --output (see clipbert …"),
    Row("export empty --format onnx --output new", "wrong model folder", "error: empty must hold a ClipBERT with a …"),
    Row(
        "export qa --format onnx --output notes.txt",
        "a file in place of a folder",
        "error: output must be a new or empty folder; notes.txt is not",
    ),
    Row("report", "no run", "error: Missing argument 'RUN' (see clipbert report --help)"),
    Row("report empty", "no run", "error: empty/recipe.yaml is missing: a report needs the folder of a finished run"),
    Row("info", "nothing named", "error: info needs --model or videos, one of both"),
    Row("info notes.txt", "no video", NO_VIDEO),
    Row("info --model empty", "wrong model folder", "error: --model empty: expected a saved model; the folder holds …"),
    Row("info --model qa --json > /dev/full", "full disk", "error: output: No space left on device"),
    Row("doctor no.mp4", "wrong path", "error: no.mp4: no such video"),
    Row("doctor notes.txt", "no video", "", 1),
    Row("push team/model --model nowhere", "wrong path", "error: --model nowhere: expected the folder of a saved …"),
    Row("push team/model --model empty", "wrong model folder", "error: --model empty: expected a saved model; …"),
    Row('push "a b" --model qa', "no name of a repository", "error: REPO: …"),
]
# Where each command is when Ctrl-C comes.
INTERRUPTED = {
    f"{ASK} qa": "clipbert_hf.ClipBertProcessor.from_pretrained",
    'choose bikes.mp4 "what ?" --option red --option blue --model choice': "clipbert_command_line.actions.answers.load",
    'match bikes.mp4 "a man" --model retrieval': "clipbert_hf.model.processing_clipbert.ClipBertProcessor.__call__",
    "index bikes.mp4 --uri new.index --model retrieval": "clipbert_hf.retrieval.index_building._encode",
    'search an.index "a man"': "clipbert_hf.retrieval.video_index.text_query",
    f"{TEST} --output_dir new": "clipbert_hf.training.scripts.video_qa.create_qa_model",
    f"data check {DATA}": "datasets_scripts.check.check",
    f"data statistics {DATA}": "datasets_scripts.statistics.count",
    f"data prepare {DATA} --output new": "datasets_scripts.prepare.prepare",
    f"data export {DATA} --output new": "datasets_scripts.export.export",
    "convert --checkpoint published.pt --output new": "clipbert_hf.convert_original_checkpoint.load_published_state",
    "export qa --format onnx --output new": "clipbert_hf.export.exporting._load",
    "info bikes.mp4": "clipbert_command_line.actions.information.probe_video",
    "doctor": "clipbert_command_line.actions.checkup.open_video",
    "push team/model --model qa": "clipbert_command_line.actions.upload.HfApi",
}


@pytest.fixture(scope="module")
def folder(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the table names."""
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("use") / "folder")
    (folder / "notes.txt").write_text("no video\n")
    (folder / "empty").mkdir()
    (folder / "bert").mkdir()
    (folder / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    shutil.copytree(folder / "qa", folder / "torn")
    weights = folder / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    search = {"contrastive_size": 16, "cls_token_id": 2, "sep_token_id": 3}
    save_tiny(ClipBertForVideoTextRetrieval, folder / "other", folder / "vocab.txt", search, seed=1)
    (folder / "data" / "videos").mkdir(parents=True)
    shutil.copy(folder / "bikes.mp4", folder / "data" / "videos")
    (folder / "data" / "test.csv").write_text("video,question,answer\nbikes.mp4,what ?,red\n")
    case = next(case for case in CASES["cases"] if case["original_class"] == "ClipBertForVideoTextRetrieval")
    torch.save(published_state(case), folder / "published.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert entrance.main(["index", "bikes.mp4", "--uri", "an.index", "--model", "retrieval", "--json"]) == 0
    return folder


@pytest.fixture
def use(
    folder: Path, clipbert: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, prepared_rows_in_a_folder: None
) -> Callable[..., Any]:
    """Run a line of the table in its folder."""
    monkeypatch.chdir(folder)

    def run(line: str, *more: str) -> Any:
        command, to_full_disk, _ = line.partition(" > /dev/full")
        if not to_full_disk:
            return clipbert(*shlex.split(command), *more)
        with open("/dev/full", "w") as file:
            monkeypatch.setattr("sys.stdout", file)
            return clipbert(*shlex.split(command), *more)

    return run


def last_line(err: str, folder: Path) -> str:
    """The error, without the path of this machine; progress bars and reports come before it."""
    last = err.rstrip("\n").splitlines()[-1] if err else ""
    return last.replace(str(folder), "…")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.line}: {row.what}"[:70])
def test_a_message_and_a_status(row, use, folder):
    ended = use(row.line)
    assert "Traceback" not in ended.err + ended.out
    found = last_line(ended.err, folder)
    if row.message.endswith("…"):
        assert found.startswith(row.message.removesuffix("…"))
    else:
        assert found == row.message
    assert ended.status == row.status
    assert not {"new", "new.index", "nowhere"} & {path.name for path in folder.iterdir()}  # nothing is left behind


@pytest.mark.parametrize(("line", "place"), INTERRUPTED.items())
def test_ctrl_c(line, place, use, folder, monkeypatch):
    """A real SIGINT, while the command is there."""
    module, _, name = place.rpartition(".")

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pkgutil.resolve_name(module), name, interrupted)
    # A shell that starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended = use(line)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ended.status, last_line(ended.err, folder)) == (130, "interrupted")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "line",
    [
        'ask notes.txt "what ?" --model qa',
        "train retrieval retrieval_msvrtt_8x2",
        f"data statistics {DATA} --output notes.txt/x",
        "convert --checkpoint no.pt --output new",
        "export qa --format onnx --output notes.txt",
    ],
)
def test_verbose_shows_the_trace(line, use):
    ended = use(line, "--verbose")
    assert ended.status == 2
    assert "Traceback" in ended.err
    assert use(line).err.splitlines()[-1] in ended.err.splitlines()


def test_a_fault_of_the_program_says_so(use, monkeypatch):
    def fault(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("clipbert_command_line.actions.information.probe_video", fault)
    ended = use("info bikes.mp4")
    assert (ended.status, ended.err) == (3, "error: unexpected KeyError: 'x'; --verbose shows the trace\n")
    assert "Traceback" in use("info bikes.mp4", "--verbose").err


def test_a_reader_that_has_gone(use, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with contextlib.suppress(BrokenPipeError), open(write, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        assert use("info bikes.mp4 --json").status == 141


def test_the_page(request):
    statuses = entrance.__doc__.split("\n\n", 1)[1].replace("``", "`")
    page = HEAD.format(statuses=statuses)
    rows = [*ROWS, *(Row(line, "Ctrl-C", "interrupted", 130) for line in INTERRUPTED)]
    for command in dict.fromkeys(row.line.split()[0] for row in rows if row.line != "aks"):
        page += f"\n## clipbert {command}\n| command | what is wrong | message | status |\n|---|---|---|---|\n"
        for row in rows:
            if row.line.split()[0] in (command, "aks" if command == "ask" else command):
                message = f"`{row.message}`" if row.message else "a report, on standard output"
                page += f"| `clipbert {row.line}` | {row.what} | {message} | {row.status} |\n"
    if request.config.getoption("--write-tables"):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page, "run this test with --write-tables and look at what it wrote"
