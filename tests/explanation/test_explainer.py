"""Explanations are those of the model: naive forwards, one at a time, give the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from reference_inputs import tiny_config

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
)
from clipbert_hf.explanation import Explainer, write_heat_maps, write_timeline
from clipbert_hf.explanation.__main__ import main
from clipbert_hf.explanation.attention import rollout

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "color", "is", "it", "?", "red"]
ANSWERS = ["red", "blue", "green"]
HEIGHT, WIDTH = 48, 96  # 32x64 of 64x64


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> ClipBertProcessor:
    vocab = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab.write_text("\n".join(WORDS))
    return ClipBertProcessor.from_pretrained_parts(
        text=vocab, size={"longest_edge": 64}, num_clips=4, num_frames=2, image_std=[58.0] * 3
    )


@pytest.fixture(scope="module")
def video() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, HEIGHT, WIDTH, 3), dtype=np.uint8)


def make(model_class: Any = ClipBertForVideoQuestionAnswering, **options: Any) -> Any:
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    options = (labels if model_class is ClipBertForVideoQuestionAnswering else {}) | options
    return model_class(tiny_config(initializer_range=0.3, **options)).eval()


@pytest.mark.parametrize("aggregation", ["mean", "max", "lse"])
def test_what_each_clip_says(aggregation: str, processor: ClipBertProcessor, video: np.ndarray) -> None:
    model = make(score_aggregation=aggregation, calibration_temperature=2.0)
    why = Explainer(model, processor).explain(video, "what is it ?")
    with torch.no_grad():
        output = model(**processor(text="what is it ?", videos=video))
    best = int(output.logits[0].argmax())
    assert why.answer == ANSWERS[best]
    assert why.score == pytest.approx((output.logits[0] / 2).softmax(-1)[best].item(), abs=1e-5)
    of_answers = dict(zip(ANSWERS, (output.logits[0] / 2).softmax(-1).tolist(), strict=True))
    assert [answer for answer, _ in why.ranked] == sorted(ANSWERS, key=lambda answer: -of_answers[answer])
    assert dict(why.ranked) == pytest.approx(of_answers, abs=1e-5)
    probabilities = (output.clip_logits[0] / 2).softmax(-1)
    assert [clip.score_of_chosen for clip in why.clips] == pytest.approx(probabilities[:, best].tolist(), abs=1e-5)
    assert [clip.answer for clip in why.clips] == [ANSWERS[place] for place in probabilities.argmax(-1)]
    assert sum(clip.share for clip in why.clips) == pytest.approx(1)
    assert set(why.to_dict()["clips"][0]) == {"start", "end", "answer", "score", "score_of_chosen", "share"}
    # 40 frames at 25 fps, two frames at 2 fps: clips of 24 frames begin at 0, 4, 8 and 12.
    assert all(0 <= clip.start < clip.end <= 1.6 for clip in why.clips)
    other = ANSWERS[(best + 1) % 3]
    assert Explainer(model, processor).explain(video, "what is it ?", answer=other).answer == other


def naive_occlusion(model: Any, inputs: Any, clip: int, answer: int, *, log_odds: bool) -> np.ndarray:
    """Covered squares of 16 px, 8 px apart, on the 32x64 picture, one forward each."""

    def measure(pixels: torch.Tensor) -> float:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        with torch.no_grad():
            logits = model(ids, mask, pixels[None, None]).clip_logits[0, 0]
        others = [place for place in range(len(logits)) if place != answer]
        return (logits[answer] - (logits[others].logsumexp(0) if log_odds else 0)).item()

    pixels = inputs["pixel_values_videos"][0, clip]
    total, count = np.zeros((32, 64)), np.zeros((32, 64))
    for top in range(0, 17, 8):
        for left in range(0, 49, 8):
            covered = pixels.clone()
            covered[:, :, top : top + 16, left : left + 16] = 0
            total[top : top + 16, left : left + 16] += measure(pixels) - measure(covered)
            count[top : top + 16, left : left + 16] += 1
    return total / count


@pytest.mark.parametrize("measure", ["logit", "log_odds"])
def test_occlusion_is_that_of_single_forwards(measure: Any, processor: ClipBertProcessor, video: np.ndarray) -> None:
    model = make()
    explainer = Explainer(model, processor)
    why = explainer.explain(video, "what color is it ?")
    heat = explainer.occlusion(why, 2, measure=measure, batch_size=5)
    assert heat.shape == (HEIGHT, WIDTH)
    inputs = processor(text="what color is it ?", videos=video)
    expected = naive_occlusion(model, inputs, 2, ANSWERS.index(why.answer), log_odds=measure == "log_odds")
    # Pixel (y, x) of the frame lies at 2/3 of its place; the corners of 8 px blocks are far from any border.
    for row, column in ((1, 1), (6, 30), (22, 70), (40, 90)):
        assert heat[row, column] == pytest.approx(expected[int((row + 0.5) / 1.5), int((column + 0.5) / 1.5)], abs=1e-4)
    assert heat == pytest.approx(explainer.occlusion(why, 2, measure=measure), abs=1e-4)


def test_attention_is_that_of_the_model(processor: ClipBertProcessor, video: np.ndarray) -> None:
    model = make()
    explainer = Explainer(model, processor)
    size = {"longest_edge": 128}  # 2x2 cells, the lower two padding
    why = explainer.explain(video, "what color is it ?", size=size)
    inputs = processor(text="what color is it ?", videos=video, size=size)
    pixels, tokens = inputs.pop("pixel_values_videos")[:, 1:2], inputs["input_ids"].shape[1]
    implementation = model.config._attn_implementation
    last = explainer.attention_grid(why, 1, method="last_layer")
    rolled = explainer.attention_grid(why, 1)
    assert model.config._attn_implementation == implementation
    eager = make(attn_implementation="eager")
    with torch.no_grad():
        layers = eager(**inputs, pixel_values_videos=pixels, output_attentions=True).attentions
        cells = eager.get_grid_features(pixels).shape[3:5]
    assert last.shape == rolled.shape == tuple(cells) == (2, 2)
    expected = layers[-1][0].mean(0)[0, tokens:]
    assert last.ravel() == pytest.approx((expected / expected.sum()).numpy(), abs=1e-5)
    mixed = np.eye(layers[0].shape[-1])
    for layer in layers:
        weights = layer[0].mean(0).double().numpy()
        mixed = (0.5 * weights + 0.5 * np.eye(len(weights))) @ mixed
    of_cells = mixed[0, tokens:]
    assert rolled.ravel() == pytest.approx(of_cells / of_cells.sum(), abs=1e-5)
    on_frame = explainer.attention(why, 1)
    assert on_frame.shape == (HEIGHT, WIDTH)
    assert on_frame[:, [0, -1]].mean(0) == pytest.approx(rolled[0], abs=1e-5)
    assert why.geometry.share_on_padding(rolled) == pytest.approx(rolled[1].sum())


def test_rollout_rows_add_up() -> None:
    layers = [torch.rand(5, 5).softmax(-1) for _ in range(3)]
    assert rollout(layers).sum(-1).tolist() == pytest.approx([1] * 5)


def test_choices_and_matches(processor: ClipBertProcessor, video: np.ndarray, tmp_path: Path) -> None:
    choose = Explainer(make(ClipBertForMultipleChoice), processor)
    why = choose.explain(video, "what ?", choices=["red", "it", "color"])
    with torch.no_grad():
        logits = choose.model(**processor(text="what ?", videos=video, choices=[["red", "it", "color"]])).logits[0]
    assert why.answer == ["red", "it", "color"][int(logits.argmax())]
    for loss in ("cross_entropy", "rank"):
        match = Explainer(make(ClipBertForVideoTextRetrieval, retrieval_loss=loss), processor)
        found = match.explain(video, "red")
        with torch.no_grad():
            score = match.model(**processor(text="red", videos=video)).scores[0].item()
        assert (found.answer, found.score) == ("match", pytest.approx(score, abs=1e-5))
        assert dict(found.ranked) == pytest.approx({"match": score, "no match": 1 - score}, abs=1e-5)
        assert {clip.answer for clip in found.clips} <= {"match", "no match"}
        against = match.explain(video, "red", answer="no match")
        assert match.occlusion(against, 0) == pytest.approx(-match.occlusion(found, 0), abs=1e-5)
    for explainer, each in ((choose, why), (match, found)):
        assert explainer.occlusion(each, 0).shape == explainer.attention(each, 0).shape == (HEIGHT, WIDTH)
        write_timeline(explainer, each, tmp_path / "a.png")
        assert Image.open(tmp_path / "a.png").width == 1500


def test_pictures_and_the_command(
    processor: ClipBertProcessor, video: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for place, frame in enumerate(video):
        Image.fromarray(frame).save(tmp_path / f"{place:02}.png")
    frames = tmp_path / "frames"
    frames.mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(frames / path.name)
    plots = [str(tmp_path / name) for name in ("when.png", "where.png")]
    main(
        [
            str(tmp_path),
            str(frames),
            "what $ is _ it ?",
            "--plot",
            plots[0],
            "--attention",
            plots[1],
            "--num_clips",
            "2",
        ]
    )
    assert '"deciding_clips"' in capsys.readouterr().out
    for path in plots:
        assert np.asarray(Image.open(path).convert("L")).std() > 10
    explainer = Explainer(model, processor)
    why = explainer.explain(frames, "what ?")
    write_heat_maps(explainer, why, tmp_path / "again.png", window=0.5, step=0.5)
    assert np.array_equal(explainer.frames(why, [0])[0], video[why.clips[0].frame])


def test_wrong_input(processor: ClipBertProcessor, video: np.ndarray) -> None:
    explainer = Explainer(make(), processor)
    why = explainer.explain(video, "what ?")
    for message, call in {
        "must be for question answering": lambda: Explainer(make(ClipBertForVideoRegression), processor),
        "choices belong to a model for multiple choice": lambda: explainer.explain(video, "what ?", choices=["a", "b"]),
        "answer must be one of the model's .'red', 'blue', 'green', ….; got 'pink'": lambda: explainer.explain(
            video, "what ?", answer="pink"
        ),
        "clip must be from 0 to 3; got 4": lambda: explainer.attention(why, 4),
        "method must be one of rollout, last_layer": lambda: explainer.attention(why, method="gradient"),  # type: ignore[arg-type]
        "measure must be one of logit, log_odds": lambda: explainer.occlusion(why, measure="loss"),  # type: ignore[arg-type]
        "batch_size must be at least 1": lambda: explainer.occlusion(why, batch_size=0),
    }.items():
        with pytest.raises(InvalidInputError, match=message):
            call()
