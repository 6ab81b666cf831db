"""Exported models give the scores of the model, in any sizes, and what is not possible is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_inputs import tiny_config

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
)
from clipbert_hf.export import ExportedPairScorer, export_model, exporting
from clipbert_hf.export.__main__ import main
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer
from datasets_scripts.moving_shapes import vocabulary

pytest.importorskip("onnxruntime", reason='needs pip install "clipbert_hf[export]"')
pytest.importorskip("onnxscript", reason='needs pip install "clipbert_hf[export]"')

TEXTS = ["a red circle", "a blue square , a green ring", "is it a star ?"]


def save(folder: Path, model_class=ClipBertForVideoTextRetrieval, **options) -> Path:
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary()]))
    torch.manual_seed(0)
    model = model_class(tiny_config(**options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Far from their beginnings, so that every part matters.
            if "backbone" not in name and parameter.ndim == 2:
                parameter.mul_(4)
    model.save_pretrained(folder)
    ClipBertProcessor.from_pretrained_parts(text=vocab, size={"longest_edge": 128}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("saved"), score_aggregation="lse")


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "onnx"
    main([str(saved), "--format", "onnx", "--output", str(folder)])
    return folder


def videos(number=3, frames=30):
    return list(np.random.default_rng(0).integers(0, 256, (number, frames, 72, 96, 3), dtype=np.uint8))


@torch.no_grad()
def assert_scores_are_those_of_the_model(exported: Path, saved: Path, model_class, tolerance: float) -> None:
    """On other videos and texts, and in other sizes, than those with which it was traced and checked."""
    model = model_class.from_pretrained(saved).eval()
    scorer, ours = ExportedPairScorer(exported, clips_at_once=2, pairs_at_once=4), ClipBertPairScorer(model)
    processor = ClipBertProcessor.from_pretrained(exported)  # the folder is complete
    tokens = processor(text=TEXTS)
    pixels = processor(videos=videos(), num_clips=3)["pixel_values_videos"]
    encoded, wanted = scorer.encode_videos(pixels), ours.encode_videos(pixels)
    torch.testing.assert_close(encoded.tokens, wanted.tokens, rtol=0, atol=1e-4)
    for pairs in (None, torch.tensor([[2, 1], [0, 0], [2, 2]]), torch.tensor([[1, 2]])):
        got = scorer.score_pairs(**tokens, videos=encoded, pairs=pairs)
        expected = ours.score_pairs(**tokens, videos=wanted, pairs=pairs)
        for name in ("logits", "clip_logits", "scores"):
            torch.testing.assert_close(got[name], expected[name], rtol=0, atol=tolerance, msg=name)
    assert ours.score_pairs(**tokens, videos=wanted).logits.std() > 10 * tolerance  # so that equality says something


def test_onnx(exported, saved):
    assert_scores_are_those_of_the_model(exported, saved, ClipBertForVideoTextRetrieval, 1e-4)


def test_what_lies_beside(exported):
    description = json.loads((exported / "clipbert_export.json").read_text())
    assert description["parts"]["vision"]["inputs"] == {
        "pixel_values": {"dtype": "float32", "axes": ["clips", "frames", 3, 128, 128]}
    }
    assert description["parts"]["pairs"]["outputs"]["clip_logits"]["axes"] == ["pairs", "clips", "labels"]
    assert description["parts"]["pairs"]["largest_difference_from_pytorch"] <= 1e-4
    assert {"torch", "transformers", "onnx", "onnxruntime"} <= description["versions"].keys()
    # Each part holds its own weights only: the CNN is not in the pair scorer.
    assert b"grid_backbone" not in (exported / "pairs.onnx").read_bytes()


def test_equal_clips_are_encoded_once(exported):
    scorer = ExportedPairScorer(exported)
    pixels = torch.randn(1, 1, 2, 3, 128, 128).expand(1, 3, -1, -1, -1, -1)
    indices = torch.tensor([[[0, 5]] * 3])
    encoded = scorer.encode_videos(pixels, indices)
    assert len(encoded.tokens) == 1
    torch.testing.assert_close(
        encoded.tokens[encoded.clip_places], scorer.encode_videos(pixels).tokens[None], rtol=0, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.long  # another export
def test_int8_is_close(saved, tmp_path, exported):
    (report,) = export_model(saved, tmp_path / "int8", part="pairs", precision="int8")
    assert report.precision == "int8"
    sizes = [(folder / "pairs.onnx.data").stat().st_size for folder in (tmp_path / "int8", exported)]
    assert sizes[0] < sizes[1]
    encoded = ExportedPairScorer(exported).encode_videos(
        ClipBertProcessor.from_pretrained(saved)(videos=videos())["pixel_values_videos"]
    )
    tokens = ClipBertProcessor.from_pretrained(saved)(text=TEXTS)
    full, small = (
        ExportedPairScorer(each).score_pairs(**tokens, videos=encoded) for each in (exported, tmp_path / "int8")
    )
    assert not torch.equal(full.logits, small.logits)
    torch.testing.assert_close(full.scores, small.scores, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("file_format", "model_class", "options"),
    [
        pytest.param("torch", ClipBertForVideoQuestionAnswering, {}, marks=[pytest.mark.slow, pytest.mark.long]),
        ("openvino", ClipBertForMultipleChoice, {"score_aggregation": "max"}),
        pytest.param("openvino", ClipBertForVideoQuestionAnswering, {}, marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param("torch", ClipBertForMultipleChoice, {}, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_other_formats_and_heads(file_format, model_class, options, tmp_path):
    if file_format == "openvino":
        pytest.importorskip("openvino", reason='needs pip install "clipbert_hf[export]"')
    source = save(tmp_path, model_class, temporal_fusion="conv3d", **options)
    export_model(source, tmp_path / "exported", file_format=file_format)
    assert_scores_are_those_of_the_model(tmp_path / "exported", source, model_class, 1e-4)


def test_a_difference_is_an_error_and_leaves_nothing(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(InvalidInputError, match="vision in the format torch differs from PyTorch by"):
        export_model(saved, tmp_path / "out", file_format="torch", part="vision")
    assert not list(tmp_path.iterdir())


def test_what_is_refused(saved, tmp_path, exported):
    for options, message in (
        ({"file_format": "tflite"}, "format must be one of torch, onnx, openvino; got 'tflite'"),
        ({"precision": "int4"}, "precision must be fp32 or int8; got 'int4'"),
        ({"precision": "int8", "file_format": "torch"}, "int8 is one of the format onnx; got torch"),
        ({"part": "text"}, "part must be one of vision, pairs, all; got 'text'"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            export_model(saved, tmp_path / "out", **options)
    with pytest.raises(InvalidInputError, match="missing holds no model"):
        export_model(tmp_path / "missing", tmp_path / "out")
    with pytest.raises(InvalidInputError, match="output must be a new or empty folder"):
        export_model(saved, exported)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="cannot be written"):
        export_model(saved, tmp_path / "file" / "out")
    with pytest.raises(InvalidInputError, match=r"must hold a model that clipbert_hf\.export wrote"):
        ExportedPairScorer(tmp_path)
    scorer = ExportedPairScorer(exported)
    with pytest.raises(InvalidInputError, match=r"frames of \(3, 128, 128\), .* got \(3, 64, 64\)"):
        scorer.encode_videos(torch.zeros(1, 1, 1, 3, 64, 64))
    with pytest.raises(InvalidInputError, match="pairs must hold places of 1 texts and 1 videos"):
        scorer.score_pairs(
            torch.ones(1, 2, dtype=torch.long),
            videos=EncodedVideos(torch.zeros(1, 4, 32), torch.zeros(1, 1, dtype=torch.long)),
            pairs=torch.tensor([[0, 1]]),
        )


def test_a_missing_package_is_named(saved, tmp_path, monkeypatch, capsys):
    from clipbert_hf.export import writing

    monkeypatch.setitem(writing.PACKAGES, "openvino", ("no_such_package",))
    with pytest.raises(SystemExit):
        main([str(saved), "--format", "openvino", "--output", str(tmp_path / "out")])
    assert capsys.readouterr().err == (
        'error: the format openvino needs no_such_package: pip install "clipbert_hf[export]"\n'
    )
