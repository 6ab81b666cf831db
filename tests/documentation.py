"""The pages that people read, cut into what they show: blocks of code, and what is said of how a test runs them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from script_runs import ROOT

# What a comment before a block may say: that it is not run, and why; or what stands in for what is not at hand.
NOTE = re.compile(r"<!-- (not run|stand-in): (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: Relative to the repository.
        line: Where its first line is, from 1.
        language: What follows the fence.
        code: Its lines, without the fence's indentation.
        note: ``not run`` or ``stand-in``, and why; None: it is run as it is.
    """

    page: str
    line: int
    language: str
    code: str
    note: tuple[str, str] | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return self.note is None or self.note[0] != "not run"


def pages() -> list[Path]:
    """README.md of the project and of the examples, and every page of docs/."""
    return [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str) -> list[Block]:
    """The blocks of a page in one language, in their order."""
    found, lines = [], path.read_text("utf-8").splitlines()
    inside: tuple[int, str, str] | None = None  # line, indentation, language
    for number, line in enumerate(lines):
        fence = re.match(r"( *)```(\w*)", line)
        if fence is None:
            continue
        if inside is None:
            inside = (number, fence[1], fence[2])
            continue
        start, indentation, kind = inside
        inside = None
        if kind == language:
            before = next((each for each in reversed(lines[:start]) if each.strip()), "")
            note = NOTE.fullmatch(before.strip())
            code = "\n".join(each.removeprefix(indentation) for each in lines[start + 1 : number]) + "\n"
            where = str(path.relative_to(ROOT))
            found.append(Block(where, start + 2, kind, code, (note[1], note[2]) if note else None))
    assert inside is None, f"{path}: a block is not closed"
    return found


def commands(block: Block) -> list[list[str]]:
    """The simple commands of a block of shell, as words; what a loop or a pipe is made of counts one by one."""
    found: list[list[str]] = [[]]
    for word in _words(block.code.replace("\\\n", " ")):
        if word and set(word) <= set(";&|\n"):
            found.append([])
        else:
            found[-1].append(word)
    return [each for each in found if each]


def _words(text: str) -> list[str]:
    """Words and separators; ``#`` begins a comment only at the start of a word."""
    words: list[str] = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        words += [*lexer, "\n"]
    return words
