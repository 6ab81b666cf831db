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
    def ask(video: str | None, question: str, draw: bool, abstain_below: float) -> Iterator[tuple[Any, ...]]:
        yield from _explained(model, video, question, None, draw, abstain_below)

    question = gr.Textbox(
        label="Question", placeholder="what color is the circle ?", elem_id="ask-question", render=False
    )
    _lay_out(
        "ask",
        model,
        ask,
        [question],
        [[each.video, each.question] for each in samples],
        f"{_in_words(model.vocabulary)} {limits}",
    )


def choose_tab(model: Answerer, samples: Sequence[Sample], limits: str) -> None:
    """A question and options, one of which is chosen.

    Args:
        model: Chooses.
        samples: Videos to pick, with questions and options.
        limits: What may be uploaded, in words.
    """

    @told
    def choose(
        video: str | None, question: str, options: str, draw: bool, abstain_below: float
    ) -> Iterator[tuple[Any, ...]]:
        yield from _explained(model, video, question, options_of(options), draw, abstain_below)

    texts = [
        gr.Textbox(label="Question", placeholder="what shape is red ?", elem_id="choose-question", render=False),
        gr.Textbox(label="Options, a line each", lines=3, max_lines=10, elem_id="choose-options", render=False),
    ]
    _lay_out(
        "choose",
        model,
        choose,
        texts,
        [[each.video, each.question, each.options] for each in samples],
        f"The model chooses the option that fits best. {limits}",
    )


def _explained(
    model: Answerer, video: str | None, question: str, options: list[str] | None, draw: bool, abstain_below: float
) -> Iterator[tuple[Any, ...]]:
    """The answer and its clips at once; the maps, which take longer, when they are drawn."""
    answer = model.answer(video, question, options, abstain_below=abstain_below)
    label = "no answer" if answer.confidences is None else answer.confidences
    timeline = model.timeline(answer.why)
    yield label, answer.remark, timeline, None
    if draw:
        yield label, answer.remark, timeline, model.heat_maps(answer.why)


def _lay_out(
    name: str, model: Answerer, handler: Any, texts: list[gr.Textbox], samples: list[list[str]], intro: str
) -> None:
    """What is asked on the left, or above on a phone; what is answered beside it."""
    gr.Markdown(intro)
    with gr.Row():
        with gr.Column(scale=2):
            video = gr.Video(
                label="Video", sources=["upload"], height=260, buttons=[], elem_id=f"{name}-video", render=False
            )
            if samples:  # the pictures alone; the texts are filled in
                gr.Examples(samples, [video, *texts], examples_per_page=6, label="Pick one", visible_columns=[0])
            for each in (video, *texts):
                each.render()
            draw = gr.Checkbox(True, label="Show where on the picture, too (takes longer)")
            # Where the model is not calibrated a threshold says nothing.
            threshold = gr.Slider(
                0, 1, value=0, step=0.05, label="Answer only from this probability", visible=model.is_calibrated
            )
            button = gr.Button(name.capitalize(), variant="primary", elem_id=f"{name}-button")
        with gr.Column(scale=3):
            outputs = [
                gr.Label(label="Answer", elem_id=f"{name}-answer"),
                gr.Textbox(label="When", interactive=False, elem_id=f"{name}-remark"),
                _picture("Each clip alone, along the video", f"{name}-timeline"),
                _picture("Where it looks, and what it depends on", f"{name}-heat-maps"),
            ]
    gr.on(
        [button.click, texts[0].submit],
        handler,
        [video, *texts, draw, threshold],
        outputs,
        api_name=name,
        trigger_mode="always_last",  # a question asked while maps are drawn is not lost
        # All tabs share one place in the queue, since a model takes the whole machine.
        concurrency_id="model",
        concurrency_limit=1,
    )


def _picture(label: str, name: str) -> gr.Image:
    return gr.Image(
        label=label,
        format="png",
        interactive=False,
        buttons=["fullscreen", "download"],
        elem_id=name,
        elem_classes="wide",
    )


def _in_words(vocabulary: Sequence[str]) -> str:
    named = ", ".join(vocabulary[:_ANSWERS_NAMED])
    among = "" if len(vocabulary) <= _ANSWERS_NAMED else ", among them"
    return f"The model knows {len(vocabulary):,} answers{among}: {named}."
