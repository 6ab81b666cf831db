"""What a newcomer does, from nothing and in order, with seconds: python tests/newcomer.py [wheel|pages|all].

The wheel is built and installed into an empty environment, with all that it needs from the package index. Each command
of ``clipbert`` then runs on real videos and on models that it has trained; a model goes to a stand-in for the Hub and
is loaded from there without this package. For the pages the repository is cloned, ``make demo`` sets it up, and
the commands and programs of README and of every page run as their tests do. The table is ``transcript.md`` in
``.newcomer``; all that commands print is in ``transcript.log`` there.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import Repository, serve

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".newcomer"
# Few steps: what is shown is that each command takes what the one before it has left.
SHORT = "--max_steps 40 --evaluate_every 40 --num_workers 0"
SMALL = """--dataset_options "{train: 200, validation: 20, test: 20}" """
RETRIEVAL = """--dataset_options "{scenes: [3, 4], train: 100, validation: 20, test: 20}" """
START = "--start_from runs/pretraining"
DATA = "--data_dir data/shapes " + SMALL
TRAINING = (
    f"clipbert train pretraining pretraining_moving_shapes {DATA} --output_dir runs/pretraining {SHORT}",
    f"clipbert train video_qa video_qa_moving_shapes {DATA} --output_dir runs/qa {START} {SHORT}",
    f"clipbert train multiple_choice multiple_choice_moving_shapes {DATA} --output_dir runs/choice {START} {SHORT}",
    f"clipbert train retrieval retrieval_search_moving_shapes --data_dir data/search {RETRIEVAL}"
    f" --output_dir runs/search {START} {SHORT} --batch_size 16 --candidates [5] --grid_cache runs/grids",
)
USING = (
    "clipbert doctor bikes.mp4",
    "clipbert info --model runs/qa",
    'clipbert ask bikes.mp4 "what color is the circle ?" --model runs/qa --plot answer.png --attention attention.png',
    "ls *.mp4 | clipbert ask - 'is there a red star ?' --model runs/qa --json",
    'clipbert choose bikes.mp4 "what color is the circle ?" --option red --option blue --model runs/choice',
    'clipbert match bikes.mp4 "a red circle" "a blue star" --model runs/search',
    "clipbert index data/shapes/videos/test --uri shapes.index --model runs/search --clip_every 2",
    'clipbert search shapes.index "a red circle"',
    "clipbert report runs/qa runs/choice --output report.html",
    "clipbert data check custom qa --annotation_dir data/mine",
    "clipbert data statistics custom qa --annotation_dir data/mine",
    "clipbert data prepare custom qa --annotation_dir data/mine --output data/small --longest_edge 64",
    "clipbert data export custom qa --annotation_dir data/mine --output exported --media shards",
    "clipbert train video_qa video_qa_custom --data_dir exported --dataset hub --dataset_options {} --streaming true"
    f" --output_dir runs/mine {START} --processor.size.longest_edge 64 --max_steps 2 --evaluate_every 2 --batch_size 2",
    "clipbert export runs/qa --format onnx --output exported_onnx",
    "clipbert convert --checkpoint published.pt --task multiple-choice --output converted --vocab vocab.txt",
    "clipbert push team/shapes --model runs/qa",
)
# In an environment that has no package of this name.
ALONE = """
from transformers import pipeline
ask = pipeline("video-question-answering", model={model!r}, trust_remote_code=True)
one = [ask(video, "what color is the circle ?", top_k=1)[0]["answer"] for video in {videos}]
asked = [dict(video=video, question="what color is the circle ?") for video in {videos}]
batch = [found[0]["answer"] for found in ask(asked, batch_size=8, top_k=1)]
assert one == batch, (one, batch)
print(batch)
"""


@dataclass
class Transcript:
    """Runs commands in a folder and notes them.

    Args:
        home: Where they run.
        environment: With what variables.
    """

    home: Path
    environment: dict[str, str]
    rows: list[tuple[str, float, int]] = field(default_factory=list)

    def run(self, command: str, *, at: Path | None = None, environment: dict[str, str] | None = None) -> None:
        """Run a command of the shell; what it prints goes to the log."""
        start = time.monotonic()
        with (FOLDER / "transcript.log").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {command}\n")
            log.flush()
            status = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=at or self.home,
                env=environment or self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        self.rows.append((command, time.monotonic() - start, status))
        sys.stdout.write(f"{self.rows[-1][1]:7.1f} s  {'' if status == 0 else f'STATUS {status}  '}{command[:150]}\n")
        sys.stdout.flush()


def wheel() -> Path:
    """Built from the checkout."""
    shutil.rmtree(FOLDER / "dist", ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(FOLDER / "dist"), str(ROOT)]
    subprocess.run(command, check=True)
    return next((FOLDER / "dist").glob("*.whl"))


def fresh(name: str) -> dict[str, str]:
    """An empty environment; returns the variables under which its commands come first."""
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    venv.create(FOLDER / name, with_pip=True)
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{FOLDER / name / 'bin'}{os.pathsep}{os.environ['PATH']}", "HF_HOME": str(FOLDER / "hf")}


def media(home: Path) -> None:
    """Real clips, questions about them, and a checkpoint as the paper's authors published them, in miniature."""
    import torch
    from reference_inputs import CASES, published_state
    from video_files import real_clip

    for name in ("bikes", "bigbuckbunny"):
        shutil.copy(real_clip(name), home / f"{name}.mp4")
    mine = home / "data" / "mine"
    mine.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        shutil.copy(home / "bikes.mp4", mine / f"{split}.mp4")
        (mine / f"{split}.csv").write_text(
            f"video,question,answer\n{split}.mp4,what are they riding ?,bikes\n", "utf-8"
        )
    case = next(case for case in CASES["cases"] if case["original_class"] == "ClipBertForMultipleChoice")
    torch.save(published_state(case), home / "published.pt")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(30517))]
    (home / "vocab.txt").write_text("\n".join(words), "utf-8")


def wheel_alone(transcript: Transcript, built: Path) -> None:
    """The base installation answers; and a model of the Hub does without it."""
    environment = fresh("base")
    transcript.run(f"pip install -q {built}", environment=environment)
    ask = 'clipbert ask bikes.mp4 "what color is the circle ?" --model runs/qa'
    transcript.run(ask, environment=environment)
    transcript.run("pip uninstall -q -y clipbert_hf", environment=environment)
    program = ALONE.format(model="team/shapes", videos=["bikes.mp4", "bigbuckbunny.mp4"] * 4)
    by_name = {**transcript.environment, "PATH": environment["PATH"]}
    transcript.run(f"python -c {shlex.quote(program)}", environment=by_name)


def pages() -> list[tuple[str, float, int]]:
    """A clone, its two commands, and every page."""
    clone = FOLDER / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    plain = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    transcript = Transcript(FOLDER, plain)
    transcript.run(f"git clone -q {ROOT} {clone}")
    transcript.run("make .venv/.installed", at=clone)
    transcript.run("make demo", at=clone)
    transcript.run("make docs", at=clone)
    for test in ("test_page_commands", "test_snippets", "test_notebooks"):
        report = FOLDER / f"{test}.xml"
        transcript.run(f".venv/bin/python -m pytest -q tests/docs/{test}.py --junit-xml {report}", at=clone)
        status = transcript.rows[-1][2]
        for case in ElementTree.parse(report).iter("testcase"):
            transcript.rows.append((f"{test}: {case.get('name')}", float(case.get("time", 0)), status))
    return transcript.rows


def the_wheel(home: Path) -> list[tuple[str, float, int]]:
    """Every command from the wheel, in an empty environment."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    media(home)
    built = wheel()
    with serve(Repository("team/shapes", kind="models")) as hub:
        transcript = Transcript(home, {**hub.environment(FOLDER / "hf"), **fresh("full")})
        transcript.run(f"pip install -q '{built}[train,search,export]'")
        for command in (*TRAINING, *USING):
            transcript.run(command)
        wheel_alone(transcript, built)
    return transcript.rows


def main() -> int:
    """Run what is asked for; the exit status tells whether a command failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["wheel", "pages", "all"], default="wheel")
    part = parser.parse_args().part
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "transcript.log").unlink(missing_ok=True)
    rows = the_wheel(FOLDER / "home") if part != "pages" else []
    rows += pages() if part != "wheel" else []
    lines = ["| command | seconds | status |", "|---|---|---|"]
    for command, seconds, status in rows:
        on_one_line = " ".join(command.split()).replace("|", "\\|")
        lines.append(f"| `{on_one_line}` | {seconds:.1f} | {status} |")
    (FOLDER / "transcript.md").write_text("\n".join(lines) + "\n", "utf-8")
    failed = sum(status != 0 for _, _, status in rows)
    sys.stdout.write(f"{len(rows)} commands, {failed} failed; {FOLDER / 'transcript.md'}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
