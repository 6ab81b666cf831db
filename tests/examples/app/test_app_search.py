"""The app's search: what the index finds, and the parts of videos that are played."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_fixtures import app_home

pytest.importorskip("lancedb")

from clipbert_hf import InvalidInputError, VideoDecodeError
from clipbert_hf.retrieval import VideoIndex
from examples.app.video_app.models import load_models
from examples.app.video_app.searching import Hit, Searcher, thumbnail
from examples.app.video_app.settings import Settings

__all__ = ["app_home"]


@pytest.fixture(scope="module")
def index(app_home: Path) -> VideoIndex:
    model, uri = app_home / "retrieval", app_home / "an.index"
    return VideoIndex.build(app_home / "videos", uri, model=model, device="cpu", clip_every=1)


@pytest.fixture(scope="module")
def searcher(app_home: Path, index: VideoIndex) -> Searcher:
    found = load_models(Settings(index=str(app_home / "an.index"), search_model=str(app_home / "retrieval"))).search
    assert found is not None
    return found


def test_hits_are_those_of_the_index(app_home: Path, index: VideoIndex, searcher: Searcher) -> None:
    hits = searcher.search("red circle moves", 2)
    expected = index.search("red circle moves", top_k=2)
    assert len(hits) == 2
    assert len(searcher) == 3
    for hit, result in zip(hits, expected, strict=True):
        assert (hit.path, hit.moment) == (result.path, (result.start + result.end) / 2)
        assert hit.score == pytest.approx(result.score, abs=1e-5)
        assert hit.spans == tuple((span.start, span.end) for span in result.spans)
        start, end = hit.spans[0]
        assert hit.caption == f"{Path(hit.path).name}\n{start:.1f}–{end:.1f} s · {hit.score:.2f}"
        assert start <= hit.moment <= end  # the best span holds the best clip
    assert searcher.served == (str(app_home / "videos"),)
    with pytest.raises(InvalidInputError, match="text: expected what the videos show, got a blank"):
        searcher.search(" ", 2)


def test_videos_are_named_by_their_place_in_the_folder(app_home: Path, tmp_path: Path) -> None:
    for name in ("a/one.mp4", "b/one.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True)
        shutil.copy(app_home / "videos/one.mp4", tmp_path / "videos" / name)
    files = [tmp_path / "videos" / name for name in ("a/one.mp4", "b/one.mp4")]
    model = app_home / "retrieval"
    of_folder = VideoIndex.build(tmp_path / "videos", tmp_path / "folder.index", model=model, device="cpu")
    of_list = VideoIndex.build(files, tmp_path / "list.index", model=model, device="cpu")
    assert {hit.name for hit in Searcher(of_folder).search("red", 2)} == {"a/one.mp4", "b/one.mp4"}
    hits = Searcher(of_list).search("red", 2)
    assert {hit.name for hit in hits} == {"one.mp4"}
    assert 'src="data:video/mp4;base64,' in Searcher(of_list).play(hits[0])  # nothing is served


def test_spans_are_played(app_home: Path, searcher: Searcher) -> None:
    hit = Hit(str(app_home / "videos/one.mp4"), "one.mp4", 1.0, ((1.0, 2.0), (3.0, 4.0)), 1.5)
    assert "one.mp4#t=1.000,2.000" in searcher.play(hit)
    assert "one.mp4#t=3.000,4.000" in searcher.play(hit, 1)
    with pytest.raises(InvalidInputError, match="span must be from 0 to 1; got 2"):
        searcher.play(hit, 2)
    with pytest.raises(VideoDecodeError):
        searcher.play(Hit(str(app_home / "videos/gone.mp4"), "gone.mp4", 1.0, ((1.0, 2.0),), 1.5))


def test_a_thumbnail_is_the_frame_of_the_moment(app_home: Path) -> None:
    """At 10 frames a second, 1.25 s is frame 12: bits 2 and 3 from the left are white, of eight."""
    picture = thumbnail(Hit(str(app_home / "videos/one.mp4"), "one.mp4", 1.0, ((1.0, 2.0),), 1.25))
    bars = [picture.convert("L").getpixel((16 * bit + 8, 48)) > 127 for bit in range(8)]  # type: ignore[operator]
    assert bars == [False, False, True, True, False, False, False, False]
    gone = thumbnail(Hit(str(app_home / "videos/gone.mp4"), "gone.mp4", 1.0, ((1.0, 2.0),), 1.25))
    assert gone.getcolors() == [(320 * 240, (128, 128, 128))]
