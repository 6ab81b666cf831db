"""An index of real files: its rows and its ranking against naive computation, its changes and mismatches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from video_indexes import build, rows_of, save_model, write_video

from clipbert_hf import InvalidInputError, retrieval
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.pair_scoring_clipbert import ranking_scores
from clipbert_hf.retrieval import PairScorer
from clipbert_hf.retrieval.index_rows import tokens_of
from clipbert_hf.retrieval.index_table import IndexTable
from clipbert_hf.retrieval.video_index import VideoIndex

pytest.importorskip("lancedb", reason='needs pip install "clipbert_hf[search]"')

TEXT = "Red circles moves?"


def naive_search(
    scorer: PairScorer, videos: dict[str, int], text: str, rerank: int, matching_clips: int
) -> list[tuple[str, float]]:
    """Both scores of all videos, standardised over the best by the first."""
    tokens = scorer.processor(text=[text])
    vectors, kept = scorer.model.embed_texts(**tokens)
    similarities, logits = {}, {}
    for path, clips in videos.items():
        inputs = scorer.processor(text=[[text]], videos=[path], num_clips=clips)
        with torch.no_grad():
            encoded = scorer.core.encode_videos(inputs["pixel_values_videos"])
            of_clips = scorer.model.embed_clips(encoded.tokens)
            similarities[path] = float(contrastive_similarity(vectors, kept, of_clips[None]))
            cosines = vectors[0] @ of_clips.T
            preferred = [*dict.fromkeys(cosines.argmax(1).tolist()), *cosines.mean(0).argsort(descending=True).tolist()]
            chosen = sorted(list(dict.fromkeys(preferred))[:matching_clips])
            inputs["pixel_values_videos"] = inputs["pixel_values_videos"][:, chosen]
            logits[path] = float(ranking_scores(scorer.model(**inputs).logits))
    order = sorted(videos, key=lambda path: -similarities[path])
    best = order[:rerank]
    fused = dict.fromkeys(best, 0.0)
    for scores in (similarities, logits):
        some = [scores[path] for path in best]
        for path in best:
            fused[path] += (scores[path] - np.mean(some)) / np.std(some)
    return [(path, fused[path]) for path in sorted(best, key=lambda path: -fused[path])] + [
        (path, similarities[path]) for path in order[rerank:]
    ]


def clips_of(folder: Path) -> dict[str, int]:
    return {str(folder / f"{seed}.mp4"): 2 for seed in range(5)} | {str(folder / "it's long.mp4"): 21}


def test_rows_are_what_the_model_makes_of_each_video(index, originals):
    assert len(index) == 7
    assert list(index.errors) == [str(originals / "torn.mp4")]
    assert index.report.failed == index.errors
    for path, clips in clips_of(originals).items():
        rows = index.table.read_named([path], [name for name in index.table.schema.names if name != "path"])
        (row,), (stored,) = rows.to_pylist(), tokens_of(rows)
        expected = index.scorer.processor(videos=[path], num_clips=clips, return_metadata=True)
        assert row["clip_seconds"] == expected["clip_seconds"][0].tolist()
        encoded = index.scorer.core.encode_videos(expected["pixel_values_videos"])
        torch.testing.assert_close(stored.tokens[stored.clip_places[0]].float(), encoded.tokens, atol=0.03, rtol=0.01)
        vectors = index.scorer.model.embed_clips(encoded.tokens)
        torch.testing.assert_close(torch.tensor(row["clip_vectors"]), vectors, atol=1e-4, rtol=0)
        torch.testing.assert_close(torch.tensor(row["vector"]), F.normalize(vectors.mean(0), dim=0), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("rerank", "clips"), [(3, 21), (6, 16), (6, 9)])
def test_search_in_stages_is_naive_search(index, originals, rerank, clips):
    """With all 21 clips of the long video, with the default, and with few."""
    found = index.search(TEXT, rerank=rerank, **({} if clips == 16 else {"matching_clips": clips}))
    expected = naive_search(index.scorer, clips_of(originals), TEXT, rerank, clips)
    assert [result.path for result in found] == [path for path, _ in expected]
    assert [result.score for result in found[:rerank]] == pytest.approx([s for _, s in expected[:rerank]], abs=0.1)
    assert [result.similarity for result in found[rerank:]] == pytest.approx(
        [s for _, s in expected[rerank:]], abs=1e-4
    )
    assert [result.matching is None for result in found] == [place >= rerank for place in range(6)]
    vectors, similar, matching = found.stages
    assert (vectors.name, vectors.pairs, similar.name, similar.pairs_with_clips) == ("vectors", 6, "clips", 31)
    assert (matching.name, matching.pairs) == ("matching", rerank)
    assert matching.pairs_with_clips == sum(min(clips_of(originals)[path], clips) for path, _ in expected[:rerank])


def test_the_moments_of_a_text_and_its_words(index, originals):
    (result,) = index.search(TEXT, where="path LIKE '%long%'", rerank=0)
    assert (len(result.words), [moment.word for moment in result.words]) == (3, ["Red", "circles", "moves"])
    tokens = index.scorer.processor(text=[TEXT])
    vectors, _ = index.scorer.model.embed_texts(**tokens)
    inputs = index.scorer.processor(videos=[result.path], num_clips=21, return_metadata=True)
    encoded = index.scorer.core.encode_videos(inputs["pixel_values_videos"])
    cosines = vectors[0] @ index.scorer.model.embed_clips(encoded.tokens).T  # [CLS] red circle ##s moves ? [SEP]
    seconds = inputs["clip_seconds"][0]
    assert [result.start, result.end] == seconds[cosines.mean(0).argmax()].tolist()
    for moment, places in zip(result.words, ([1], [2, 3], [4]), strict=True):
        best = cosines[places].mean(0)
        assert [moment.start, moment.end] == seconds[best.argmax()].tolist()
        assert moment.score == pytest.approx(float(best.max().detach()), abs=1e-4)
    assert result.spans[0].start <= result.start < result.end <= result.spans[0].end


def test_a_video_is_searched_for(index, originals, tmp_path):
    inside, outside = originals / "2.mp4", shutil.copy(originals / "2.mp4", tmp_path / "copy.mp4")
    found = index.search(video=inside, top_k=3)
    assert str(inside) not in [result.path for result in found]
    copies = index.search(video=outside, top_k=3)
    assert copies[0].path == str(inside)
    assert copies[0].similarity == pytest.approx(1, abs=1e-4)
    assert [result.path for result in copies[1:]] == [result.path for result in found[:2]]


def test_weight_zero_matches_nothing(index):
    index.scorer.model.config.score_fusion = {"first_stage_std": 1.0, "matching_std": 1.0, "weight": 0.0}
    try:
        assert [stage.name for stage in index.search(TEXT).stages] == ["vectors", "clips"]
    finally:
        index.scorer.model.config.score_fusion = None


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    assert retrieval.VideoIndex is VideoIndex
    monkeypatch.setattr(retrieval, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"clipbert_hf\[search\]"):
        _ = retrieval.VideoIndex


def test_what_is_no_search(index):
    for message, options in {
        "one of both": {},
        "top_k": {"text": TEXT, "top_k": 0},
        "matching_clips must be at least 1": {"text": TEXT, "matching_clips": 0},
        "where": {"text": TEXT, "where": "colour ="},
        "No field named colour": {"text": TEXT, "where": "colour = 1"},
    }.items():
        with pytest.raises(InvalidInputError, match=message):
            index.search(**options)


def test_columns_of_ones_own(folder, model, tmp_path):
    rows = [{"video": folder / f"{seed}.mp4", "year": 2000 + seed} for seed in range(3)]
    index = VideoIndex.build(rows, tmp_path / "index", model=model, device="cpu")
    found = index.search(TEXT, where="year > 2000")
    assert {result.columns["year"] for result in found} == {2001, 2002}
    rows[0]["year"] = 2020
    report = index.update(rows[:2])
    assert (report.changed, report.removed) == ([str(folder / "0.mp4")], [str(folder / "2.mp4")])
    assert {result.columns["year"] for result in index.search(TEXT)} == {2020, 2001}
    shutil.move(folder / "0.mp4", folder / "elsewhere.mp4")
    assert index.update().removed == [str(folder / "0.mp4")]
    shutil.move(folder / "1.mp4", folder / "0.mp4")
    with pytest.raises(InvalidInputError, match="none of the files"):
        index.update()
    assert len(index) == 1
    with pytest.raises(InvalidInputError, match="columns \\['title'\\], which the index was made without"):
        index.update([{"video": folder / "0.mp4", "title": "x"}])
    with pytest.raises(InvalidInputError, match="columns \\['size'\\] of its own"):
        VideoIndex.build([{"video": folder / "0.mp4", "size": 1}], tmp_path / "other", model=model, device="cpu")


def test_files_change_come_and_go(folder, model, tmp_path):
    build(folder, tmp_path / "index", model)
    write_video(folder / "0.mp4", 10)
    write_video(folder / "sub" / "new.mp4", 11)
    shutil.copy(folder / "3.mp4", folder / "torn.mp4")
    (folder / "1.mp4").unlink()
    os.utime(folder / "2.mp4", (1, 1))
    index = VideoIndex.open(tmp_path / "index", device="cpu")
    report = index.update()
    assert report.added == [str(folder / "sub" / "new.mp4")]
    assert report.changed == [str(folder / "0.mp4"), str(folder / "torn.mp4")]
    assert report.removed == [str(folder / "1.mp4")]
    assert (report.unchanged, report.failed, index.errors) == (4, {}, {})
    VideoIndex.build(folder, tmp_path / "fresh", model=model, device="cpu", clip_every=1)
    assert rows_of(tmp_path / "index") == rows_of(tmp_path / "fresh")
    report = index.update()
    assert (report.added, report.changed, report.removed, report.unchanged) == ([], [], [], 7)


def test_moved_and_copied_files_are_known_by_their_content(folder, model, tmp_path, monkeypatch):
    rows = [{"video": folder / f"{seed}.mp4", "year": 2000 + seed} for seed in range(3)]
    index = VideoIndex.build(rows, tmp_path / "index", model=model, device="cpu")
    before = rows_of(tmp_path / "index")
    with monkeypatch.context() as patch:
        patch.setattr(index._encoder, "_decode", None)  # what was decoded now would fail
        (folder / "sub").mkdir()
        shutil.move(folder / "0.mp4", folder / "sub" / "new.mp4")
        shutil.copy(folder / "1.mp4", folder / "copy.mp4")
        report = index.update([{"video": folder / name} for name in ("sub/new.mp4", "1.mp4", "copy.mp4", "2.mp4")])
    assert report.moved == {str(folder / "sub/new.mp4"): str(folder / "0.mp4")}
    assert report.added == [str(folder / "copy.mp4")]
    assert (report.removed, report.changed, report.unchanged) == ([str(folder / "0.mp4")], [], 2)
    after = rows_of(tmp_path / "index")
    assert after == {
        **{"new.mp4": before["0.mp4"], "1.mp4": before["1.mp4"], "2.mp4": before["2.mp4"]},
        "copy.mp4": before["1.mp4"] | {"year": None},
    }
    shutil.move(folder / "1.mp4", folder / "aside")  # two that take each other's name
    shutil.move(folder / "2.mp4", folder / "1.mp4")
    shutil.move(folder / "aside", folder / "2.mp4")
    assert index.update().changed == [str(folder / "1.mp4"), str(folder / "2.mp4")]
    swapped = rows_of(tmp_path / "index")
    assert swapped["1.mp4"] == before["2.mp4"] | {"year": 2001}
    assert swapped["2.mp4"] == before["1.mp4"] | {"year": 2002}


def test_building_again_notices_a_video_that_was_replaced(folder, model, tmp_path):
    videos = [folder / "0.mp4", folder / "1.mp4"]
    VideoIndex.build(videos, tmp_path / "index", model=model, device="cpu")
    write_video(folder / "0.mp4", 10)
    report = VideoIndex.build(videos, tmp_path / "index", model=model, device="cpu").report
    assert (report.added, report.changed, report.unchanged) == ([], [str(folder / "0.mp4")], 1)
    VideoIndex.build(videos, tmp_path / "fresh", model=model, device="cpu")
    assert rows_of(tmp_path / "index") == rows_of(tmp_path / "fresh")


def test_another_model_or_other_options_are_refused(index, model, originals, tmp_path):
    uri = tmp_path / "index"
    videos = [originals / "0.mp4"]
    VideoIndex.build(videos, uri, model=model, device="cpu")
    other = save_model(tmp_path / "other", seed=1, contrastive_size=8)
    with pytest.raises(InvalidInputError, match="made with other weights"):
        VideoIndex.open(uri, model=other, device="cpu")
    with pytest.raises(InvalidInputError, match="made with other preprocessing"):
        VideoIndex.build(videos, uri, model=model, device="cpu", num_clips=3)
    with pytest.raises(InvalidInputError, match=r"clip_every: the index at .* was made with None, not 2"):
        VideoIndex.build(videos, uri, model=model, device="cpu", clip_every=2)
    with pytest.raises(InvalidInputError, match="there is no index at"):
        VideoIndex.open(tmp_path / "nothing")


def test_without_vectors_all_videos_are_matched(originals, tmp_path):
    model = save_model(tmp_path / "model")
    index = build(originals, tmp_path / "index", model)
    with pytest.warns(UserWarning, match=r"all 6 videos: 31 pairs of text and clip, about \d"):
        found = index.search(TEXT, top_k=4)
    scores = {}
    for path, clips in clips_of(originals).items():
        with torch.no_grad():
            inputs = index.scorer.processor(text=[[TEXT]], videos=[path], num_clips=clips)
            scores[path] = float(ranking_scores(index.scorer.model(**inputs).logits))
    assert [result.path for result in found] == sorted(scores, key=lambda path: -scores[path])[:4]
    assert [result.score for result in found] == pytest.approx(sorted(scores.values(), reverse=True)[:4], abs=0.1)
    with pytest.raises(InvalidInputError, match="no vectors"):
        index.search(video=originals / "0.mp4")
    with pytest.warns(UserWarning, match="all 1 videos"):
        assert len(index.search(TEXT, where="path LIKE '%long%'")) == 1
    assert len(index.search(TEXT, where="path = 'nothing'")) == 0


def test_many_videos_are_found_by_the_approximate_index(index, monkeypatch, tmp_path):
    """Synthetic vectors: the index finds what comparing all of them finds."""
    monkeypatch.setattr("clipbert_hf.retrieval.index_table._INDEXED_FROM", 1000)
    table = IndexTable.create(tmp_path, 8, index.table.schema.empty_table().select([]).schema, {}, {})
    vectors = F.normalize(torch.randn(1500, 8, generator=torch.Generator().manual_seed(0)), dim=-1).numpy()
    facts = {"content_hash": "", "size": 0, "modified": 0}
    table.write([{**facts, "path": f"{place:04d}", "vector": vector.tolist()} for place, vector in enumerate(vectors)])
    table.write([{**facts, "path": "unreadable", "error": "no such file"}])
    table.finish()
    assert len(list(table._table.list_indices())) == 2
    query = vectors[7]
    found = table.nearest(query, ["path"], 20, None)["path"].to_pylist()
    exact = [f"{place:04d}" for place in np.argsort(-(vectors @ query), kind="stable")[:20]]
    assert found[0] == "0007"
    assert len(set(found) & set(exact)) >= 19


def test_vectors_that_are_no_numbers_are_refused(folder, model, tmp_path):
    scorer = PairScorer.from_pretrained(model)
    with torch.no_grad():
        scorer.model.contrastive.clip_projection.bias.fill_(float("nan"))
    with pytest.raises(InvalidInputError, match="vectors that are no numbers"):
        VideoIndex.build(folder, tmp_path / "index", model=scorer)
