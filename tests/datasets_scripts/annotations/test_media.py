"""Finding files by name or stem, and telling which can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature_files import video_bytes, write_media
from PIL import Image

from clipbert_hf import VideoDecodeError, probe_video, read_video_frames
from datasets_scripts.annotations.media import MediaFolder, check_media_name, media_stem
from datasets_scripts.annotations.readable import find_unreadable, why_unreadable_image, why_unreadable_video
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.processes import Processes


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("video123.mp4", "video123"),
        ("video123.avi", "video123"),
        ("video123.webm", "video123.mp4"),
        ("video123.mkv", "video123"),
        ("video123.MOV", "video123"),
        ("video123.gif", "video123"),
        ("x@N08_1_d8b.mov.mp4", "x@N08_1_d8b.mov"),
        ("x@N08_1_d8b.mp4", "x@N08_1_d8b."),
        ("x@N08_1_d8b.", "x@N08_1_d8b."),
        ("below/deep/video1.mp4", "video1"),
        ("below/deep/video1.mp4", "below/deep/video1.avi"),
        ("below/deep/video1.mp4", "below\\deep\\video1.mp4"),
        ("v_1.5.mp4", "v_1.5"),
        ("clip.weird", "clip.weird"),
        ("with space\u00e9.mp4", "with space\u00e9"),
        ("cafe\u0301.mp4", "caf\u00e9.mp4"),
        ("caf\u00e9.mp4", "cafe\u0301"),
        ("caf\u00e9s/a.mp4", "cafe\u0301s/a"),
        ("a.m2ts", "a"),
        ("a.MTS", "a.mp4"),
        ("a.mp4", "a.3g2"),
        ("a.vob", "a"),
        ("a.asf", "a.wmv"),
        ("A: day out.mp4", "A: day out.mp4"),
        ("Part 2: the end.mp4", "Part 2: the end"),
        ("clip1/0001.jpg", "clip1/0001.jpg"),
    ],
)
def test_names_that_are_found(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert MediaFolder(tmp_path, "video").find(name) == str(path)


@pytest.mark.parametrize("name", ["video12", "video1234", "ideo123", "video123.weird", "other/video123", "Video123"])
def test_names_that_are_not_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "video123.mp4").touch()
    assert MediaFolder(tmp_path, "video").find(name) is None


def test_the_exact_name_wins_and_then_the_documented_order(tmp_path: Path) -> None:
    for name in ("a.gif", "a.mp4", "a.avi", "b.mkv", "b.webm", ".b.mp4", "c.txt", ".hidden/d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    media = MediaFolder(tmp_path, "video")
    found = {name: media.find(name) for name in ("a", "a.gif", "a.mov", "b", "c", "d")}
    expected = {"a": "a.mp4", "a.gif": "a.gif", "a.mov": "a.mp4", "b": "b.webm"}
    assert found == {"c": None, "d": None, **{name: str(tmp_path / file) for name, file in expected.items()}}


def test_files_of_the_same_name_in_two_folders_are_ambiguous(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    media = MediaFolder(tmp_path, "video")
    with pytest.raises(DatasetError, match=r"'a' is ambiguous in .*: x/a\.mp4 and y/a\.mp4"):
        media.find("a")
    assert media.find("y/a") == str(tmp_path / "y" / "a.mp4")


def test_names_that_differ_only_in_their_unicode_form_are_told_apart_where_both_are_there(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name in (composed, decomposed):
        (tmp_path / f"{name}.mp4").touch()
    media = MediaFolder(tmp_path, "video")
    for name in (composed, decomposed):
        assert media.find(name) == media.find(f"{name}.mp4") == str(tmp_path / f"{name}.mp4")
    for folder, form in (("x", composed), ("y", decomposed)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a\u0308{form}.mp4").touch()
    with pytest.raises(DatasetError, match="is ambiguous in "):
        MediaFolder(tmp_path, "video").find(f"\u00e4{composed}.mp4")


def test_the_same_file_by_a_link_is_not_ambiguous(tmp_path: Path) -> None:
    for folder in ("chosen", "real", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (tmp_path / "chosen" / "a.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    (tmp_path / "twice").symlink_to(tmp_path / "real")
    media = MediaFolder(tmp_path, "video")
    assert media.find("a") == media.find("a.avi") == str(tmp_path / "real" / "a.mp4")
    assert media.find("chosen/a") == str(tmp_path / "chosen" / "a.mp4")
    assert media.find("twice/a.mp4") == str(tmp_path / "twice" / "a.mp4")
    (tmp_path / "other" / "a.mp4").touch()
    with pytest.raises(DatasetError, match="'a' is ambiguous in "):
        MediaFolder(tmp_path, "video").find("a")


def test_absolute_paths_inside_of_the_folder(tmp_path: Path) -> None:
    folder, link = tmp_path / "videos", tmp_path / "link"
    for name in ("a.mp4", "below/b.mp4", "below/a.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    link.symlink_to(folder)
    media = MediaFolder(folder, "video")
    assert media.find(str(folder / "a.mp4")) == str(folder / "a.mp4")
    assert media.find(str(folder / "below" / "a.avi")) == str(folder / "below" / "a.mp4")
    assert MediaFolder(link, "video").find(str(folder / "a.mp4")) == str(link / "a.mp4")
    assert media.find(str(folder / "b.mp4")) is None  # not where the path says
    for outside in (f"{folder}/../a.mp4", f"{folder}/below/../../x", f"{folder}2/a.mp4", str(tmp_path / "a.mp4"), "/"):
        with pytest.raises(DatasetError, match="points outside of the folder"):
            media.find(outside)


def test_folders_of_frames(tmp_path: Path) -> None:
    for name in ("clip1/2.jpg", "clip1/10.jpg", "deep/clip2/1.png", "clip3/1.ppm", "clip3.mp4", "empty/note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    media = MediaFolder(tmp_path, "video")
    found = {name: media.find(name) for name in ("clip1", "clip1.mp4", "clip2", "deep/clip2", "clip3", "empty", "deep")}
    expected = {"clip1": "clip1", "clip1.mp4": "clip1", "clip2": "deep/clip2", "deep/clip2": "deep/clip2"}
    expected["clip3"] = "clip3.mp4"  # a file goes before
    assert found == {"empty": None, "deep": None, **{name: str(tmp_path / path) for name, path in expected.items()}}
    assert media.notes(found.values()) == ["folders of images, taken as the frames of a video each: 2"]
    assert MediaFolder(tmp_path, "image").find("clip1") is None


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "circle").symlink_to(tmp_path / "data")
    assert MediaFolder(tmp_path / "data", "video").find("a") == str(tmp_path / "data" / "link" / "a.mp4")


@pytest.mark.parametrize(
    "name",
    [
        "../a.mp4",
        "x/../../a",
        "/etc/passwd",
        "\\server\\a",
        "..\\a",
        "C:\\a.mp4",
        "c:/a",
        "..",
        "",
        " ",
        "a\0b",
        "x/..",
    ],
)
def test_names_that_lead_outside(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "inside").mkdir()
    with pytest.raises(DatasetError, match=r"points outside of the folder|is not a file name"):
        MediaFolder(tmp_path / "inside", "video").find(name)


@given(st.text(alphabet="ab./\\:\0 ~", max_size=12))
def test_a_name_that_passes_stays_inside(name: str) -> None:
    try:
        check_media_name(name)
    except DatasetError:
        return
    path = os.path.normpath(os.path.join("/folder", name.replace("\\", "/")))
    assert path == "/folder" or path.startswith("/folder/")


@given(st.text(alphabet="ab.", min_size=1, max_size=6), st.sampled_from([".mp4", ".MOV", ".gif", ".", ""]))
def test_stems_have_no_extension_left(name: str, extension: str) -> None:
    stem = media_stem(name + extension)
    assert (name + extension).startswith(stem)
    assert media_stem(stem) == stem


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"the video folder .*none does not exist"):
        MediaFolder(tmp_path / "none", "video")


# --- Readability ---


def test_readable_and_unreadable_videos(tmp_path: Path) -> None:
    good = write_media(tmp_path, *(f"good{e}" for e in (".mp4", ".avi", ".webm", ".mkv", ".mov", ".gif")), "bare.")
    for extension in (".mp4", ".avi", ".webm", ".mkv", ".gif"):
        content = video_bytes(extension)
        (tmp_path / f"torn{extension}").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("404 not found")
    (tmp_path / "zeros.mp4").write_bytes(bytes(5000))
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    paths = sorted(str(path) for path in good.iterdir())
    found = find_unreadable(paths, "video", progress=False)
    assert find_unreadable(paths, "video", executor=Processes(2), progress=False) == found
    names = {Path(path).stem: reason for path, reason in found.items()}
    assert set(names) == {"torn", "empty", "text", "zeros", "gone"}
    assert len(found) == 9
    assert all(found.values())


def test_a_torn_file_whose_index_comes_first_is_noticed(tmp_path: Path) -> None:
    import av

    path = tmp_path / "long.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(60):
            frame = av.VideoFrame(64, 64, "rgb24")
            frame.planes[0].update(
                os.urandom(frame.planes[0].buffer_size) if number else bytes(frame.planes[0].buffer_size)
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert not find_unreadable([str(path)], "video", progress=False)
    path.write_bytes(path.read_bytes()[:-1000])
    (reason,) = find_unreadable([str(path)], "video", progress=False).values()
    assert reason.startswith("it is cut off: ")


def test_readable_and_unreadable_images(tmp_path: Path) -> None:
    write_media(tmp_path, "good.jpg", "good.png")
    (tmp_path / "torn.jpg").write_bytes(video_bytes(".jpg")[:400])
    (tmp_path / "text.png").write_text("hello")
    paths = sorted(str(path) for path in tmp_path.iterdir())
    found = find_unreadable(paths, "image", progress=False)
    assert sorted(Path(path).name for path in found) == ["text.png", "torn.jpg"]


# --- By the rules of the reader ---


def is_refused_by_the_reader(path: Path) -> bool:
    try:
        read_video_frames(str(path), range(probe_video(str(path)).frames))
    except VideoDecodeError:
        return True
    return False


def write_streams(path: Path, *kinds: str, frames: int = 3) -> Path:
    """A file of these streams in their order: sound, a cover picture, and a video."""
    import av

    with av.open(str(path), "w") as container:
        packets = []
        for kind in kinds:
            if kind == "audio":
                sound = container.add_stream("aac", rate=44100, layout="mono")
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate = 44100
                packets.append((sound, [frame]))
                continue
            size = 32 if kind == "video" else 128
            stream = container.add_stream("libx264" if kind == "video" else "mjpeg", rate=4)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p" if kind == "video" else "yuvj420p"
            if kind == "cover":
                stream.disposition = av.stream.Disposition.attached_pic
            count = frames if kind == "video" else 1
            pictures = [np.full((size, size, 3), 60 * n % 256, np.uint8) for n in range(count)]
            packets.append((stream, [av.VideoFrame.from_ndarray(picture) for picture in pictures]))
        for stream, each in packets:
            for frame in [*each, None]:
                container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("kinds", "readable"),
    [(("video",), True), (("cover", "video"), True), (("audio", "video"), True), (("audio", "cover"), False)],
)
def test_the_stream_that_the_reader_takes(kinds: tuple[str, ...], readable: bool, full: bool, tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.mp4", *kinds)
    assert is_refused_by_the_reader(path) is not readable
    reason = why_unreadable_video(str(path), full=full)
    assert reason is None if readable else reason is not None and "no video stream" in reason


def test_text_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("GET / 404 not found\n" * 200)
    assert is_refused_by_the_reader(path)
    assert why_unreadable_video(str(path))


def test_gifs_whose_end_is_missing_or_followed_by_something(tmp_path: Path) -> None:
    path, content = tmp_path / "a.gif", video_bytes(".gif")
    for ending in (content, content[:-1], content + b"\0extra", content + b";", content + bytes(100)):
        path.write_bytes(ending)
        assert not is_refused_by_the_reader(path)
        assert why_unreadable_video(str(path)) is None
        assert why_unreadable_image(str(path)) is None
    for length in (len(content) - 2, len(content) - 9, len(content) // 2, 20, 12, 3):
        path.write_bytes(content[:length])
        assert why_unreadable_video(str(path)) is not None


def test_images_are_told_by_their_content(tmp_path: Path) -> None:
    write_media(tmp_path, "a.jpg", "b.png")
    for name in ("a.jpg", "b.png"):
        path = (tmp_path / name).rename(tmp_path / f"{name}.mp4")
        assert not is_refused_by_the_reader(path)
        assert why_unreadable_video(str(path)) is None
    (tmp_path / "c.gif").write_bytes(video_bytes(".mp4"))
    assert why_unreadable_video(str(tmp_path / "c.gif")) is None


@pytest.mark.parametrize(
    ("name", "mode", "value", "readable"),
    [
        ("a.ppm", "RGB", (9, 8, 7), True),
        ("a.pgm", "L", 9, True),
        ("a.pbm", "1", 1, True),
        ("a.png", "I;16", 40_000, True),
        ("a.tif", "F", 0.5, False),
        ("b.tif", "I", 1 << 20, False),
    ],
)
def test_images_of_many_kinds(name: str, mode: str, value: Any, readable: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.new(mode, (4, 3), value).save(path)
    for place in (path, tmp_path):
        assert is_refused_by_the_reader(place) is not readable
        assert (why_unreadable_video(str(place)) is None) is readable
    assert (why_unreadable_image(str(path)) is None) is readable


def test_folders_of_frames_that_can_be_read(tmp_path: Path) -> None:
    write_media(tmp_path, "clip/1.jpg", "clip/2.jpg", "clip/3.jpg", "none/a.mp4")
    assert why_unreadable_video(str(tmp_path / "clip"), full=True) is None
    (tmp_path / "clip" / "2.jpg").write_bytes(video_bytes(".jpg")[:400])
    assert why_unreadable_video(str(tmp_path / "clip")) is None  # a quick look
    assert str(why_unreadable_video(str(tmp_path / "clip"), full=True)).startswith("2.jpg: ")
    (tmp_path / "clip" / "3.jpg").write_bytes(b"")
    assert why_unreadable_video(str(tmp_path / "clip")) == "3.jpg is empty"
    assert why_unreadable_video(str(tmp_path / "none")) == "the folder holds no image"


def test_a_full_look_finds_what_a_quick_one_does_not(tmp_path: Path) -> None:
    import av

    path = write_streams(tmp_path / "a.mp4", "video", frames=60)  # more than a decoder holds back
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[55]
    content = bytearray(path.read_bytes())
    content[entry.pos : entry.pos + entry.size] = b"\xff" * entry.size
    path.write_bytes(content)
    assert why_unreadable_video(str(path)) is None
    assert why_unreadable_video(str(path), full=True) is not None
