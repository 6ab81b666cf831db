"""From texts and video files to scores and ranks, against the model called by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_inputs import tiny_config
from torch import nn

from clipbert_hf import (
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertModel,
    InvalidInputError,
    VideoDecodeError,
)
from clipbert_hf.retrieval import PairScorer, pair_scorer

TEXTS = ["what is it ?", "what color", "what shape is it ? what color is it ?"]


def frames(seed: int, number: int = 30, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def scorer(saved) -> PairScorer:
    return PairScorer.from_pretrained(saved, device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def expected(scorer):
    """Scores of texts with videos by the model itself."""

    def by_hand(texts, videos):
        columns = []
        for video in videos:
            inputs = scorer.processor(text=[texts], videos=[video])
            with torch.no_grad():
                columns.append(scorer.model(**inputs).scores.numpy())
        return np.stack(columns, axis=1)

    return by_hand


def test_every_text_with_every_video(scorer, expected, monkeypatch):
    """More videos than are scored together, one of them shorter than a clip."""
    monkeypatch.setattr(pair_scorer, "_VIDEOS_AT_ONCE", 2)
    monkeypatch.setattr(pair_scorer, "_TEXTS_AT_ONCE", 2)
    videos = [frames(0), frames(1, number=1), frames(2), frames(3), frames(4)]
    scores = scorer.score(TEXTS, videos, show_progress_bar=True)
    assert scores.shape == (3, 5)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected(TEXTS, videos), atol=1e-5)
    assert scores.std() > 1e-3
    encoded = scorer.encode(videos)
    assert [len(video.tokens) for video in encoded] == [3, 1, 3, 3, 3]
    np.testing.assert_allclose(scorer.score(TEXTS, encoded), scores, atol=1e-6)
    np.testing.assert_allclose(scorer.score(TEXTS[0], encoded[1]), scores[:1, 1:2], atol=1e-6)
    joined = scorer.core.encode_videos(torch.cat([scorer.processor(videos=[v])["pixel_values_videos"] for v in videos]))
    np.testing.assert_allclose(scorer.score(TEXTS, joined), scores, atol=1e-5)


def test_videos_of_different_grids(saved, tmp_path):
    scorer = PairScorer.from_pretrained(saved, device="cpu", do_pad=False, size={"longest_edge": 128})
    videos = [frames(0), frames(1, height=64, width=64), frames(2, height=64, width=32)]
    scores = scorer.score(TEXTS, videos)
    for place, video in enumerate(videos):
        inputs = scorer.processor(text=[TEXTS], videos=[video], do_pad=False, size={"longest_edge": 128})
        with torch.no_grad():
            np.testing.assert_allclose(scores[:, place], scorer.model(**inputs).scores.numpy(), atol=1e-5)


def test_a_processor_may_hand_over_bytes(scorer, saved):
    of_bytes = PairScorer.from_pretrained(saved, device="cpu", pixel_dtype="uint8")
    videos = [frames(0), frames(1)]
    np.testing.assert_allclose(of_bytes.score(TEXTS, videos), scorer.score(TEXTS, videos), atol=1e-5)


def test_named_pairs(scorer, expected, monkeypatch):
    decoded = []
    decode = PairScorer._decode
    monkeypatch.setattr(PairScorer, "_decode", lambda self, video: decoded.append(video) or decode(self, video))
    monkeypatch.setattr(pair_scorer, "_VIDEOS_AT_ONCE", 2)
    videos = [frames(seed) for seed in range(3)]
    places = [(0, 2), (1, 0), (0, 0), (2, 1), (0, 2)]
    scores = scorer.predict([(TEXTS[text], videos[video]) for text, video in places])
    matrix = expected(TEXTS, videos)
    np.testing.assert_allclose(scores, [matrix[place] for place in places], atol=1e-5)
    assert len(decoded) == 3
    single = scorer.predict((TEXTS[1], videos[0]))
    assert np.shape(single) == ()
    np.testing.assert_allclose(single, matrix[1, 0], atol=1e-5)


def test_ranks(scorer, expected):
    videos = [frames(seed) for seed in range(5)]
    scores = expected(TEXTS[:1], videos)[0]
    ranked = scorer.rank(TEXTS[0], videos, top_k=3)
    assert [each["corpus_id"] for each in ranked] == np.argsort(-scores)[:3].tolist()
    np.testing.assert_allclose([each["score"] for each in ranked], np.sort(scores)[::-1][:3], atol=1e-5)
    assert len(scorer.rank(TEXTS[0], videos)) == 5


def test_probabilities_rounded_to_one_are_no_ties(saved):
    scorer = PairScorer.from_pretrained(saved, device="cpu")
    with torch.no_grad():
        scorer.model.classifier[2].bias.copy_(torch.tensor([-60.0, 60.0]))
    videos = [frames(seed) for seed in range(5)]
    ranked = scorer.rank(TEXTS[0], videos)
    assert {each["score"] for each in ranked} == {1.0}
    logits = [scorer.model(**scorer.processor(text=TEXTS[0], videos=[video])).logits.diff().item() for video in videos]
    assert [each["corpus_id"] for each in ranked] == np.argsort(-np.array(logits)).tolist()


def test_paths_and_bf16(saved, tmp_path):
    """A path that occurs twice is decoded once; bf16 is close."""
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in frames(0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    exact = PairScorer.from_pretrained(saved, device="cpu").predict([(TEXTS[0], path), (TEXTS[1], str(path))])
    fast = PairScorer.from_pretrained(saved, device="cpu", dtype=torch.bfloat16).score(TEXTS[:2], [path])
    np.testing.assert_allclose(fast[:, 0], exact, atol=0.05)


def test_other_tasks(tmp_path, scorer):
    model = ClipBertForVideoQuestionAnswering(tiny_config())
    answers = PairScorer(model, scorer.processor)
    assert answers.score(TEXTS, [frames(0), frames(1)]).shape == (3, 2, 5)
    assert answers.predict([(TEXTS[0], frames(0))]).shape == (1, 5)
    with pytest.raises(InvalidInputError, match="no single score"):
        answers.rank(TEXTS[0], [frames(0)])


def test_wrong_input_gives_one_clear_error(scorer, saved, tmp_path):
    video = frames(0)
    calls = {
        "at least one video": lambda: scorer.score(TEXTS, []),
        "at least one text": lambda: scorer.score([], [video]),
        "text that is not empty": lambda: scorer.score([" "], [video]),
        r"at least one \(text, video\)": lambda: scorer.predict([]),
        r"pairs must be \(text, video\)": lambda: scorer.predict([(video, "what")]),
        "one video each": lambda: scorer.predict(
            [("what", scorer.core.encode_videos(torch.zeros(2, 1, 1, 3, 64, 64)))]
        ),
        "top_k": lambda: scorer.rank("what", [video], top_k=0),
        "one text": lambda: scorer.rank(TEXTS, [video]),
        "batch_size": lambda: PairScorer(scorer.model, scorer.processor, batch_size=0),
    }
    for message, call in calls.items():
        with pytest.raises(InvalidInputError, match=message):
            call()
    with pytest.raises(VideoDecodeError, match="nothing"):
        scorer.score(TEXTS, [video, str(tmp_path / "nothing.mp4")])
    ClipBertModel(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="ClipBertModel"):
        PairScorer.from_pretrained(tmp_path)


def test_training_mode_is_left(scorer):
    model = ClipBertForVideoTextRetrieval(tiny_config()).train()
    assert isinstance(PairScorer(model, scorer.processor).model, nn.Module)
    assert not model.training


def test_stages_order_as_their_clips_do(scorer, monkeypatch):
    """Against clips scored by hand; the last stage's videos are ordered by all their clips, like exhaustive scoring."""
    monkeypatch.setattr(pair_scorer, "_VIDEOS_AT_ONCE", 2)
    videos = [frames(seed) for seed in range(4)]
    pixels = [scorer.processor(videos=[video], num_clips=4)["pixel_values_videos"] for video in videos]
    encoded = [scorer.core.encode_videos(some) for some in pixels]
    clips = np.empty((len(TEXTS), 4, 4))
    for column, some in enumerate(pixels):
        with torch.no_grad():
            inputs = scorer.processor(text=TEXTS)
            logits = scorer.model(**inputs, pixel_values_videos=some, texts_per_video=[len(TEXTS)]).clip_logits
        clips[:, column] = (logits[..., 1] - logits[..., 0]).numpy()
    found = scorer.score_in_stages(TEXTS, encoded, shares=[0.75, 0.5])
    assert (found.pairs, found.exhaustive_pairs) == (3 * (4 + 3 + 2 * 2), 3 * 4 * 4)
    for text in range(3):
        kept = np.argsort(-clips[text, :, 2], kind="stable")[:3]
        kept = kept[np.argsort(-clips[text, kept][:, [2, 0]].mean(1), kind="stable")]
        last = kept[:2][np.argsort(-clips[text, kept[:2]].mean(1), kind="stable")]
        assert np.argsort(-found.scores[text], kind="stable")[:2].tolist() == last.tolist()
    with pytest.raises(InvalidInputError, match="2 falling numbers"):
        scorer.score_in_stages(TEXTS, encoded, shares=[0.5])
    with pytest.raises(InvalidInputError, match="one number of clips"):
        scorer.score_in_stages(TEXTS, [encoded[0], encoded[1].select([0], [0, 1])], shares=[0.75, 0.5])
