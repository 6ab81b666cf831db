"""A stand-in for the Hub's HTTP interface on this machine: one repository, written and read over real HTTP.

Large files go through its LFS protocol, which is what huggingface_hub speaks where hf_xet is off
(``HF_HUB_DISABLE_XET``); others are part of the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".parquet", ".tar", ".mp4", ".safetensors")


@dataclass
class Repository:
    """What the server holds.

    Args:
        name: Such as ``"team/msrvtt"``.
        kind: ``datasets`` or ``models``.
        files: The content of the latest commit.
        blobs: Large files that were sent, by SHA-256, whether a commit names them or not.
        sent: The SHA-256 of each large file, in the order in which it came.
        commits: The message of each commit, and the files that it added.
        created: What was asked for when it was made.
        gate: Large files wait for it before they are taken.
    """

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    commits: list[tuple[str, list[str]]] = field(default_factory=list)
    created: dict[str, Any] = field(default_factory=dict)
    gate: Any = field(default_factory=lambda: threading.Semaphore(10**6))
    address: str = ""
    kind: str = "datasets"

    @property
    def page(self) -> str:
        """Its path below the address, which for models has no folder."""
        return f"/datasets/{self.name}" if self.kind == "datasets" else f"/{self.name}"

    @property
    def api(self) -> str:
        """Below which path it is asked for."""
        return f"/api/{self.kind}/{self.name}"

    def revision(self) -> str:
        """A hash of the content, in the place of a commit's."""
        digest = hashlib.sha1()
        for path, content in sorted(self.files.items()):
            digest.update(f"{path}\0{len(content)}\0".encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    def entries(self, folder: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
        """Files and folders below a folder, as the Hub lists them."""
        found: dict[str, dict[str, Any]] = {}
        for path, content in sorted(self.files.items()):
            if folder and not path.startswith(f"{folder}/"):
                continue
            parts = path.split("/")
            homes = ["/".join(parts[:n]) for n in range(1, len(parts))]
            found |= {home: {"type": "directory", "path": home, "oid": "0" * 40, "size": 0} for home in homes}
            found[path] = self.entry(path, content)
        depth = folder.count("/") + 1 if folder else 0
        below = [entry for entry in found.values() if entry["path"].count("/") >= depth and entry["path"] != folder]
        return [entry for entry in below if recursive or entry["path"].count("/") == depth]

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        """A file as the Hub lists it."""
        about: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_hash(content)}
        if path.endswith(LARGE):
            about["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return about

    def environment(self, home: Path) -> dict[str, str]:
        """The variables by which a process takes this server for the Hub."""
        return {
            **os.environ,
            "HF_ENDPOINT": self.address,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(home),
            "HF_TOKEN": "hf_test",
            "NO_PROXY": "*",
        }


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serve(repository: Repository) -> Iterator[Repository]:
    """Serve a repository, whose address is then known."""
    handler = type("Handler", (_Handler,), {"repository": repository})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    repository.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    repository: Repository
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, hub = unquote(urlsplit(self.path).path), self.repository
        if found := re.fullmatch(f"{hub.page}/resolve/[^/]+/(.+)", path):
            self._file(found[1])
        elif found := re.fullmatch(f"{hub.api}/tree/[^/]+/?(.*)", path):
            entries = hub.entries(found[1], recursive="recursive=True" in self.path or "recursive=true" in self.path)
            self._answer(entries) if entries or not found[1] else self._missing()
        elif re.fullmatch(f"{hub.api}(/revision/[^/]+)?", path):
            siblings = [{"rfilename": name} for name in hub.files]
            about = {"id": hub.name, "sha": hub.revision(), "siblings": siblings, "tags": [], "private": False}
            self._answer(about)
        else:
            self._missing()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body, hub = self.rfile.read(int(self.headers.get("Content-Length", 0))), self.repository
        if self.path == "/api/repos/create":
            hub.created = json.loads(body)
            self._answer({"url": f"{hub.address}{hub.page}", "name": hub.name, "id": "1"})
        elif "/preupload/" in self.path:
            self._answer({"files": [self._upload_mode(each["path"]) for each in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._answer({"transfer": "basic", "objects": [self._upload(each) for each in json.loads(body)["objects"]]})
        elif "/commit/" in self.path:
            self._commit([json.loads(line) for line in body.splitlines()])
        elif "/paths-info/" in self.path:
            asked = json.loads(body)["paths"]
            self._answer([entry for entry in hub.entries() if entry["path"] in asked])
        else:
            self._answer({})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.repository.gate.acquire()
        digest = hashlib.sha256(content).hexdigest()
        assert self.path == f"/blobs/{digest}"
        self.repository.blobs[digest] = content
        self.repository.sent.append(digest)
        self._answer({})

    def _upload_mode(self, path: str) -> dict[str, Any]:
        about = {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}
        content = self.repository.files.get(path)
        if content is not None:
            entry = self.repository.entry(path, content)
            about["oid"] = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        return about

    def _upload(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.repository.blobs:
            return asked
        return {**asked, "actions": {"upload": {"href": f"{self.repository.address}/blobs/{asked['oid']}"}}}

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        hub, added = self.repository, []
        for line in lines:
            value = line["value"]
            if line["key"] == "deletedFile":
                del hub.files[value["path"]]
            elif line["key"] in ("file", "lfsFile"):
                is_large = line["key"] == "lfsFile"
                hub.files[value["path"]] = hub.blobs[value["oid"]] if is_large else base64.b64decode(value["content"])
                added.append(value["path"])
        hub.commits.append((lines[0]["value"]["summary"], added))
        url = f"{hub.address}{hub.page}/commit/{hub.revision()}"
        self._answer({"commitUrl": url, "commitOid": hub.revision(), "success": True, "hookOutput": ""})

    def _file(self, path: str) -> None:
        content = self.repository.files.get(path)
        if content is None:
            self._missing()
            return
        first, last, status = 0, len(content) - 1, 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last, status = int(found[1]), int(found[2] or last), 206
        last = min(last, len(content) - 1)
        headers = {
            "Content-Range": f"bytes {first}-{last}/{len(content)}" if status == 206 else None,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": self.repository.revision(),
            "Accept-Ranges": "bytes",
        }
        self._send(status, content[first : last + 1], headers)

    def _missing(self) -> None:
        self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _answer(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
