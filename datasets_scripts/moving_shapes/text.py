"""What is said and asked about a MovingShapes video: captions, questions, options and hard negatives.

Nothing can be answered from the text alone. Every draw treats all colours alike and all shapes alike, so a
question says nothing about its answer, and the wrong options of a multiple choice question are as
likely to be right, seen without the video, as the right one.

A clip model without temporal positions can tell what a video shows but not in which order, so no question
asks for an order of scenes. Which way something moves is asked in a configuration of its own: it shows within a
clip, to a model that tells the frames of a clip apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes.scenes import COLORS, DIRECTIONS, SHAPES, Scene, VideoPlan

NUMBERS = ("one", "two", "three")
PLURALS = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
KEY_WORDS = (*COLORS, *SHAPES, *PLURALS.values(), *NUMBERS)
ANSWERS = (*COLORS, *SHAPES, "yes", "no")

COLOR_QUESTION = "what color is the {shape} ?"
SHAPE_QUESTION = "what shape is {color} ?"
EXISTENCE_QUESTION = "is there {a} {color} {shape} ?"
CONTENT_QUESTION = "what can be seen ?"
SHAPE_MOTION_QUESTION = "which way does the {shape} move ?"
COLOR_MOTION_QUESTION = "which way does the {color} shape move ?"
CONTENT = "{a} {color} {shape}"
SEPARATOR = " , "

# Of a scene, for pre-training. `shapes` is the singular when there is one copy.
SCENE_TEMPLATES = (
    "{a} {color} {shape}",
    "the {shape} is {color}",
    "the color of the {shape} is {color}",
    "the shape is a {shape} and the color is {color}",
    "{number} {color} {shapes}",
    "there {are} {number} {color} {shapes}",
    "there {are} {number} {shapes} and the color is {color}",
)

OPTIONS = 5
_WRONG_SHAPES, _WRONG_COLORS, _WRONG_BOTH = 4, 3, 3  # of ten hard negatives

Row = dict[str, Any]


def vocabulary() -> list[str]:
    """Every word and sign that captions, questions, options and answers can hold, sorted.

    Example:
        >>> words = vocabulary()
        >>> len(words), words[:4]
        (49, [',', '?', 'a', 'an'])
    """
    of_motion = (SHAPE_MOTION_QUESTION, COLOR_MOTION_QUESTION)
    templates = (COLOR_QUESTION, SHAPE_QUESTION, EXISTENCE_QUESTION, CONTENT_QUESTION, *of_motion, *SCENE_TEMPLATES)
    fixed = re.sub(r"\{\w+\}", " ", " ".join((*templates, SEPARATOR, "a an is are"))).split()
    return sorted({*fixed, *KEY_WORDS, *ANSWERS, *DIRECTIONS})


def _fill(template: str, *, color: str = "", shape: str = "", copies: int = 1) -> str:
    return template.format(
        a="an" if color[:1] in "aeiou" else "a",
        color=color,
        shape=shape,
        shapes=shape if copies == 1 else PLURALS.get(shape, ""),
        number=NUMBERS[copies - 1],
        are="is" if copies == 1 else "are",
    )


def _pick(items: list[str], generator: np.random.Generator) -> str:
    return items[int(generator.integers(len(items)))]


def _absent(plan: VideoPlan) -> tuple[list[str], list[str]]:
    """The colours and the shapes that no scene shows."""
    colors = {scene.color for scene in plan.scenes}
    shapes = {scene.shape for scene in plan.scenes}
    return [c for c in COLORS if c not in colors], [s for s in SHAPES if s not in shapes]


# --- Open-ended questions ---


def qa_rows(plan: VideoPlan, generator: np.random.Generator) -> list[Row]:
    """Six questions: two for a colour, two for a shape, one each with the answers yes and no.

    Returns:
        Rows with ``id``, ``question``, ``answer`` and ``answer_type`` (``color``, ``shape`` or ``existence``).
    """
    asked = [(COLOR_QUESTION, scene, scene.color, "color") for scene in _two_scenes(plan, generator)]
    asked += [(SHAPE_QUESTION, scene, scene.shape, "shape") for scene in _two_scenes(plan, generator)]
    drawn = [(_fill(q, color=s.color, shape=s.shape), answer, kind) for q, s, answer, kind in asked]
    present = plan.scenes[int(generator.integers(len(plan.scenes)))]
    pairs = [((present.color, present.shape), "yes"), (_pair_not_shown(plan, generator), "no")]
    for pair, answer in pairs:
        drawn.append((_fill(EXISTENCE_QUESTION, color=pair[0], shape=pair[1]), answer, "existence"))
    return _in_any_order(plan, drawn, generator)


def _in_any_order(plan: VideoPlan, drawn: list[tuple[str, str, str]], generator: np.random.Generator) -> list[Row]:
    """Rows of (question, answer, answer_type), so that neither the order nor the id tells an answer."""
    order = generator.permutation(len(drawn))
    return [
        {
            "id": f"{plan.id}_{number}",
            "question": drawn[index][0],
            "answer": drawn[index][1],
            "answer_type": drawn[index][2],
        }
        for number, index in enumerate(order)
    ]


def _two_scenes(plan: VideoPlan, generator: np.random.Generator) -> list[Scene]:
    return [plan.scenes[index] for index in generator.permutation(len(plan.scenes))[:2]]


def _pair_not_shown(plan: VideoPlan, generator: np.random.Generator) -> tuple[str, str]:
    """A colour and a shape that are not shown together.

    Half the time they come from two scenes, so that seeing both somewhere in the video does not suffice;
    otherwise one of them comes from a scene and the other from none.
    """
    first, second = _two_scenes(plan, generator)
    kind = generator.random()
    if kind < 0.5:
        return first.color, second.shape
    colors, shapes = _absent(plan)
    if kind < 0.75:
        return first.color, _pick(shapes, generator)
    return _pick(colors, generator), first.shape


# --- Which way things move ---


def motion_qa_rows(plan: VideoPlan, generator: np.random.Generator) -> list[Row]:
    """Six questions: four for a direction, by the shape or the colour of what moves, and one each for both of these.

    Returns:
        Rows as those of :func:`qa_rows`, with ``answer_type`` ``motion``, ``color`` or ``shape``.

    Raises:
        DatasetError: If a scene of the video has no direction.
    """
    drawn: list[tuple[str, str, str]] = []
    for question in (SHAPE_MOTION_QUESTION, COLOR_MOTION_QUESTION):
        for scene in _two_scenes(plan, generator):
            if scene.direction is None:
                raise DatasetError(f"{plan.id} was made without motion: nothing in it moves in a direction")
            drawn.append((_fill(question, color=scene.color, shape=scene.shape), scene.direction, "motion"))
    first, second = _two_scenes(plan, generator)
    drawn.append((_fill(COLOR_QUESTION, shape=first.shape), first.color, "color"))
    drawn.append((_fill(SHAPE_QUESTION, color=second.color), second.shape, "shape"))
    return _in_any_order(plan, drawn, generator)


# --- Multiple choice ---


def multiple_choice_rows(plan: VideoPlan, generator: np.random.Generator) -> list[Row]:
    """Six questions with five options: two for a colour, two for a shape, two for what the video shows.

    Returns:
        Rows with ``id``, ``question``, ``options`` and ``answer``, the index of the right option.
    """
    drawn: list[tuple[str, str, list[str]]] = []
    colors, shapes = _absent(plan)
    for scene in _two_scenes(plan, generator):
        others = [other.color for other in plan.scenes if other is not scene]
        wrong = [*others, *generator.permutation(colors).tolist()]
        drawn.append((_fill(COLOR_QUESTION, shape=scene.shape), scene.color, wrong))
    for scene in _two_scenes(plan, generator):
        others = [other.shape for other in plan.scenes if other is not scene]
        wrong = [*others, *generator.permutation(shapes).tolist()]
        drawn.append((_fill(SHAPE_QUESTION, color=scene.color), scene.shape, wrong))
    for scene in _two_scenes(plan, generator):
        drawn.append((CONTENT_QUESTION, _content(scene), _wrong_contents(plan, scene, generator)))
    rows = []
    for number, index in enumerate(generator.permutation(len(drawn))):
        question, right, wrong = drawn[index]
        options = generator.permutation([right, *wrong[: OPTIONS - 1]]).tolist()
        answer = options.index(right)
        rows.append({"id": f"{plan.id}_{number}", "question": question, "options": options, "answer": answer})
    return rows


def _content(scene: Scene) -> str:
    return _fill(CONTENT, color=scene.color, shape=scene.shape)


def _wrong_contents(plan: VideoPlan, scene: Scene, generator: np.random.Generator) -> list[str]:
    """Four false descriptions that share colours and shapes with the video.

    The right one and five wrong ones form a grid of three colours and two shapes, of which one wrong one is
    left out. Each description of the grid is therefore as likely as any other to be the right one;
    wrong options made by changing the right one would give it away as the one closest to all.
    """
    absent_colors, absent_shapes = _absent(plan)
    others = [other for other in plan.scenes if other is not scene]
    order = generator.permutation(len(others))
    # The second shape is not that of the scene that lends the second colour: that pair would be shown.
    shape = others[order[1]].shape if len(others) > 1 else _pick(absent_shapes, generator)
    colors = (scene.color, others[order[0]].color, _pick(absent_colors, generator))
    grid = [(color, s) for color in colors for s in (scene.shape, shape)][1:]
    kept = generator.permutation(len(grid))[: OPTIONS - 1]
    return [_fill(CONTENT, color=grid[index][0], shape=grid[index][1]) for index in kept]


# --- Captions ---


def retrieval_rows(plan: VideoPlan, generator: np.random.Generator, *, captions: int) -> list[Row]:
    """Captions that name all scenes, in different orders.

    Args:
        plan: The video.
        generator: Where the orders come from.
        captions: How many rows, at most one for each order of the scenes.

    Returns:
        Rows with ``id`` and ``caption``, such as ``"a red star , a blue ring"``.
    """
    orders = list(permutations(_content(scene) for scene in plan.scenes))
    chosen = generator.permutation(len(orders))[:captions]
    return [
        {"id": f"{plan.id}_{number}", "caption": SEPARATOR.join(orders[index])} for number, index in enumerate(chosen)
    ]


def pretraining_rows(plan: VideoPlan, generator: np.random.Generator, *, captions: int, fps: int) -> Iterator[Row]:
    """Captions of single scenes with hard negatives.

    Args:
        plan: The video.
        generator: Where the templates and the negatives come from.
        captions: How many rows a scene, at most one for each template.
        fps: Frames per second, for the times.

    Yields:
        Rows with ``id``, ``start`` and ``end`` of the scene in seconds, ``caption``, ``hard_negatives`` (the
        caption with a wrong shape, four times, a wrong colour, three times, or both, three times; false at
        every moment of the video) and ``key_words`` (the words of the caption worth masking).
    """
    for position, scene in enumerate(plan.scenes):
        for number, index in enumerate(generator.permutation(len(SCENE_TEMPLATES))[:captions]):
            template = SCENE_TEMPLATES[index]
            caption = _fill(template, color=scene.color, shape=scene.shape, copies=scene.copies)
            negatives = [
                _fill(template, color=color, shape=shape, copies=scene.copies)
                for color, shape in _hard_negatives(plan, scene, generator)
            ]
            yield {
                "id": f"{plan.id}_{position}_{number}",
                "start": scene.start / fps,
                "end": scene.stop / fps,
                "caption": caption,
                "hard_negatives": negatives,
                "key_words": [word for word in caption.split() if word in KEY_WORDS],
            }


def _hard_negatives(plan: VideoPlan, scene: Scene, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Ten wrong (colour, shape) pairs in random order; picking one at random gives 40 / 30 / 30 %."""
    colors = generator.permutation([c for c in COLORS if c != scene.color]).tolist()
    shapes = generator.permutation([s for s in SHAPES if s != scene.shape]).tolist()
    both = [(c, s) for c in colors for s in shapes if not plan.shows(c, s)]
    chosen = generator.permutation(len(both))[:_WRONG_BOTH]
    pairs = [(scene.color, shape) for shape in shapes[:_WRONG_SHAPES]]
    pairs += [(color, scene.shape) for color in colors[:_WRONG_COLORS]]
    pairs += [both[index] for index in chosen]
    return [pairs[index] for index in generator.permutation(len(pairs))]
