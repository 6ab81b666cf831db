"""Videos and images that lie inside of a data set, such as in its Parquet or tar files: a name, and bytes on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class EmbeddedMedia(str):
    """The name of a video that is embedded in a data set. Rows hold it where others hold a path.

    It compares, hashes and is shown as its name, which is all that is sent to another process; its bytes are fetched
    where it is read, so that rows stay small.

    Args:
        name: Which video it is; rows of the same video have the same.
        fetch: Gives its bytes.
    """

    _fetch: Callable[[], bytes]

    def __new__(cls, name: str, fetch: Callable[[], bytes]) -> EmbeddedMedia:
        """See the class."""
        made = super().__new__(cls, name)
        made._fetch = fetch
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def content(self) -> dict[str, Any]:
        """The file itself, as our reader and ``datasets`` know it: ``{"bytes", "path"}``."""
        return {"bytes": self._fetch(), "path": str(self)}


def readable(video: Any) -> Any:
    """What a reader can open: the content of what is embedded, else the path or whatever it is."""
    return video.content() if isinstance(video, EmbeddedMedia) else video
