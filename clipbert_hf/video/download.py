"""Fetching a video over http(s), in limited time and size."""

from __future__ import annotations

import re
import time
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse, IncompleteRead

from ..errors import VideoDecodeError
from .limits import DEFAULT_LIMITS

CHUNK_BYTES = 1 << 20

# Many servers refuse the name that urllib gives itself.
USER_AGENT = "clipbert_hf"

# Characters that stand in a URL as they are; "%" too, where it begins an escape.
_KEPT = "%:/?#[]@!$&'()*+,;=~-._"


def download(
    url: str,
    *,
    timeout: float = DEFAULT_LIMITS.download_seconds,
    max_bytes: float = DEFAULT_LIMITS.max_source_bytes,
    truncated: str = DEFAULT_LIMITS.truncated,
) -> bytes:
    """Fetch a file over http(s), in limited time and size.

    Args:
        url: An http or https URL; redirections to other schemes are refused. Blanks, accents and the like are
            percent-encoded, as a browser does.
        timeout: Limit in seconds for the whole download.
        max_bytes: Limit for its size.
        truncated: ``"read"`` takes what has come if that is less than the server declared; ``"error"`` does not.

    Returns:
        The content.

    Raises:
        VideoDecodeError: If the server cannot be reached, answers with an error or sends less than it declared,
            or a limit is passed.
    """
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    declared: int | None = None
    try:
        request = urllib.request.Request(encode_url(url), headers={"User-Agent": USER_AGENT})
        with _http_opener().open(request, timeout=timeout) as response:
            declared = response.length  # None if it comes in chunks, or until the connection ends
            while chunk := _next_chunk(response, truncated):
                chunks.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise VideoDecodeError(url, "url", f"the file is larger than {max_bytes:.0f} bytes")
                if time.monotonic() > deadline:
                    raise VideoDecodeError(url, "url", f"the download took longer than {timeout:g} s")
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        raise VideoDecodeError(url, "url", f"the download failed: {error}") from error
    if declared is not None and size != declared and truncated != "read":
        raise VideoDecodeError(
            url, "url", f"the download is cut short: the server declared {declared} bytes, {size} came"
        )
    return b"".join(chunks)


def encode_url(url: str) -> str:
    """Write a URL as it goes over the wire.

    >>> encode_url("http://example.org/my café 100%.mp4?a=b c%20d")
    'http://example.org/my%20caf%C3%A9%20100%25.mp4?a=b%20c%20d'
    >>> encode_url("http://bücher.example:8080/a.mp4")
    'http://xn--bcher-kva.example:8080/a.mp4'
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
    path, query = (re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", urllib.parse.quote(part, safe=_KEPT)) for part in parts[2:4])
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


def _next_chunk(response: HTTPResponse, truncated: str) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except IncompleteRead as error:  # it was sent in chunks, and the mark of their end did not come
        if truncated == "read":
            return error.partial
        raise


def _http_opener() -> urllib.request.OpenerDirector:
    """Build an opener that speaks http(s) only; urllib's default one follows redirections to ftp as well."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
