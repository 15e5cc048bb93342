"""Starts the server: offline, within limits, with its temporary files in one folder that goes when it ends."""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import gradio as gr
from gradio import processing_utils
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from motion_core.settings import Backend

from .handlers import Handlers
from .layout import CSS, THEME, build
from .limits import MEGABYTE, Limits
from .runs import SERVER, WORK
from .showcase import EXAMPLES, GALLERY

if TYPE_CHECKING:
    from .models import Models
    from .service import Service

_CLEAN_EVERY, _KEEP_FOR = 300, 3600  # seconds, for what visitors uploaded and were given
_FETCHING = ("/file=http", "/proxy=", "/file=//")
_ARENAS = -8  # M_ARENA_MAX in malloc.h
NO_ADDRESSES = "Files are taken from uploads and examples only, not from addresses."


@dataclass(frozen=True)
class Served:
    """A running app.

    Attributes:
        url: where it is.
        service: does the work, once it is loaded.
        handlers: what the page calls.
        folder: of all its temporary files.
    """

    url: str
    service: Future[Service]
    handlers: Handlers
    folder: Path


@contextmanager
def serving(
    limits: Limits | None = None,
    models: Callable[[Limits], Models] | None = None,
    *,
    port: int | None = None,
    gallery: Path = GALLERY,
    quiet: bool = True,
) -> Iterator[Served]:
    """The app, at work until the ``with`` block ends.

    Args:
        limits: of what visitors may ask for; None is by where it runs.
        models: makes the store of models, in place of the usual one.
        port: None is 7860, or the next free one.
        gallery: folder of the gallery.
        quiet: print nothing.
    """
    folder = Path(tempfile.mkdtemp(prefix=SERVER)).resolve()
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "cache")  # Gradio copies results there; a run's own files go
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    refuse_addresses()
    share_memory()
    limits = limits or Limits.of()
    loader = ThreadPoolExecutor(1, "loading")
    loaded: Future[Service] = Future()
    handlers = Handlers(loaded, limits, folder)
    page = build(handlers, EXAMPLES, gallery, (_CLEAN_EVERY, _KEEP_FOR))
    page.queue(max_size=limits.waiting, default_concurrency_limit=4)
    if find_spec("spaces") is not None:  # ZeroGPU wants to know the functions that use a GPU before the page is up
        _load(loaded, folder / WORK, limits, models)
    try:
        _, url, _ = page.launch(
            server_port=port,
            prevent_thread_lock=True,
            quiet=quiet,
            share=False,
            ssr_mode=False,
            show_error=True,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            max_file_size=limits.checkpoint_megabytes * MEGABYTE,
            allowed_paths=[str(EXAMPLES), str(gallery)],
            footer_links=["api", "settings"],
            theme=THEME,
            css=CSS,
            app_kwargs={"middleware": [Middleware(OwnRoutes, health=handlers.health)]},
        )
        if not loaded.done():
            loader.submit(_load, loaded, folder / WORK, limits, models)
        yield Served(url, loaded, handlers, folder)
    finally:
        page.close()
        loader.shutdown()
        handlers.close()
        shutil.rmtree(folder, ignore_errors=True)


def _load(loaded: Future[Service], folder: Path, limits: Limits, models: Callable[[Limits], Models] | None) -> None:
    """Make the service, and open the shipped model, after the page is up: torch and diffusers take seconds to import."""
    try:
        from .service import Service

        service = Service(folder, limits, None if models is None else models(limits))
        loaded.set_result(service)
    except BaseException as error:
        loaded.set_exception(error)
        raise
    service.model()


class OwnRoutes:
    """Refuses the two routes by which Gradio would fetch an address for a visitor, and answers /health.

    Args:
        health: what to answer: whether it is well, and more.
    """

    def __init__(self, app: ASGIApp, health: Callable[[], tuple[bool, dict[str, object]]]) -> None:
        self._app, self._health = app, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(word in scope["path"] for word in _FETCHING):
            await PlainTextResponse(NO_ADDRESSES, status_code=403)(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].rstrip("/") == "/health":
            well, told = self._health()
            await JSONResponse(told, status_code=200 if well else 503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def share_memory() -> None:
    """Let threads take memory from the same two places.

    glibc gives them up to eight for each processor, and each keeps the most that was ever needed there: a run with its threads
    held 1.1 GB after a dozen pictures instead of 0.85. Other systems' libraries do not have the setting.
    """
    if sys.platform == "linux" and (set_option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        set_option(_ARENAS, 2)


def refuse_addresses() -> None:
    """Gradio downloads an address that a client gives in place of a file; here that is refused with a sentence."""

    async def refused(url: str, *rest: object, **options: object) -> None:
        raise gr.Error(NO_ADDRESSES, print_exception=False)

    processing_utils.async_ssrf_protected_get = refused  # type: ignore[assignment]
    processing_utils.async_ssrf_protected_download = refused  # type: ignore[assignment]


def _models(backend: Backend, limits: Limits) -> Models:
    from .models import Models

    return Models(limits, backend=backend)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of ``app.py``."""
    parser = argparse.ArgumentParser(prog="python app.py", description="Opens the web UI.")
    parser.add_argument("--port", type=int, help="default: 7860, or the next free one")
    parser.add_argument(
        "--backend", choices=get_args(Backend), default="auto", help="what computes models of the published kind"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary files go
    stopped = threading.Event()
    with serving(models=partial(_models, options.backend), port=options.port, quiet=False) as served:
        print(f"Open {served.url} in a browser; Ctrl-C ends it.", flush=True)
        try:
            stopped.wait()
        except KeyboardInterrupt:
            print()
