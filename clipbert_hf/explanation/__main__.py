"""Explain an answer from the command line.

python -m clipbert_hf.explanation runs/demo/model bikes.mp4 "what are they riding ?" --plot when.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from ..errors import ClipBertError
from .explainer import Explainer
from .figures import write_heat_maps, write_timeline


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m clipbert_hf.explanation", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument("video", help="path or URL")
    parser.add_argument("text", help="question, or the text that is matched")
    parser.add_argument("--option", action="append", dest="choices", help="of multiple choice; give it several times")
    parser.add_argument("--answer", help="the answer to explain; by default the best")
    parser.add_argument("--num_clips", type=int, help="by default the processor's")
    parser.add_argument("--plot", help="PNG of the clips along time")
    parser.add_argument("--attention", help="PNG of attention and occlusion over a frame")
    given = parser.parse_args(arguments)
    explainer = Explainer.from_pretrained(given.model)
    options = {} if given.num_clips is None else {"num_clips": given.num_clips}
    why = explainer.explain(given.video, given.text, choices=given.choices, answer=given.answer, **options)
    if given.plot is not None:
        write_timeline(explainer, why, given.plot)
    if given.attention is not None:
        write_heat_maps(explainer, why, given.attention)
    sys.stdout.write(json.dumps(why.to_dict(), indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ClipBertError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error
