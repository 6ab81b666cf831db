"""Finds the video or image that an annotation names, and tells whether it can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal

from datasets_scripts.errors import DatasetError

MediaKind = Literal["video", "image"]

# Where a video lies there in several formats, the first of these is taken.
EXTENSIONS: dict[MediaKind, tuple[str, ...]] = {
    "video": (
        *(".mp4", ".avi", ".webm", ".mkv", ".mov", ".gif"),
        *(".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv", ".webp"),
    ),
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"),
}
_KNOWN = frozenset(extension for extensions in EXTENSIONS.values() for extension in extensions)


def media_stem(name: str) -> str:
    """A name without its extension, whichever of the known ones it has, and without bare dots at its end.

    >>> media_stem("10015567@N08_3655084291_d8b58466fa.mov")
    '10015567@N08_3655084291_d8b58466fa'
    >>> media_stem("video.MOV.mp4"), media_stem("video."), media_stem("v_1.5")
    ('video', 'video', 'v_1.5')
    """
    while True:
        stem, extension = os.path.splitext(name)
        if extension == "." or extension.lower() in _KNOWN:
            name = stem
        elif name.endswith(".") and len(name) > 1:
            name = name[:-1]
        else:
            return name


def check_media_name(name: str) -> None:
    """Refuse a name that could lead out of the folder.

    Raises:
        DatasetError: It is empty, absolute, or has a part ``..``.
    """
    parts = re.split(r"[\\/]", name)
    if not name.strip() or "\0" in name:
        raise DatasetError(f"{name!r} is not a file name")
    if ".." in parts or not parts[0] or re.match(r"[A-Za-z]:", name):
        raise DatasetError(f"{name!r} points outside of the folder")


class MediaFolder:
    """The videos or images in a folder and the folders below it, found by name or stem.

    Files and folders whose names begin with a dot are passed over. Links are followed: they are the user's, not the
    annotations'.

    Args:
        folder: The folder.
        kind: What to look for.

    Raises:
        DatasetError: There is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str], kind: MediaKind) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.kind = kind
        if not self.folder.is_dir():
            raise DatasetError(f"the {kind} folder {self.folder} does not exist")
        self._exact: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in _files_below(self.folder):
            base = path.rpartition("/")[2]
            for name in {path, base}:
                self._exact.setdefault(name, []).append(path)
            if os.path.splitext(base)[1].lower() in EXTENSIONS[kind]:
                for name in {media_stem(path), media_stem(base)}:
                    self._stems.setdefault(name, []).append(path)

    def find(self, name: str) -> str | None:
        """The absolute path of the file of that name or, failing that, of that stem; None if there is none.

        Args:
            name: With or without folders and extension.

        Raises:
            DatasetError: The name leads out of the folder, or files in several folders have it.
        """
        check_media_name(name)
        wanted = str(PurePosixPath(name.replace("\\", "/")))
        found = self._exact.get(wanted) or self._stems.get(media_stem(wanted), [])
        if len({path.rpartition("/")[0] for path in found}) > 1:
            raise DatasetError(f"{name!r} is ambiguous in {self.folder}: {found[0]} and {found[1]}")
        if not found:
            return None
        order = EXTENSIONS[self.kind]
        extensions = [os.path.splitext(path)[1].lower() for path in found]
        ranks = [order.index(extension) if extension in order else len(order) for extension in extensions]
        best = min(range(len(found)), key=lambda n: (ranks[n], found[n]))
        return str(self.folder / found[best])


def _files_below(folder: Path) -> Iterator[str]:
    """Paths of the files relative to the folder, with slashes, in order."""
    seen = {folder.resolve()}
    for root, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            target = Path(root, name).resolve()
            if not name.startswith(".") and target not in seen:  # links may run in circles
                seen.add(target)
                kept.append(name)
        folders[:] = kept
        relative = os.path.relpath(root, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (prefix + name for name in sorted(files) if not name.startswith("."))


# --- Reading ---


def find_unreadable(
    paths: Iterable[str], kind: MediaKind, *, workers: int | None = None, progress: bool = True
) -> dict[str, str]:
    """Open every file and decode its beginning.

    Args:
        paths: Which files.
        kind: What they hold.
        workers: Number of threads; by default two a core, since much of the time goes into waiting for the disk.
        progress: Whether to show a progress bar.

    Returns:
        What is wrong with each file that cannot be read.
    """
    from tqdm.auto import tqdm

    paths = list(paths)
    read = why_unreadable_image if kind == "image" else why_unreadable_video
    with ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1)) as pool:
        reasons = pool.map(read, paths)
        bar = tqdm(zip(paths, reasons, strict=True), total=len(paths), desc="check", unit="file", disable=not progress)
        return {path: reason for path, reason in bar if reason is not None}


def why_unreadable_video(path: str) -> str | None:
    """What is wrong with a video: nothing, or that it does not open, decode, or end where it should.

    The first frame is decoded, and the end of the last one, as the index of the file has it, must lie within the file;
    so a torn download is noticed without reading all of it. A GIF has no index and is decoded to its end.
    """
    if path.lower().endswith((".gif", ".webp")):
        return why_unreadable_image(path)
    import av

    try:
        size = os.path.getsize(path)
        with av.open(path) as container:
            if not container.streams.video:
                return "it has no video stream"
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # as many files are open as there are threads
            end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
            if end > size:
                return f"it is cut off: {size} bytes instead of at least {end}"
            if next(container.decode(stream), None) is None:
                return "it has no frame"
    except (av.FFmpegError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def why_unreadable_image(path: str) -> str | None:
    """What is wrong with an image or GIF, all frames of which are decoded; None if nothing is."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()
            if image.format == "GIF" and not _ends_with(path, b";"):
                return "it is cut off: a GIF ends with a semicolon"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _ends_with(path: str, mark: bytes) -> bool:
    """Whether the mark is among the last bytes; some programs append zeros or line ends."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(64, file.tell()), os.SEEK_END)
        return mark in file.read().rstrip(b"\0\r\n ")[-1:]
