"""The tabs that ask a question and that choose among answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from .answering import Answerer, options_of
from .errors import told
from .samples import Sample

_ANSWERS_NAMED = 12


def ask_tab(model: Answerer, samples: Sequence[Sample], limits: str) -> None:
    """A question, answered out of the model's answers.

    Args:
        model: Answers.
        samples: Videos to pick, with questions.
        limits: What may be uploaded, in words.
    """

    @told
    def ask(video: str | None, question: str, draw: bool, abstain_below: float = 0) -> Iterator[tuple[Any, ...]]:
        yield from _explained(model, video, question, None, draw, abstain_below)

    named = ", ".join(model.vocabulary[:_ANSWERS_NAMED])
    more = ", …" if len(model.vocabulary) > _ANSWERS_NAMED else ""
    gr.Markdown(f"The model answers with one of {len(model.vocabulary):,} answers: {named}{more}. {limits}")
    with gr.Row():
        with gr.Column():
            video = _video()
            question = gr.Textbox(label="Question", placeholder="what color is the circle ?", elem_id="ask-question")
            draw = _draw()
            # Where the model is not calibrated a threshold says nothing.
            threshold = gr.Slider(
                0, 1, value=0, step=0.05, label="Answer only from this probability", visible=model.is_calibrated
            )
            button = gr.Button("Ask", variant="primary", elem_id="ask-button")
            _examples([[each.video, each.question] for each in samples], [video, question])
        outputs = _answer_column("ask")
    inputs = [video, question, draw, threshold]
    _run([button.click, question.submit], ask, inputs, [*outputs, *_pictures("ask")], "ask")


def choose_tab(model: Answerer, samples: Sequence[Sample], limits: str) -> None:
    """A question and options, one of which is chosen.

    Args:
        model: Chooses.
        samples: Videos to pick, with questions and options.
        limits: What may be uploaded, in words.
    """

    @told
    def choose(
        video: str | None, question: str, options: str, draw: bool, abstain_below: float = 0
    ) -> Iterator[tuple[Any, ...]]:
        yield from _explained(model, video, question, options_of(options), draw, abstain_below)

    gr.Markdown(f"The model chooses the option that fits best. {limits}")
    with gr.Row():
        with gr.Column():
            video = _video()
            question = gr.Textbox(label="Question", placeholder="what happens first ?", elem_id="choose-question")
            options = gr.Textbox(label="Options, a line each", lines=4, max_lines=10, elem_id="choose-options")
            draw = _draw()
            threshold = gr.Slider(
                0, 1, value=0, step=0.05, label="Choose only from this probability", visible=model.is_calibrated
            )
            button = gr.Button("Choose", variant="primary", elem_id="choose-button")
            _examples([[each.video, each.question, each.options] for each in samples], [video, question, options])
        outputs = _answer_column("choose")
    inputs = [video, question, options, draw, threshold]
    _run([button.click, question.submit], choose, inputs, [*outputs, *_pictures("choose")], "choose")


def _explained(
    model: Answerer, video: str | None, question: str, options: list[str] | None, draw: bool, abstain_below: float
) -> Iterator[tuple[Any, ...]]:
    """The answer and its clips at once, the maps, which take longer, when they are drawn."""
    answer = model.answer(video, question, options, abstain_below=abstain_below)
    label = "no answer" if answer.confidences is None else answer.confidences
    timeline = model.timeline(answer.why)
    yield label, answer.remark, timeline, None
    if draw:
        yield label, answer.remark, timeline, model.heat_maps(answer.why)


def _video() -> gr.Video:
    return gr.Video(label="Video", sources=["upload"], height=280, buttons=[])


def _draw() -> gr.Checkbox:
    return gr.Checkbox(True, label="Show where on the picture, too (takes longer)")


def _examples(rows: list[list[str]], inputs: list[Any]) -> None:
    if rows:
        gr.Examples(rows, inputs, examples_per_page=6, label="Or pick one")


def _answer_column(name: str) -> list[Any]:
    with gr.Column():
        label = gr.Label(label="Answer", elem_id=f"{name}-answer")
        return [label, gr.Textbox(label="When", interactive=False, elem_id=f"{name}-remark")]


def _pictures(name: str) -> list[gr.Image]:
    timeline = gr.Image(
        label="Each clip alone, along the video",
        format="png",
        interactive=False,
        buttons=["fullscreen", "download"],
        elem_id=f"{name}-timeline",
        elem_classes="wide",
    )
    heat_maps = gr.Image(
        label="Where the model looks, and what the answer depends on",
        format="png",
        interactive=False,
        buttons=["fullscreen", "download"],
        elem_id=f"{name}-heat-maps",
        elem_classes="wide",
    )
    return [timeline, heat_maps]


def _run(triggers: list[Any], handler: Any, inputs: list[Any], outputs: list[Any], name: str) -> None:
    """All tabs share one place in the queue, since the model takes the whole machine."""
    gr.on(triggers, handler, inputs, outputs, api_name=name, concurrency_id="model", concurrency_limit=1)
