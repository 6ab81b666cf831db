"""An index of real files: its rows and its ranking against naive computation, its changes, kills and mismatches."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from accelerate import PartialState
from forked_runs import fork_context, run_together
from torch.nn import functional as F

from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval, ClipBertProcessor, InvalidInputError, retrieval
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.pair_scoring_clipbert import ranking_scores
from clipbert_hf.retrieval import PairScorer
from clipbert_hf.retrieval.index_rows import tokens_of
from clipbert_hf.retrieval.index_table import IndexTable
from clipbert_hf.retrieval.video_index import VideoIndex

pytest.importorskip("lancedb", reason='needs pip install "clipbert_hf[search]"')

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "circle", "moves", "?", "##s"]
SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    **{"backbone": "resnet18", "backbone_stride_in_1x1": False, "cls_token_id": 2, "sep_token_id": 3},
    "backbone_kwargs": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
}
TEXT = "Red circles moves?"


def save_model(folder: Path, seed: int = 0, **options) -> Path:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(seed)
    model = ClipBertForVideoTextRetrieval(ClipBertConfig(vocab_size=len(WORDS), **{**SIZES, **options})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and ("encoder" in name or "visual" in name) and parameter.ndim == 2:
                parameter.mul_(10)  # vectors and scores that differ
    model.save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "num_clips": 2, "image_std": (100.0,) * 3}
    ClipBertProcessor.from_pretrained_parts(text=folder / "vocab.txt", **sizes).save_pretrained(folder)
    return folder


def write_video(path: Path, seed: int, seconds: float = 2) -> Path:
    """Scenes of half a second, each of one colour."""
    generator = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(10 * seconds)):
            if number % 5 == 0:
                colour = generator.integers(0, 256, 3, dtype=np.uint8)
            frame = np.broadcast_to(colour, (48, 64, 3)).copy()
            frame[:: 2 + seed % 3] = 255 - colour
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "contrastive", contrastive_size=8)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """Seven videos, one of them long, one cut short."""
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(5):
        write_video(folder / f"{seed}.mp4", seed)
    write_video(folder / "it's long.mp4", 5, seconds=21)
    content = write_video(folder / "torn.mp4", 6).read_bytes()
    (folder / "torn.mp4").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture
def folder(originals, tmp_path) -> Path:
    return shutil.copytree(originals, tmp_path / "videos")


def build(folder, uri, model, **options) -> VideoIndex:
    with pytest.warns(UserWarning, match=r"1 videos could not be read.*torn\.mp4"):
        return VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def index(originals, model, uninterrupted) -> VideoIndex:
    return build(originals, uninterrupted, model)


def rows_of(uri) -> dict[str, dict]:
    table = IndexTable.find(uri)
    rows = table.read([name for name in table.schema.names if name != "modified"]).to_pylist()
    return {os.path.basename(row.pop("path")): row for row in rows}


def naive_search(scorer: PairScorer, videos: dict[str, int], text: str, rerank: int) -> list[tuple[str, float]]:
    """Both scores of all videos, standardised over the best by the first."""
    tokens = scorer.processor(text=[text])
    vectors, kept = scorer.model.embed_texts(**tokens)
    similarities, logits = {}, {}
    for path, clips in videos.items():
        inputs = scorer.processor(text=[[text]], videos=[path], num_clips=clips)
        with torch.no_grad():
            logits[path] = float(ranking_scores(scorer.model(**inputs).logits))
            encoded = scorer.core.encode_videos(inputs["pixel_values_videos"])
            similarities[path] = float(
                contrastive_similarity(vectors, kept, scorer.model.embed_clips(encoded.tokens)[None])
            )
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


@pytest.mark.parametrize("rerank", [3, 6])
def test_search_in_stages_is_naive_search(index, originals, rerank):
    found = index.search(TEXT, rerank=rerank)
    expected = naive_search(index.scorer, clips_of(originals), TEXT, rerank)
    assert [result.path for result in found] == [path for path, _ in expected]
    assert [result.score for result in found[:rerank]] == pytest.approx([s for _, s in expected[:rerank]], abs=0.1)
    assert [result.similarity for result in found[rerank:]] == pytest.approx(
        [s for _, s in expected[rerank:]], abs=1e-4
    )
    assert [result.matching is None for result in found] == [place >= rerank for place in range(6)]
    vectors, clips, matching = found.stages
    assert (vectors.name, vectors.pairs, clips.name, clips.pairs_with_clips) == ("vectors", 6, "clips", 31)
    assert (matching.name, matching.pairs) == ("matching", rerank)
    assert matching.pairs_with_clips == sum(clips_of(originals)[path] for path, _ in expected[:rerank])


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


def _build_alone(folder: str, uri: str, model: str) -> None:
    torch.set_num_threads(1)
    VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 videos could not be read")
def test_a_killed_build_goes_on(index, uninterrupted, folder, model, tmp_path):
    """Killed after the first row, then at moments that were drawn; what is there stays and nothing is there twice."""
    uri = tmp_path / "index"
    generator = np.random.default_rng(0)
    kept = 0
    for kill in range(3):
        process = fork_context().Process(target=_build_alone, args=(str(folder), str(uri), str(model)))
        process.start()
        while process.is_alive() and (
            not uri.exists() or (table := IndexTable.find(uri)) is None or table.count() <= kill
        ):
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.03))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert IndexTable.find(uri).count() >= max(kept, kill + 1)
        kept = IndexTable.find(uri).count()
    again = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1)
    assert len(again.report.added) == 7 - kept
    assert same_rows(rows_of(uri), rows_of(uninterrupted))


def same_rows(some: dict, others: dict) -> bool:
    """Equal but for the last bits of vectors, which depend on threads, and folders in messages."""
    assert some.keys() == others.keys()
    for name, row in some.items():
        for column in ("vector", "clip_vectors"):
            if row[column] is not None:
                np.testing.assert_allclose(row[column], others[name][column], atol=1e-5)
        for column in ("content_hash", "size", "clip_seconds", "token_shape", "clip_places", "distinct_clips"):
            assert row[column] == others[name][column], (name, column)
        assert (row["error"] is None) == (others[name]["error"] is None)
    return True


def _build_share(rank: int, folder: str, uri: str, model: str) -> None:
    state = PartialState(cpu=True)
    index = VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1, accelerator=state)
    assert len(index) == 7
    assert len(index.report.added) == (4, 3)[rank]


def test_several_processes_encode_a_share_each(index, uninterrupted, folder, model, tmp_path):
    run_together(2, _build_share, str(folder), str(tmp_path / "index"), str(model))
    assert same_rows(rows_of(tmp_path / "index"), rows_of(uninterrupted))


def test_many_videos_are_found_by_the_approximate_index(index, monkeypatch, tmp_path):
    """Synthetic vectors: the index finds what comparing all of them finds."""
    monkeypatch.setattr("clipbert_hf.retrieval.index_table._INDEXED_FROM", 1000)
    table = IndexTable.create(tmp_path, 8, index.table.schema.empty_table().select([]).schema, {}, {})
    vectors = F.normalize(torch.randn(1500, 8, generator=torch.Generator().manual_seed(0)), dim=-1).numpy()
    facts = {"content_hash": "", "size": 0, "modified": 0}
    table.add([{**facts, "path": f"{place:04d}", "vector": vector.tolist()} for place, vector in enumerate(vectors)])
    table.add([{**facts, "path": "unreadable", "error": "no such file"}])
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
