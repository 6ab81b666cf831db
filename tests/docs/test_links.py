"""Links between the pages, as a reader of the repository follows them; the built site is checked by mkdocs itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from documentation import pages
from script_runs import ROOT

OTHERS = ("CONTRIBUTING.md", "SECURITY.md", "model_card.md", "CHANGELOG.md", "benchmarks/README.md")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#([\w-]+))?\)")


def anchors(page: Path) -> set[str]:
    """The headings of a page as addresses."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*pages(), *(ROOT / name for name in OTHERS)], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target).resolve()
        assert path.exists(), f"{page}: {target}"
        # index.md takes its sections out of README.md.
        sources = [path, ROOT / "README.md"] if path.name == "index.md" else [path]
        assert not anchor or anchor in set().union(*map(anchors, sources)), f"{page}: {target}#{anchor}"


def test_every_page_is_in_the_navigation_and_in_the_readme() -> None:
    def paths(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        return [path for part in parts for path in paths(part)]  # type: ignore[union-attr]

    named = paths(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    found = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    assert sorted(named) == sorted(found)
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    built = {f"docs/{path}" for path in found if path != "index.md" and not path.startswith("api/")}
    assert built <= linked
