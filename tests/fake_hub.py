"""A Hub on the loopback interface: as much of its HTTP interface as uploading and downloading a model needs.

It was written after the requests that huggingface_hub 2.4 makes; a request that it does not know is answered with 501.
`client` runs functions in a process whose environment points there and which cannot reach anything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_dummy"
LFS_ENDINGS = (".safetensors", ".bin")
BREAK_OFF = 0


@dataclass
class Repository:
    """Files by path for each commit, commits by branch, and who may see them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files to a branch and return the commit's hash."""
        tree = self.at(branch) | files
        parts = (self.branches.get(branch, ""), *(f"{name}:{sha256(tree[name])}" for name in sorted(tree)))
        commit = hashlib.sha1("\n".join(parts).encode()).hexdigest()
        self.commits[commit], self.branches[branch] = tree, commit
        return commit

    def at(self, revision: str) -> dict[str, bytes]:
        """The files at a branch or commit."""
        return self.commits.get(self.branches.get(revision, revision), {})


@lru_cache(1000)
def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class FakeHub:
    """The server.

    Attributes:
        repositories: by id, such as "org/model".
        objects: content of large files by sha256.
        requests: "METHOD /path" of all requests since `reset`.
        failures: status by path; such requests fail. BREAK_OFF: the connection ends in the middle of the content, once.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.failures: dict[str, int] = {}
        self._server = self._start(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, files: dict[str, bytes], **access: bool) -> str:
        """Make a repository and return its first commit."""
        self.repositories[name] = Repository(**access)
        return self.repositories[name].commit(files)

    def reset(self) -> None:
        """Forget the requests and the failures; the repositories stay."""
        self.requests.clear()
        self.failures.clear()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While this lasts, connections are refused."""
        port = self._server.server_port
        self.stop()
        try:
            yield
        finally:
            self._server = self._start(port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _start(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        server.hub = self  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class Answer(Exception):  # noqa: N818 it is how a handler returns early
    """A refusal."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(status, code, message)
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message} if code else {}


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0, one request per connection, so that a stopped server has no connection left open."""

    def handle_request(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        body = self._body()
        try:
            status = hub.failures.get(path)
            if status:
                raise Answer(status)
            for (methods, pattern), answer in _ROUTES.items():
                if self.command in methods.split() and (match := re.fullmatch(pattern, path)):
                    return answer(self, body, *match.groups())
            raise Answer(501, "NotImplemented", f"the fake Hub does not know {self.command} {path}")
        except Answer as refusal:
            self.reply(b"{}", refusal.status, refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined]

    def reply(
        self, content: bytes | dict[str, Any] | list[Any], status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        path = unquote(urlsplit(self.path).path)
        if self.hub.failures.get(path) == BREAK_OFF:
            del self.hub.failures[path]
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(chunks)

    def _repository(self, name: str) -> Repository:
        """The repository, if it exists and the caller may see it."""
        signed_in = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not signed_in):
            raise Answer(404 if signed_in else 401, "RepoNotFound", "Repository not found")
        return repository

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def info(self, _body: bytes, name: str, revision: str | None = None) -> None:
        repository = self._repository(name)
        commit = self._commit(repository, revision or "main")
        self.reply({"id": name, "sha": commit, "private": repository.private, "gated": repository.gated, "tags": []})

    def tree(self, _body: bytes, name: str, revision: str) -> None:
        repository = self._repository(name)
        files = repository.commits[self._commit(repository, revision)]
        self.reply([_described(path, content) for path, content in files.items()])

    def file(self, _body: bytes, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        commit = self._commit(repository, revision)
        if repository.gated:
            raise Answer(403, "GatedRepo", f"Access to model {name} is restricted")
        if path not in repository.commits[commit]:
            raise Answer(404, "EntryNotFound", "Entry not found")
        content = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{sha256(content)}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None:
            return self.reply(content, 200, headers)
        start = int(wanted[1])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(content[start:], 206, headers)

    def store_large_file(self, body: bytes, digest: str) -> None:
        if sha256(body) != digest:
            raise Answer(400)
        self.hub.objects[digest] = body
        self.reply({})

    def create(self, body: bytes) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Answer(401)
        wanted = json.loads(body)
        name = f"{wanted['organization'] or 'me'}/{wanted['name']}"
        exists = name in self.hub.repositories
        if not exists:
            self.hub.add(name, {".gitattributes": b""}, private=wanted.get("visibility") == "private")
        self.reply({"url": f"{self.hub.url}/{name}"}, 409 if exists else 200)

    def check_card(self, _body: bytes) -> None:
        self.reply({"errors": [], "warnings": []})

    def upload_modes(self, body: bytes, name: str, _revision: str) -> None:
        self._repository(name)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_ENDINGS) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.reply({"files": files})

    def large_file_upload(self, body: bytes, name: str) -> None:
        self._repository(name)
        objects = json.loads(body)["objects"]
        for wanted in objects:
            wanted["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
        self.reply({"transfer": "basic", "objects": objects})

    def commit(self, body: bytes, name: str, branch: str) -> None:
        files = {}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.hub.objects[line["value"]["oid"]]
        commit = self._repository(name).commit(files, branch)
        self.reply({"commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})


def _described(path: str, content: bytes) -> dict[str, Any]:
    """A file in a listing."""
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": sha256(content)}
    if path.endswith(LFS_ENDINGS):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
    return entry


_NAME, _REVISION = r"([\w.-]+(?:/[\w.-]+)?)", r"([^/]+)"
_ROUTES: dict[tuple[str, str], Callable[..., None]] = {
    ("GET", f"/api/models/{_NAME}"): _Handler.info,
    ("GET", f"/api/models/{_NAME}/revision/{_REVISION}"): _Handler.info,
    ("GET", f"/api/models/{_NAME}/tree/{_REVISION}"): _Handler.tree,
    ("GET HEAD", f"/{_NAME}/resolve/{_REVISION}/(.+)"): _Handler.file,
    ("PUT", r"/lfs/(\w+)"): _Handler.store_large_file,
    ("POST", "/api/repos/create"): _Handler.create,
    ("POST", "/api/validate-yaml"): _Handler.check_card,
    ("POST", f"/api/models/{_NAME}/preupload/{_REVISION}"): _Handler.upload_modes,
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch"): _Handler.large_file_upload,
    ("POST", f"/api/models/{_NAME}/commit/{_REVISION}"): _Handler.commit,
}


@pytest.fixture(scope="module")
def hub_server() -> Iterator[FakeHub]:
    server = FakeHub()
    yield server
    server.stop()


@pytest.fixture
def hub(hub_server: FakeHub) -> FakeHub:
    """The Hub; repositories stay from test to test, for the client caches them."""
    hub_server.reset()
    return hub_server


@pytest.fixture(scope="module")
def client(hub_server: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """``client(function, *arguments)`` calls a function of a test module in a process that knows only the fake Hub.

    huggingface_hub reads its environment when it is imported, so it must be set before; a process of its own is the one
    way that works whatever has been imported here.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _only_loopback)
    with _environment(client_environment(hub_server.url, tmp_path_factory.mktemp("huggingface"))):
        pool.submit(os.getpid).result(60)

    def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return pool.submit(function, *arguments, **options).result(120)

    yield call
    pool.shutdown()


def client_environment(url: str, home: Path) -> dict[str, str]:
    """The environment of a process that has the Hub at another place. A proxy is set, and nobody listens there."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not re.match("HF_|HUGGING|TRANSFORMERS_|DIFFUSERS_", name) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",  # two processes with as many threads as there are cores slow each other down
    }


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _only_loopback() -> None:
    """End this process when it tries to reach another machine, or asks for one's address."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        host = None
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        elif event == "socket.getaddrinfo":
            host = arguments[0]
        if host not in (None, "127.0.0.1"):
            print(f"a test tried to reach {host}", file=sys.stderr, flush=True)
            os._exit(70)

    sys.addaudithook(audit)
