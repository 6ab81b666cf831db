"""Options that several commands have."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Dtype(str, Enum):
    """In which numbers a model computes."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


MODEL_HELP = "A saved model: a folder, or a repository of the Hub. Code in it is never run."

Model = Annotated[str, typer.Option("--model", metavar="FOLDER_OR_REPO", help=MODEL_HELP)]
OptionalModel = Annotated[str | None, typer.Option("--model", metavar="FOLDER_OR_REPO", help=MODEL_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the trace of an error.")]
TopK = Annotated[int | None, typer.Option("--top_k", min=1, metavar="N", help="How many, best first.")]
NumClips = Annotated[
    int | None,
    typer.Option("--num_clips", min=1, metavar="N", help="Clips of a video. [default: what the model was saved with]"),
]
Clips = Annotated[bool, typer.Option("--return_clip_scores", help="With --json: add what each clip alone says.")]
AbstainBelow = Annotated[
    float | None,
    typer.Option("--abstain_below", min=0, max=1, metavar="SCORE", help="Withhold answers with less than this score."),
]
BatchSize = Annotated[int, typer.Option("--batch_size", min=1, metavar="N", help="Videos at once.")]
Workers = Annotated[int, typer.Option("--num_workers", min=0, metavar="N", help="Processes that decode videos.")]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Such as cpu or cuda:0. [default: a GPU if there is one]")
]
Precision = Annotated[Dtype | None, typer.Option("--dtype", help="In which the model computes.")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="PNG", help="Draw what each clip says along time: of one video and one text."),
]
Attention = Annotated[
    Path | None,
    typer.Option(
        "--attention", metavar="PNG", help="Draw attention over the best clip, and what covering its parts costs."
    ),
]
