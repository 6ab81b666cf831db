"""Videos by URL: what is reached, what is refused, and by which words."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_files import read_numbers

from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video.download import encode_url
from clipbert_hf.video.limits import DecodingLimits
from clipbert_hf.video.reading import probe_video, read_video_frames


@pytest.fixture(scope="module")
def archives(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    with zipfile.ZipFile(folder / "videos.zip", "w") as archive:
        archive.write(plain, "a/clip.mp4")
        archive.writestr("a/empty.mp4", b"")
    with tarfile.open(folder / "videos.tar", "w") as tar:
        tar.add(plain, "a/clip.mp4")
    return folder


def test_files_inside_of_archives(archives: Path) -> None:
    for url in (
        f"zip://a/clip.mp4::{archives}/videos.zip",
        f"zip://a/clip.mp4::file://{archives}/videos.zip",
        f"tar://a/clip.mp4::{archives}/videos.tar",
    ):
        assert read_numbers(read_video_frames(url, [21, 2])) == [21, 2]
        assert read_numbers(read_video_frames({"path": url, "bytes": None}, [3])) == [3]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("zip://a/none.mp4::{folder}/videos.zip", r"it cannot be fetched \((FileNotFoundError|KeyError)"),
        ("zip://a/empty.mp4::{folder}/videos.zip", "there is no data"),
        ("zip://a/clip.mp4::{folder}/none.zip", "it cannot be fetched"),
        ("zip://a/clip.mp4::{folder}/videos.tar", "it cannot be fetched"),
        ("memory://bucket/none.mp4", "it cannot be fetched"),
        ("simplecache::file://{folder}/videos.zip", "there is no such file"),  # a name with colons
        ("simplecache://{folder}/videos.zip", "expected a path or a URL that starts with one of abfs://"),
        ("zip://a/clip.mp4::filecache::{folder}/videos.zip", "expected a path or a URL that starts with one of"),
        ("reference://x", "expected a path or a URL that starts with one of"),
        ("javascript://x", "expected a path or a URL that starts with one of"),
        ("file://elsewhere/clip.mp4", "expected file:/// and a path, it names the machine 'elsewhere'"),
        ("file:///none/at/all.mp4", "there is no such file"),
    ],
)
def test_urls_that_lead_nowhere(archives: Path, url: str, reason: str) -> None:
    with pytest.raises(VideoDecodeError, match=reason):
        probe_video(url.format(folder=archives))


def test_a_file_system_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "open", missing)
    with pytest.raises(VideoDecodeError, match="a package is missing that reads this kind of URL: Install s3fs"):
        probe_video("s3://bucket/clip.mp4")


def test_the_limits_hold_for_urls(archives: Path, plain: Path, tmp_path: Path) -> None:
    zipped, direct = f"zip://a/clip.mp4::{archives}/videos.zip", plain.as_uri()
    for url, root in ((zipped, archives), (direct, plain.parent)):
        assert probe_video(url, limits=DecodingLimits(root=root)).frames > 0
        with pytest.raises(VideoDecodeError, match=r"outside of .* \(root\)"):
            probe_video(url, limits=DecodingLimits(root=tmp_path))
    with pytest.raises(VideoDecodeError, match=r"more than 100 bytes \(max_source_bytes\)"):
        probe_video(zipped, limits=DecodingLimits(max_source_bytes=100))


def test_percent_signs_in_file_urls(plain: Path, tmp_path: Path) -> None:
    for name in ("50% #1?.mp4", "mein Vidéo.mp4"):
        (tmp_path / name).write_bytes(plain.read_bytes())
        assert probe_video((tmp_path / name).as_uri()) == probe_video(plain)


@given(st.text(max_size=20), st.text(max_size=20))
def test_encoding_a_url_twice_is_encoding_it_once(path: str, query: str) -> None:
    """Nothing that was escaped already is escaped again, and what comes out is ASCII."""
    try:
        once = encode_url(f"http://example.org/{path}?{query}")
    except ValueError:  # brackets that are no IPv6 address, or half a surrogate
        return
    assert once.isascii()
    assert " " not in once
    assert encode_url(once) == once
