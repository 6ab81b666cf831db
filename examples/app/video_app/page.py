"""The page: a tab for each model that there is."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from .answer_tabs import ask_tab, choose_tab
from .models import Models
from .samples import Sample
from .search_tab import search_tab
from .settings import Settings

_DAY = 24 * 3600

# Of the visitor's system: nothing is fetched.
THEME = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])

_NOTHING = """
### Nothing to show yet
Name a model or an index: `python examples/app/app.py --model runs/demo/model`, or the variable `MODEL` of a Space.
"""


def build_page(models: Models, samples: Sequence[Sample], settings: Settings) -> gr.Blocks:
    """Lay out the page.

    Args:
        models: Decide which tabs there are.
        samples: Videos to pick.
        settings: Name the limits.
    """
    limits = f"Videos of up to {settings.max_megabytes} MB and {settings.max_minutes:g} minutes."
    # Uploads are kept for a day.
    with gr.Blocks(title="Ask videos", analytics_enabled=False, delete_cache=(3600, _DAY)) as page:
        gr.Markdown("# Ask videos")
        if models == Models():
            gr.Markdown(_NOTHING)
        if models.ask is not None:
            with gr.Tab("Ask", id="ask"):
                ask_tab(models.ask, samples, limits)
        if models.choose is not None:
            with gr.Tab("Choose", id="choose"):
                choose_tab(models.choose, samples, limits)
        if models.search is not None:
            with gr.Tab("Search", id="search"):
                search_tab(models.search)
    return page
