"""What docstrings write for people who read the source, as Markdown and mkdocstrings understand it."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|attr|data|exc):`~?(?:[\w.]*\.)?(\w+)`|:mod:`\.?([\w.]+)`")
_CALL = re.compile(r"^Args of a call:\n((?:    .*\n|\n)+)", re.MULTILINE)


def to_markdown(text: str, *, of_class: bool = False) -> str:
    """Names in roles become code, an example a section, a block after ``::`` code, arguments of a call a list."""
    text = _ROLE.sub(lambda found: f"`{found[1] or found[2]}`", text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    if of_class:
        text = re.sub(r"^Returns:$", "Returned by a call:", text, flags=re.MULTILINE)
    text = re.sub(r"^(Returns:\n    )", r"\1: ", text, flags=re.MULTILINE)  # the type is that of the function, no text
    text = re.sub(r"^::$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(\w)::$", r"\1:", text, flags=re.MULTILINE)
    return _CALL.sub(lambda found: "Args of a call:\n" + re.sub(r"(?m)^    (\S.*?): ", r"    - `\1`: ", found[1]), text)


class Docstrings(griffe.Extension):
    """Rewrites the docstring of each object that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each object but a package."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value, of_class=obj.is_class)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called once for each package."""
        self.on_object(obj=pkg)
