"""What a collection of videos holds: names, sizes and times, one's own columns, and the content of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from ..video.contents import EncodedVideo, FrameFolder
from ..video.limits import DecodingLimits
from ..video.sources import resolve_source

# By these a file of a folder is taken for a video. A folder of images is one where it is named itself, in a list.
VIDEO_ENDINGS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".ogv", ".gif", ".apng", ".webp"}
    | {".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".3gp", ".3g2"}
)
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Item:
    """One video of a collection.

    Args:
        name: The absolute path, or the URL, or what names the bytes of a row.
        source: What the reader opens.
        size: In bytes; -1 where that is not known before it is read.
        modified: Time of the last change, in nanoseconds; 0 where there is none.
        digest: Of the content, where it is at hand.
        columns: One's own.
    """

    name: str
    source: Any
    size: int
    modified: int
    digest: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)


def list_items(videos: Any) -> list[Item]:
    """List a collection.

    Args:
        videos: A folder, whose files with the endings of videos are taken, at any depth, in the order of their names;
            or any iterable, such as a list or a data set, of paths, URLs, and rows: mappings with ``"video"`` (a path,
            a URL, or a mapping with ``"path"`` and ``"bytes"``) whose other entries are columns of one's own.

    Raises:
        InvalidInputError: If there is none, two have one name, or one has no name.
    """
    if isinstance(videos, (str, os.PathLike)):
        items = [_item(path, {}) for path in _files(Path(videos))]
    else:
        items = [_from_row(row, place) for place, row in enumerate(_undecoded(videos))]
    if not items:
        raise InvalidInputError(f"videos: expected at least one video, found none in {_describe(videos)}")
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise InvalidInputError(f"videos: {item.name} occurs twice; each video needs a name of its own")
        seen.add(item.name)
    return items


def known_again(name: str) -> Item:
    """A video that was indexed before, as it is now, by its name; see :attr:`Item.name`."""
    return _item(name, {})


def read_content(item: Item, limits: DecodingLimits) -> tuple[Any, str, int]:
    """Fetch a video, once, and recognise its content.

    Returns:
        What the reader opens; SHA-256 of the content, and its bytes.

    Raises:
        VideoDecodeError: If there is nothing, or it cannot be fetched.
        OSError: If it cannot be read.
    """
    content = resolve_source(item.source, limits=limits)
    digest, size = hashlib.sha256(), 0
    if isinstance(content, FrameFolder):
        for path in content.paths:
            digest.update(os.path.basename(path).encode() + b"\0")
            size += _hash_file(EncodedVideo(path, path=path), digest)
        return item.source, digest.hexdigest(), size
    assert isinstance(content, EncodedVideo)  # items are not frames
    size = _hash_file(content, digest)
    fetched = item.source if content.path is not None else {"bytes": content.data, "path": content.name}
    return fetched, digest.hexdigest(), size


def _files(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise InvalidInputError(f"videos: {folder} is no folder; a single video goes in a list")
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in VIDEO_ENDINGS and not name.startswith("."):
                yield os.path.join(parent, name)


def _undecoded(videos: Any) -> Iterable[Any]:
    """Rows of a data set with its videos as paths and bytes, not as decoders."""
    features = getattr(videos, "features", None)
    if isinstance(features, Mapping) and hasattr(videos, "cast_column"):
        from datasets import Video  # what has such features came from there

        for name, feature in features.items():
            if isinstance(feature, Video):
                videos = videos.cast_column(name, Video(decode=False))
    if isinstance(videos, Mapping) or not isinstance(videos, Iterable):
        raise InvalidInputError(
            f"videos: expected a folder or an iterable of paths, URLs and rows; got {_describe(videos)}"
        )
    return videos


def _from_row(row: Any, place: int) -> Item:
    if isinstance(row, Mapping) and "video" in row:
        columns = {str(name): value for name, value in row.items() if name != "video"}
        return _named(row["video"], columns, place)
    return _named(row, {}, place)


def _named(source: Any, columns: dict[str, Any], place: int) -> Item:
    if isinstance(source, (str, os.PathLike)):
        return _item(os.fspath(source), columns)
    if isinstance(source, Mapping) and source.get("bytes") is None and source.get("path") is not None:
        return _item(os.fspath(source["path"]), columns)
    if isinstance(source, Mapping) and source.get("path") is not None:
        data = bytes(source["bytes"])
        name, digest = os.fspath(source["path"]), hashlib.sha256(data).hexdigest()
        return Item(name, {"path": name, "bytes": data}, len(data), 0, digest, columns)
    raise InvalidInputError(
        "videos: each must be a path, a URL, or a mapping with 'path', so that it can be found again; "
        f"got {_describe(source)} at position {place}"
    )


def _item(name: str, columns: dict[str, Any]) -> Item:
    if "://" in name:
        return Item(name, name, -1, 0, columns=columns)
    path = os.path.abspath(name)
    try:
        facts = [os.stat(path)]
        if os.path.isdir(path):
            facts += [entry.stat() for entry in os.scandir(path) if entry.is_file()]
    except OSError:
        return Item(path, path, -1, 0, columns=columns)  # reading it will tell what is wrong
    return Item(path, path, sum(one.st_size for one in facts), max(one.st_mtime_ns for one in facts), columns=columns)


def _hash_file(content: EncodedVideo, digest: Any) -> int:
    size = 0
    with content.open() as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with {sorted(map(str, value))}"
    return str(value) if isinstance(value, (str, os.PathLike)) else type(value).__name__
