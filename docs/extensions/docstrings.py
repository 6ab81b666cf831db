"""What docstrings and settings write for people who read the source, as Markdown and mkdocstrings understand it."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|attr|data|exc):`~?(?:[\w.]*\.)?(\w+)`|:mod:`\.?([\w.]+)`")
# A table as in reStructuredText: two columns between lines of equals signs, a third line of which ends a head.
_TABLE = re.compile(r"^(=+) +=+\n((?:.*\n)+?)\1 +=+$", re.MULTILINE)
_CALL = re.compile(r"^Args of a call:\n((?:    .*\n|\n)+)", re.MULTILINE)


def to_markdown(text: str, *, of_class: bool = False) -> str:
    """Roles become code, an example a section, a block after ``::`` code; tables and arguments of a call lists."""
    text = _TABLE.sub(_as_list, text)
    text = _ROLE.sub(lambda found: f"`{found[1] or found[2]}`", text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    if of_class:
        text = re.sub(r"^Returns:$", "Returned by a call:", text, flags=re.MULTILINE)
    text = re.sub(r"^(Returns:\n    )", r"\1: ", text, flags=re.MULTILINE)  # the type is that of the function, no text
    text = re.sub(r"^::$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(\w)::$", r"\1:", text, flags=re.MULTILINE)
    return _CALL.sub(lambda found: "Args of a call:\n" + re.sub(r"(?m)^    (\S.*?): ", r"    - `\1`: ", found[1]), text)


def _as_list(found: re.Match[str]) -> str:
    """A line a row, which goes on in lines whose first column is empty."""
    width, rows = len(found[1]), re.split(rf"(?m)^{found[1]} .*\n", found[2])[-1]
    items: list[str] = []
    for line in rows.splitlines():
        name, rest = line[:width].strip(), line[width:].strip()
        if name:
            items.append(f"- {name}: {rest}")
        else:
            items[-1] += f" {rest}"
    return "\n".join(items)


def default_of(value: griffe.Expr) -> str | griffe.Expr | None:
    """What a field of a dataclass is without a value: of a call of ``field`` or ``setting`` its default alone."""
    given = {getattr(argument, "name", "default"): argument for argument in reversed(value.arguments)}  # type: ignore[attr-defined]
    if "default_factory" in given:
        made = given["default_factory"].value
        return made.body if isinstance(made, griffe.ExprLambda) else griffe.ExprCall(made, [])
    default = given.get("default")
    return default.value if isinstance(default, griffe.ExprKeyword) else default


class Docstrings(griffe.Extension):
    """Rewrites the docstring of each object that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each object but a package."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value, of_class=obj.is_class)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called once for each attribute, before those of a dataclass become parameters."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) in ("field", "setting"):
            attr.value = default_of(value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called once for each package."""
        self.on_object(obj=pkg)
