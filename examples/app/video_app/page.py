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

# Plots cannot be read at the width of a phone; there they scroll. Trimming would fetch a program from elsewhere.
CSS = """
.wide .image-container { padding-top: 28px; }
.wide img { background: white; border-radius: 6px; }
@media (max-width: 640px) {
  .wide .image-container button:has(img) { width: 100%; overflow-x: auto; justify-content: start; }
  .wide .image-frame, .wide img { width: 700px; max-width: none; }
}
[aria-label="Trim video to selection"], footer .divider { display: none; }
#search-found .grid-wrap { max-height: none; min-height: 0; }
#search-found .caption-label { left: 0; right: 0; max-width: none; white-space: pre-line; }
@media (max-width: 640px) {
  #search-found .grid-container { grid-template-columns: 1fr 1fr; }
  #search-results { flex-direction: column-reverse; }
  #search-results > * { width: 100%; }
}
#search-player figure { margin: 0; }
#search-player video { width: 100%; max-height: 60vh; background: black; border-radius: 6px; }
#search-player figcaption { padding-top: 4px; overflow-wrap: anywhere; }
"""

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
