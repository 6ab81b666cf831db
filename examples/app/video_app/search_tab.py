"""The tab that searches an index and plays what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from clipbert_hf import VideoDecodeError

from .errors import message_of, told
from .searching import Hit, Searcher, thumbnail

# Browsers start a video only where it is seen.
_SHOW_PLAYER = "() => document.querySelector('#search-player').scrollIntoView({block: 'nearest', behavior: 'smooth'})"
_COLUMNS = ["rank", "video", "score", "start", "end", "all spans"]


def search_tab(searcher: Searcher) -> None:
    """A text, the videos that show it, and a player for the parts that fit.

    Args:
        searcher: Finds them.
    """

    @told
    def search(text: str, top_k: float) -> Iterator[tuple[Any, ...]]:
        hits = searcher.search(text, int(top_k))
        yield (
            _table(hits),
            [(thumbnail(hit), f"{rank}. {hit.caption}") for rank, hit in enumerate(hits, 1)],
            hits,
            *_shown(searcher, hits, 0),
        )

    @told
    def choose_hit(hits: list[Hit], selected: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        yield _shown(searcher, hits, selected.index)

    @told
    def choose_span(hits: list[Hit], place: str | None) -> Iterator[str]:
        hit, span = map(int, (place or "0/0").split("/"))
        yield searcher.play(hits[hit], span)

    gr.Markdown(f"Finds moments in {len(searcher):,} videos. A score compares the videos of one search.")
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            label="What the video shows", placeholder="a dog runs into the sea", scale=4, elem_id="search-text"
        )
        top_k = gr.Slider(1, 20, value=6, step=1, label="How many videos", min_width=180)
    button = gr.Button("Search", variant="primary", elem_id="search-button")
    found, player, spans, table = _results()
    hits = gr.State([])  # of this visitor
    gr.on(
        [button.click, text.submit],
        search,
        [text, top_k],
        [table, found, hits, spans, player],
        api_name="search",
        trigger_mode="always_last",
        concurrency_id="model",
        concurrency_limit=1,
    )
    quietly: dict[str, Any] = {
        "trigger_mode": "always_last",
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    found.select(choose_hit, [hits], [spans, player], **quietly).then(None, js=_SHOW_PLAYER)
    spans.input(choose_span, [hits, spans], [player], **quietly)


def _results() -> tuple[gr.Gallery, gr.HTML, gr.Radio, gr.Dataframe]:
    """What is found, a player, the spans of what it plays, and all of it as a table."""
    with gr.Row(elem_id="search-results"):
        with gr.Column():
            found = gr.Gallery(
                label="Found, best first",
                columns=3,
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="search-found",
            )
        with gr.Column():
            player = gr.HTML(elem_id="search-player")
            spans = gr.Radio(label="Where it fits", visible=False, elem_id="search-spans")
    with gr.Accordion("As a table", open=False):
        table = gr.Dataframe(headers=_COLUMNS, interactive=False, wrap=True, elem_id="search-table")
    return found, player, spans, table


def _table(hits: list[Hit]) -> list[list[Any]]:
    return [
        [
            rank,
            hit.name,
            round(hit.score, 4),
            *hit.spans[0],
            ", ".join(f"{start:.1f}–{end:.1f}" for start, end in hit.spans),
        ]
        for rank, hit in enumerate(hits, 1)
    ]


def _shown(searcher: Searcher, hits: list[Hit], place: int) -> tuple[Any, Any]:
    """The spans of a hit to choose from, and the player of the best."""
    if not hits:
        return gr.Radio(choices=[], visible=False), "Nothing found."
    hit = hits[place]
    try:
        played = searcher.play(hit)
    except VideoDecodeError as error:  # it is not there any more; others may be
        played = f"<p>{message_of(error)}</p>"
    choices = [(f"{start:.1f}–{end:.1f} s", f"{place}/{span}") for span, (start, end) in enumerate(hit.spans)]
    return gr.Radio(choices=choices, value=choices[0][1], visible=True), played
