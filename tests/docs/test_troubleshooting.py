"""The page of error messages: each of them stands in the source, word for word."""

from __future__ import annotations

import ast
import re

from script_runs import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = ("clipbert_hf", "clipbert_command_line", "datasets_scripts")


def text_of(node: ast.AST) -> str | None:
    """A literal as a page quotes it: what is filled in is "…"."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "…" for part in node.values)
    return None


def literals() -> str:
    """All literals of the packages, a line each; docstrings too, where no message begins."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    return "\n".join(re.sub("…+", "…", text) for text in map(text_of, nodes) if text)


def quoted() -> list[str]:
    rows = re.findall(r"^\| `(.+?)` \| ", PAGE.read_text("utf-8"), re.MULTILINE)
    return [re.sub("…+", "…", message) for message in rows]


def test_each_message_is_in_the_source() -> None:
    source = literals()
    assert len(quoted()) > 40
    assert not [message for message in quoted() if message not in source]


def test_a_message_says_enough_to_be_found() -> None:
    for message in quoted():
        assert max(map(len, message.split("…"))) >= 15, message
