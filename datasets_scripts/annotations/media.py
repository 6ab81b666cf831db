"""Finds the video or image that an annotation names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from datasets_scripts.errors import DatasetError
from datasets_scripts.preparation.record import original_folder

MediaKind = Literal["video", "image"]

# Where a video lies there in several formats, the first of these is taken.
EXTENSIONS: dict[MediaKind, tuple[str, ...]] = {
    "video": (
        *(".mp4", ".avi", ".webm", ".mkv", ".mov", ".gif"),
        *(".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv", ".webp"),
        *(".mts", ".m2ts", ".3g2", ".vob", ".asf"),
    ),
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm"),
}
# What the images of a folder are called that is a video.
FRAME_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_KNOWN = frozenset(extension for extensions in EXTENSIONS.values() for extension in extensions)
# What datasets_scripts.prepare adds to the name of a video.
_PREPARED = ".mp4"


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
    # A title may begin with a letter and a colon; a drive of Windows goes on with a slash.
    if ".." in parts or not parts[0] or re.match(r"[A-Za-z]:[\\/]", name):
        raise DatasetError(f"{name!r} points outside of the folder")


class MediaFolder:
    """The videos or images in a folder and the folders below it, found by name or stem.

    Files and folders whose names begin with a dot are passed over. Links are followed: they are the user's, not the
    annotations'. Names that differ only in their Unicode form (on macOS an accent is a character of its own) are the
    same unless both are there. A folder of images may be a video too, where no file has its name. In a folder of
    prepared videos the names of the originals lead to the prepared ones, absolute paths among them.

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
        originals = original_folder(self.folder)
        self._homes = [self.folder, self.folder.resolve(), *([] if originals is None else [originals])]
        self._exact: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        self._folders: dict[str, list[str]] = {}
        folders: dict[str, None] = {}
        for path in _files_below(self.folder):
            home, _, base = path.rpartition("/")
            for name in {_composed(path), _composed(base)}:
                self._exact.setdefault(name, []).append(path)
            extension = os.path.splitext(base)[1].lower()
            if extension in EXTENSIONS[kind]:
                for name in {media_stem(_composed(path)), media_stem(_composed(base))}:
                    self._stems.setdefault(name, []).append(path)
            if kind == "video" and home and extension in FRAME_EXTENSIONS:
                folders[home] = None
        for path in folders:
            for name in {_composed(path), _composed(path.rpartition("/")[2])}:
                self._folders.setdefault(name, []).append(path)
        self._folders_of_frames = {str(self.folder / path) for path in folders}

    def find(self, name: str) -> str | None:
        """The absolute path of the file of that name or, failing that, of that stem; None if there is none.

        Failing both it is that of the folder of that name or stem whose images are the frames of a video.

        Args:
            name: With or without folders and extension; or an absolute path inside of the folder.

        Raises:
            DatasetError: The name leads out of the folder, or several files have it.
        """
        inside = self._inside(name)
        check_media_name(name if inside is None else inside)
        wanted = str(PurePosixPath((name if inside is None else inside).replace("\\", "/")))
        key = _composed(wanted)
        # "cat.avi" is rather "cat.avi.mp4", as it is called when it is prepared, than "cat.gif.mp4".
        longer = key + _PREPARED if os.path.splitext(key)[1].lower() in _KNOWN else key
        files = ((self._exact, key), (self._exact, longer), (self._stems, media_stem(key)))
        for names, each in (*files, (self._folders, key), (self._folders, media_stem(key))):
            found = names.get(each, [])
            if inside is not None:  # it says in which folder
                home = key.rpartition("/")[0]
                found = [path for path in found if _composed(path).rpartition("/")[0] == home]
            if found:
                return str(self.folder / self._best(name, wanted, found))
        # A folder that links lead to by several ways is indexed by the first of them.
        hidden = any(part.startswith(".") for part in wanted.split("/"))
        return None if hidden or not os.path.isfile(self.folder / wanted) else str(self.folder / wanted)

    def notes(self, paths: Iterable[str | None]) -> list[str]:
        """What the user should know about files that were found."""
        count = len(self._folders_of_frames.intersection(path for path in paths if path is not None))
        return [f"folders of images, taken as the frames of a video each: {count:,}"] if count else []

    def _inside(self, name: str) -> str | None:
        """The part of an absolute path below the folder; None if it is not one, or leads elsewhere."""
        if os.path.isabs(name) and "\0" not in name and ".." not in name.split("/"):
            for folder in self._homes:
                path = Path(os.path.abspath(name))
                if path != folder and path.is_relative_to(folder):
                    return path.relative_to(folder).as_posix()
        return None

    def _best(self, name: str, wanted: str, found: list[str]) -> str:
        literal = [path for path in found if path == wanted or path.endswith("/" + wanted)]
        stem = media_stem(wanted)
        literal = literal or [path for path in found if (s := media_stem(path)) == stem or s.endswith("/" + stem)]
        found = literal or found
        if len({media_stem(path) for path in found}) > 1:
            found = self._different_files(found)
        if len({media_stem(path) for path in found}) > 1:
            raise DatasetError(f"{name!r} is ambiguous in {self.folder}: {found[0]} and {found[1]}")
        order = EXTENSIONS[self.kind]
        extensions = [_original_extension(path) for path in found]
        ranks = [order.index(extension) if extension in order else len(order) for extension in extensions]
        return found[min(range(len(found)), key=lambda n: (ranks[n], found[n]))]

    def _different_files(self, paths: list[str]) -> list[str]:
        """One path for each file, rather that of the file than that of a link to it."""
        found: dict[object, str] = {}
        for path in sorted(paths, key=lambda path: (os.path.islink(self.folder / path), path)):
            try:
                about = os.stat(self.folder / path)
                found.setdefault((about.st_dev, about.st_ino), path)
            except OSError:
                found[path] = path
        return list(found.values())


def _original_extension(path: str) -> str:
    """The ending of a file; of a prepared one that of its original, so that the same of several is taken."""
    stem, extension = os.path.splitext(path.lower())
    inner = os.path.splitext(stem)[1]
    return inner if extension == _PREPARED and inner in _KNOWN else extension


def _composed(name: str) -> str:
    """A name in the Unicode form in which an accent and its letter are one character."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


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
