"""Counts a data set and compares it with what was published; differences are marked.

::

    python -m datasets_scripts.statistics msrvtt qa --annotation_dir data/msrvtt_qa --video_dir data/videos \
        --answers 1500 --save_answers ans2label.json

With ``--answers`` the vocabulary of the most frequent training answers is built, and the reachable upper bound of
each split printed: test answers outside of it count as wrong.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.command_line import add_policy, data_set_parser, reported_builder, run
from datasets_scripts.annotations.plan import Published
from datasets_scripts.annotations.vocabulary import build_answer_vocabulary
from datasets_scripts.errors import DatasetError

_WORD = re.compile(r"\w+(?:'\w+)?")
Counts = dict[str, float]


class _Tally:
    """Sums over rows that can be added up over splits."""

    def __init__(self) -> None:
        self.rows = self.words = 0
        self.media: set[str] = set()
        self.texts: set[str] = set()
        self.vocabulary: set[str] = set()
        self.answers: set[str] = set()
        self.kind, self.text = "videos", "captions"

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.kind = "images" if "image" in row else "videos"
            self.text = "captions" if "caption" in row else "questions"
            text = row["caption" if "caption" in row else "question"]
            words = _WORD.findall(" ".join([text, *row.get("options", [])]).lower())
            self.rows += 1
            self.words += len(words)
            self.media.add(row["image" if "image" in row else "video"])
            self.texts.add(text)
            self.vocabulary.update(words)
            if "answers" in row:
                self.answers.update(pair["answer"] for pair in row["answers"])
            elif "answer" in row and "options" not in row:
                self.answers.add(str(row["answer"]))

    def counts(self) -> Counts:
        counts: Counts = {"rows": self.rows, self.kind: len(self.media), f"distinct {self.text}": len(self.texts)}
        counts |= {"words": self.words, "vocabulary": len(self.vocabulary)}
        return counts | ({"distinct answers": len(self.answers)} if self.answers else {})


def count(splits: Mapping[str, Iterable[Mapping[str, Any]]], together: Iterable[str] = ()) -> dict[str, Counts]:
    """Rows, videos or images, texts, words and answers of each split.

    Args:
        splits: The rows of each.
        together: Splits to be counted together as well, such as ``"train+validation"``.
    """
    names = {split: [split] for split in splits}
    names |= {key: key.split("+") for key in together if set(key.split("+")) <= set(splits)}
    counts = {}
    for key, parts in names.items():
        tally = _Tally()
        for part in parts:
            tally.add(splits[part])
        counts[key] = tally.counts()
    return counts


def table(counts: Mapping[str, Counts], published: Published) -> str:
    """A line a count, with the published one where it is known."""
    lines = [f"{'split':<24}{'count':<20}{'here':>12}{'published':>12}"]
    for split, found in counts.items():
        for name, value in found.items():
            expected = published.get(split, {}).get(name)
            line = f"{split:<24}{name:<20}{value:>12,}"
            if expected is not None:
                line += f"{expected:>12,}" + ("" if value == expected else f"  DIFFERS by {value - expected:+,}")
            lines.append(line)
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None, program: str = "python -m datasets_scripts.statistics") -> int:
    """Run the command line, under the name that its help gives it; returns the exit status."""
    parser = data_set_parser(program, __doc__ or "")
    add_policy(parser)
    parser.add_argument("--answers", type=int, metavar="K", help="build a vocabulary of the K most frequent answers")
    parser.add_argument("--save_answers", metavar="FILE", help="write it as a label map")
    parser.add_argument("--output", help="also write the counts as JSON")
    options = parser.parse_args(arguments)

    def work() -> int:
        builder = reported_builder(options)
        splits = {split: builder.rows(split) for split in builder.report.splits}
        counts = count(splits, builder.plan.published)
        sys.stdout.write(table(counts, builder.plan.published))
        if options.output:
            content = {"report": builder.report.to_json(), "counts": counts, "published": builder.plan.published}
            Path(options.output).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if options.answers is not None:
            if builder.plan.schema not in ("qa", "image_qa") or "train" not in splits:
                raise DatasetError(f"--answers needs open-ended questions with a split train; {builder.NAME} has none")
            vocabulary = build_answer_vocabulary(splits["train"], top_k=options.answers)
            sys.stdout.write(vocabulary.summary(splits) + "\n")
            if options.save_answers:
                vocabulary.save(options.save_answers)
        return 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
