"""Captions and questions of MovingShapes are true, and nothing is answered by the text alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import NAMED_RGB, SINGULAR, rng, shown, words_of

from datasets_scripts.moving_shapes import Scene, VideoPlan, vocabulary
from datasets_scripts.moving_shapes.scenes import plan_split
from datasets_scripts.moving_shapes.text import (
    multiple_choice_rows,
    pretraining_rows,
    qa_rows,
    retrieval_rows,
)

HAND_PLAN = VideoPlan(
    split="test",
    number=7,
    scenes=(
        Scene(color="orange", shape="cross", copies=2, start=0, stop=10),
        Scene(color="blue", shape="ring", copies=1, start=10, stop=32),
    ),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), bounds=st.tuples(st.integers(2, 5), st.integers(2, 5)).map(lambda x: sorted(x)))
def test_texts_are_true_of_their_video(seed: int, bounds: list[int]) -> None:
    for plan in plan_split(split="validation", count=4, seed=seed, scenes=(bounds[0], bounds[1])):
        check_texts(plan, rng(seed))


def check_texts(plan: VideoPlan, generator: np.random.Generator) -> None:
    """All texts of a video are true, where they should be, and use known words."""
    known = set(vocabulary())
    for row in qa_rows(plan, generator):
        assert row["answer"] == true_answer(plan, row["question"])
        assert set(row["question"].split()) | {row["answer"]} <= known
    for row in multiple_choice_rows(plan, generator):
        assert len(set(row["options"])) == 5
        truth = [is_right(plan, row["question"], option) for option in row["options"]]
        assert truth == [index == row["answer"] for index in range(5)], row
        assert set(" ".join([row["question"], *row["options"]]).split()) <= known
    for row in retrieval_rows(plan, generator, captions=3):
        assert {words_of(part) for part in row["caption"].split(" , ")} == shown(plan)
        assert set(row["caption"].split()) <= known
    for row in pretraining_rows(plan, generator, captions=7, fps=4):
        check_pretraining_row(plan, row)
        assert set(" ".join([row["caption"], *row["hard_negatives"]]).split()) <= known


def true_answer(plan: VideoPlan, question: str) -> str:
    """Answer by looking at the plan, as a person would at the video."""
    words = question.split()
    if words[0] == "is":
        return "yes" if words_of(question) in shown(plan) else "no"
    if words[1] == "color":
        return {shape: color for color, shape in shown(plan)}[words[-2]]
    return dict(shown(plan))[words[-2]]


def is_right(plan: VideoPlan, question: str, option: str) -> bool:
    if question == "what can be seen ?":
        return words_of(option) in shown(plan)
    return option == true_answer(plan, question)


def check_pretraining_row(plan: VideoPlan, row: dict[str, Any]) -> None:
    (scene,) = [scene for scene in plan.scenes if scene.start / 4 == row["start"]]
    assert row["end"] == scene.stop / 4
    assert words_of(row["caption"]) == (scene.color, scene.shape)
    number = {"one": 1, "two": 2, "three": 3}
    assert all(number[word] == scene.copies for word in row["caption"].split() if word in number)
    kinds: Counter[tuple[bool, bool]] = Counter()
    for negative in row["hard_negatives"]:
        color, shape = words_of(negative)
        assert (color, shape) not in shown(plan)
        kinds[color != scene.color, shape != scene.shape] += 1
    assert kinds == {(False, True): 4, (True, False): 3, (True, True): 3}
    assert len(set(row["hard_negatives"])) == 10
    key = [word for word in row["caption"].split() if word in {*NAMED_RGB, *SINGULAR, *number}]
    assert row["key_words"] == key


def test_texts_of_a_video_by_hand() -> None:
    questions = {(row["question"], row["answer"], row["answer_type"]) for row in qa_rows(HAND_PLAN, rng())}
    assert {
        ("what color is the cross ?", "orange", "color"),
        ("what color is the ring ?", "blue", "color"),
        ("what shape is orange ?", "cross", "shape"),
        ("what shape is blue ?", "ring", "shape"),
    } < questions
    existence = sorted(answer for _, answer, kind in questions if kind == "existence")
    assert existence == ["no", "yes"]
    captions = {row["caption"] for row in retrieval_rows(HAND_PLAN, rng(), captions=6)}
    assert captions == {"an orange cross , a blue ring", "a blue ring , an orange cross"}
    rows = list(pretraining_rows(HAND_PLAN, rng(), captions=7, fps=4))
    assert [row["caption"] for row in sorted(rows[:7], key=lambda row: row["caption"])] == [
        "an orange cross",
        "the color of the cross is orange",
        "the cross is orange",
        "the shape is a cross and the color is orange",
        "there are two crosses and the color is orange",
        "there are two orange crosses",
        "two orange crosses",
    ]
    assert {(row["start"], row["end"]) for row in rows[7:]} == {(2.5, 8.0)}
    assert "there is one blue ring" in {row["caption"] for row in rows[7:]}
    assert rows[0]["id"] == "test_00007_0_0"


# --- Nothing is answered by the text alone ---


def blind_accuracy(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> float:
    """Always give a question's most frequent training answer."""
    seen: dict[str, Counter[str]] = {}
    for row in train:
        seen.setdefault(row["question"], Counter())[row["answer"]] += 1
    right = [seen[row["question"]].most_common(1)[0][0] == row["answer"] for row in test]
    return float(np.mean(right))


def test_open_ended_questions_need_the_video(plans: list[VideoPlan], held_out: list[VideoPlan]) -> None:
    train = [row for plan in plans for row in qa_rows(plan, rng(plan.number))]
    test = [row for plan in held_out for row in qa_rows(plan, rng(plan.number))]
    assert blind_accuracy(train, test) < 0.32  # 26.4 % by chance
    for kind, share in (("color", 1 / 8), ("shape", 1 / 6), ("existence", 1 / 2)):
        answers = Counter(row["answer"] for row in train if row["answer_type"] == kind)
        assert len(answers) == round(1 / share)
        assert all(abs(count / 3000 - share) < 0.03 for count in answers.values()), answers
        of_kind = [row for row in test if row["answer_type"] == kind]
        assert abs(blind_accuracy(train, of_kind) - share) < 0.07
    # The place of a question within its video says nothing either.
    yes = Counter(row["id"][-1] for row in train if row["answer"] == "yes")
    assert max(yes.values()) < 1.3 * min(yes.values())


def test_half_of_the_no_questions_mix_two_scenes(plans: list[VideoPlan]) -> None:
    mixed = []
    for plan in plans:
        (question,) = [row["question"] for row in qa_rows(plan, rng(plan.number)) if row["answer"] == "no"]
        color, shape = words_of(question)
        scenes = plan.scenes
        mixed.append(color in {s.color for s in scenes} and shape in {s.shape for s in scenes})
    assert abs(np.mean(mixed) - 0.5) < 0.05


def guesses(row: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Ways to choose an option without a video."""
    options = [set(option.split()) for option in row["options"]]
    overlap = [sum(len(option & other) for other in options) for option in options]
    yield "closest to the others", int(np.argmax(overlap))
    yield "furthest from the others", int(np.argmin(overlap))
    yield "first", 0
    yield "last", 4
    yield "alphabetic", row["options"].index(min(row["options"]))


def test_multiple_choice_needs_the_video(plans: list[VideoPlan]) -> None:
    right: dict[tuple[str, str], list[bool]] = {}
    for plan in plans:
        for row in multiple_choice_rows(plan, rng(plan.number)):
            kind = row["question"].split()[1]
            for name, guess in guesses(row):
                right.setdefault((kind, name), []).append(guess == row["answer"])
    assert {kind for kind, _ in right} == {"color", "shape", "can"}
    for key, hits in right.items():
        assert abs(np.mean(hits) - 0.2) < 0.035, (key, np.mean(hits))


def test_wrong_descriptions_share_colors_and_shapes_with_the_video(plans: list[VideoPlan]) -> None:
    for plan in plans[:200]:
        for row in multiple_choice_rows(plan, rng(plan.number)):
            if row["question"] == "what can be seen ?":
                parts = [words_of(option) for option in row["options"]]
                assert len({color for color, _ in parts}) == 3
                assert len({shape for _, shape in parts}) == 2
                assert sum(color in {s.color for s in plan.scenes} for color, _ in parts) >= 3
