"""Videos by where they are: paths of this machine, URLs, and whatever ``fsspec`` reaches.

``fsspec`` is how ``datasets`` and the Hub name files elsewhere: ``zip://clip.mp4::/data/train.zip`` is a file inside of
an archive, ``hf://datasets/user/name/clip.mp4`` one of a repository, ``s3://`` and ``gs://`` are object stores. Parts
of such a chain are joined by ``::``; the last of them says where the archive lies.
"""

from __future__ import annotations

import os
import re
import time
import urllib.parse
import urllib.request
from typing import Any

from ..errors import InvalidInputError, VideoDecodeError
from .contents import EncodedVideo, FrameFolder
from .download import download
from .limits import DecodingLimits

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"}
)

# File systems of fsspec that may be read. Those that keep copies on this disk, or whose files refer to others, are not
# among them: a row of somebody's data set could make them reach what it should not.
_LOCAL = frozenset({"file", "local"})
_ARCHIVES = frozenset({"zip", "tar"})
_REMOTE = frozenset(
    {"http", "https", "hf", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hdfs", "webhdfs"}
    | {"ftp", "sftp", "ssh", "smb", "github", "memory"}
)

_CHUNK_BYTES = 1 << 20
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")


def locate(location: str, limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    """Find what lies at a path or a URL, and fetch it if it is not on this machine's disk.

    Args:
        location: A path; an http(s) URL; a ``file://`` URL; or a URL that ``fsspec`` opens.
        limits: Where files may lie, and how large and slow a download may be.

    Returns:
        An encoded video, or a folder of frames.

    Raises:
        VideoDecodeError: If there is nothing, it cannot be fetched, or a limit is passed.
    """
    scheme = _SCHEME.match(location)
    protocol = scheme[1].lower() if scheme else ""
    if not protocol:
        return _local(location, limits)
    if "::" in location and protocol not in ("http", "https"):
        return _remote(location, limits)
    if protocol in _LOCAL:
        return _local(_path_of_file_url(location), limits)
    if protocol in ("http", "https"):
        data = download(
            location,
            timeout=limits.download_seconds,
            max_bytes=limits.max_source_bytes,
            truncated=limits.truncated,
        )
        return from_bytes(data, location)
    return _remote(location, limits)


def from_bytes(data: bytes, name: str) -> EncodedVideo:
    """Take the content of a file.

    Raises:
        VideoDecodeError: If there is none.
    """
    if not data:
        raise VideoDecodeError(name, "bytes", "there is no data (0 bytes)")
    return EncodedVideo(name=name, data=data)


def read_all(file: Any, name: str, limits: DecodingLimits, *, seconds: float = float("inf")) -> bytes:
    """Read a binary file object to its end.

    Args:
        file: The file; read from where it stands.
        name: What messages call it.
        limits: How large it may be.
        seconds: How long it may take.

    Raises:
        InvalidInputError: If it gives text.
        VideoDecodeError: If it is larger or takes longer.
    """
    chunks: list[bytes] = []
    size = 0
    deadline = time.monotonic() + seconds
    # In pieces, since asking for all that the limit allows would reserve as much.
    while chunk := file.read(_CHUNK_BYTES):
        if not isinstance(chunk, bytes):
            raise InvalidInputError(f"video: open {name} in binary mode; it gave {type(chunk).__name__}")
        chunks.append(chunk)
        size += len(chunk)
        if size > limits.max_source_bytes:
            reason = f"it holds more than {limits.max_source_bytes:.0f} bytes (max_source_bytes)"
            raise VideoDecodeError(name, "file", reason)
        if time.monotonic() > deadline:
            raise VideoDecodeError(name, "file", f"reading it took longer than {seconds:g} s (download_seconds)")
    return b"".join(chunks)


def _remote(url: str, limits: DecodingLimits) -> EncodedVideo:
    """Fetch a file through fsspec."""
    _check_chain(url, limits)
    try:
        import fsspec  # huggingface_hub brings it; only these URLs need it

        with fsspec.open(url, "rb") as file:
            return from_bytes(read_all(file, url, limits, seconds=limits.download_seconds), url)
    except (VideoDecodeError, InvalidInputError, MemoryError):
        raise
    except ImportError as error:  # fsspec names the package that it lacks for this kind of URL
        raise VideoDecodeError(url, "url", f"a package is missing that reads this kind of URL: {error}") from error
    except Exception as error:  # each file system has errors of its own: botocore's, those of zipfile, of the Hub
        message = next(iter(str(error).splitlines()), "")
        raise VideoDecodeError(url, "url", f"it cannot be fetched ({type(error).__name__}: {message})") from error


def _check_chain(url: str, limits: DecodingLimits) -> None:
    """Refuse file systems that are not read here, and files of this machine outside of the root folder."""
    links = url.split("::")
    for place, link in enumerate(links, start=1):
        scheme = _SCHEME.match(link)
        # Without "://", the last link is a path, and one before it the name of a file system.
        protocol = scheme[1].lower() if scheme else "file" if place == len(links) else link
        if protocol in _LOCAL:
            limits.check_path(_path_of_file_url(link) if scheme else link)
        elif protocol not in _ARCHIVES | _REMOTE:
            allowed = ", ".join(f"{name}://" for name in sorted(_LOCAL | _ARCHIVES | _REMOTE))
            raise VideoDecodeError(url, "url", f"expected a path or a URL that starts with one of {allowed}")


def _path_of_file_url(url: str) -> str:
    """The path of ``file:///…``; percent signs stand for characters, as browsers write them."""
    parts = urllib.parse.urlsplit(url.replace("?", "%3F").replace("#", "%23"))
    if parts.netloc not in ("", "localhost"):
        raise VideoDecodeError(url, "url", f"expected file:/// and a path, it names the machine {parts.netloc!r}")
    return urllib.request.url2pathname(parts.path)


def _local(path: str, limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    if not os.path.lexists(path):
        raise VideoDecodeError(path, "file", "there is no such file")
    limits.check_path(path)
    if not os.path.exists(path):
        raise VideoDecodeError(path, "file", f"it is a symbolic link that leads nowhere, to {os.readlink(path)}")
    if os.path.isdir(path):
        return _folder(path, limits)
    if not os.path.isfile(path):
        raise VideoDecodeError(path, "file", "expected a file or a folder of images, this is a device or a pipe")
    if os.path.getsize(path) == 0:
        raise VideoDecodeError(path, "file", "the file is empty (0 bytes)")
    return EncodedVideo(name=path, path=path)


def _folder(folder: str, limits: DecodingLimits) -> FrameFolder:
    try:
        names = [name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS]
    except OSError as error:
        raise VideoDecodeError(folder, "file", str(error)) from error
    # Hidden files are no frames: macOS leaves a "._frame1.jpg" beside each "frame1.jpg".
    paths = [os.path.join(folder, name) for name in sorted(names, key=_natural_order) if not name.startswith(".")]
    if not paths:
        raise VideoDecodeError(folder, "file", "the folder holds no images, which would be the frames of a video")
    for path in paths:
        limits.check_path(path)
        if not os.path.isfile(path):
            raise VideoDecodeError(folder, "file", f"{os.path.basename(path)} is not a file")
    return FrameFolder(name=folder, paths=tuple(paths))


def _natural_order(name: str) -> tuple[Any, ...]:
    """Sort numbers inside of names by their value; names that only differ in leading zeros by themselves."""
    parts = re.split(r"(\d+)", name)  # text and digits in turn, so that like is compared with like
    return ([int(part) if place % 2 else part for place, part in enumerate(parts)], name)
