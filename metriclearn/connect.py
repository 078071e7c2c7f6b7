"""Homes of a collection: memory, a folder, a server. How to get in, and who may go in when.

Qdrant's local mode, in memory or in a folder, has no lock of its own: two threads at a time break it. So
every call goes through `Connection.using`, which lets one thread at a time through there, and all of them
on a server. A request to a server that is lost on the way, or told to wait, is sent again after a while. What
a home cannot do is said in one sentence, where the client would show its inner life.
"""

import json
import os
import random
import re
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from metriclearn.settings import check_folder, check_text

IN_MEMORY = ":memory:"
TIMEOUT = 30  # seconds; the client's 5 are short for a batch that the server must confirm
PAUSES = (0.25, 0.5, 1, 2, 4)  # seconds before a request is sent again; a server starts anew in about so long
LONGEST_PAUSE = 30  # seconds, if the server says itself how long to wait
LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
BUSY = (429, 503)  # too many requests; not ready yet
FORBIDDEN = '<>:"/\\|?*\0\x1f'  # what no collection's name may hold, by Qdrant's own rule
LONGEST_NAME = 240  # Qdrant's 255, less what stands behind the name of a collection that may be replaced


@dataclass(frozen=True)
class Home:
    """Where collections live: in a folder, on a server, or with neither of them in memory."""

    folder: Path | None = None
    url: str | None = None

    def __str__(self) -> str:
        return f"the folder {self.folder}" if self.folder else self.url or "memory"

    def full_name(self, collection: str) -> str:
        """Return a collection's name; on a server METRICLEARN_PREFIX goes before it.

        Raises:
            ValueError: for a name or a prefix that no collection may have.
        """
        name = check_text(collection, "collection")
        if self.url:
            prefix = os.environ.get("METRICLEARN_PREFIX", "")
            if not re.fullmatch(r"[A-Za-z0-9.-]*", prefix):
                raise ValueError(
                    f"METRICLEARN_PREFIX is {prefix!r}: use a to z, A to Z, digits, . and - only."
                )
            name = f"{prefix}_{name}" if prefix else name
        return check_name(name, LONGEST_NAME)


def check_name(name: str, longest: int = 255) -> str:
    """Return a name if Qdrant allows it for a collection.

    Raises:
        ValueError: if it does not.
    """
    if bad := [letter for letter in name if letter in FORBIDDEN]:
        raise ValueError(f"Collection name cannot contain {bad[0]!r}, as {name!r} does: choose another.")
    if name in (".", "..") or len(name) > longest:
        raise ValueError(f"Collection name cannot be {name[:80]!r}: choose one of up to {longest} letters.")
    return name


def find_home(path: Any, url: Any) -> Home:
    """Return the home that path and url mean; without both the environment's QDRANT_URL, or memory.

    Raises:
        ValueError: if both are given, or for something that is no folder or no address.
    """
    if path is not None and url is not None:
        raise ValueError("Both path and url are given: choose a folder or a server.")
    if path is not None:
        return Home() if str(path) == IN_MEMORY else Home(folder=check_folder(path).absolute())
    if url is None or url == "":
        url = os.environ.get("QDRANT_URL")
    return Home(url=_check_url(url)) if url else Home()


class Connection:
    """A client of one home, and who may use it when.

    Attributes:
        client: the plain `QdrantClient`.
        home: where it leads.
        close: call it to let go of the client; after that `using` refuses. Forgetting the connection, or
            ending the program, does the same.
    """

    def __init__(self, client: QdrantClient, home: Home) -> None:
        self.client = client
        self.home = home
        self._lock: AbstractContextManager[Any] = nullcontext() if home.url else threading.RLock()
        # Closes the client at the program's end, too: an open one prints a traceback there.
        self.close = weakref.finalize(self, _close, client, self._lock)

    @contextmanager
    def using(self, collection: str) -> Iterator[QdrantClient]:
        """Give the client, in local mode to one thread at a time. What is done within happens at once.

        Args:
            collection: the collection that it is wanted for, as the messages call it.

        Raises:
            RuntimeError: if it is closed, or if the collection is no longer there.
            ConnectionError: if the server does not answer, or refuses.
            OSError: if the folder cannot be read or written.
        """
        with self._lock:
            self._check_open(collection)
            try:
                yield self.client
            except (ApiException, QdrantException, sqlite3.Error) as error:
                self._check_open(collection)  # somebody closed it meanwhile
                raise _in_a_sentence(error, self.home, collection) from None
            except ValueError as error:
                if not re.fullmatch(r"Collection .* not found", str(error)):
                    raise
                raise _gone(collection) from None

    def _check_open(self, collection: str) -> None:
        if not self.close.alive:
            raise RuntimeError(f"The collection {collection!r} is closed here: open it again.")


def connect(home: Home, api_key: Any = None) -> Connection:
    """Open a home, and make sure that it answers.

    Args:
        home: what `find_home` returned.
        api_key: a server's key; by default the environment's QDRANT_API_KEY.

    Raises:
        ValueError: if the key is no text, or if the folder cannot be used or is damaged.
        RuntimeError: if another client has the folder open.
        ConnectionError: if no server answers, or if it refuses the key.
    """
    if api_key is not None:
        api_key = check_text(api_key, "api_key", secret=True)
    if home.url:
        return Connection(connect_to_server(home.url, api_key or os.environ.get("QDRANT_API_KEY")), home)
    client = _open_folder(home.folder) if home.folder else QdrantClient(IN_MEMORY)
    return Connection(client, home)


def connect_to_server(url: str, api_key: str | None) -> QdrantClient:
    """Return a client of a server that has answered once.

    Whether client and server fit is told by `tools/check_environment.py`, once, and not by every client.
    """
    try:
        with warnings.catch_warnings():
            if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):  # the key stays on this machine
                warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
        client.get_collections()
    except UnexpectedResponse as error:
        advice = "check the API key" if error.status_code in (401, 403) else "is it a Qdrant server?"
        raise ConnectionError(f"{url} answers with status {error.status_code}: {advice}.") from None
    except ResponseHandlingException:
        raise ConnectionError(
            f"No Qdrant server answers at {url}: start one there, or leave out url and QDRANT_URL to "
            "work in memory."
        ) from None
    except Exception as error:  # such as an address or a key that no HTTP request may carry
        raise ConnectionError(
            f"No request can be sent to {url} ({type(error).__name__}): check the address and the API key."
        ) from None
    client.http.client.add_middleware(_patiently)  # only now: a wrong address is told at once
    return client


def _patiently(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    """Send a request, and again after a while if the connection is lost or the server asks to wait.

    Whatever we ask for may be asked for twice: ids come from the content, and `layout.create` knows its own
    collection again. What timed out is not sent again, as a slow server does not need more to do.
    """
    for pause in PAUSES:
        seconds = pause * random.uniform(0.5, 1)  # or all clients would come back at the same moment
        try:
            answer = send(request)
        except ResponseHandlingException as error:
            if not isinstance(error.source, LOST):
                raise
        else:
            if answer.status_code not in BUSY:
                return answer
            asked = answer.headers.get("Retry-After", "")
            seconds = min(max(seconds, int(asked) if asked.isdecimal() else 0), LONGEST_PAUSE)
        time.sleep(seconds)
    return send(request)


def _check_url(url: Any) -> str:
    address = check_text(url, "url")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good or re.search(r"[\s\x00-\x1f]", address):
        raise ValueError(
            f"url is {address!r}, which is no server's address: write it like 'http://localhost:6333'."
        )
    return address


def _open_folder(folder: Path) -> QdrantClient:
    try:
        _check_points_are_there(folder)
        # Any thread may use it: the lock of the connection lets them in one by one.
        return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except Exception as error:  # a damaged folder fails in a dozen ways, from KeyError to UnpicklingError
        if "already accessed" in str(error) or "database is locked" in str(error):
            raise RuntimeError(
                f"The folder {folder} is open in another client: close that one first, with its close() or "
                "by shutting down the other notebook's kernel, or use a server."
            ) from None
        if isinstance(error, OSError):
            raise ValueError(
                f"The folder {folder} cannot be used ({error.strerror}): choose one that you may write to."
            ) from None
        raise ValueError(
            f"The folder {folder} is damaged ({type(error).__name__}): put back a copy of it, or delete it "
            "and fill it anew."
        ) from None


def _check_points_are_there(folder: Path) -> None:
    """Raise if a part of the folder is missing, for which the client would put an empty one."""
    stored = {file.parent for file in folder.glob("collection/*/storage.sqlite") if _is_whole(file)}
    table = folder / "meta.json"
    if not table.exists():
        if stored:
            raise ValueError("meta.json is missing")
        return
    named = json.loads(table.read_text(encoding="utf-8"))["collections"]
    if missing := [name for name in named if folder / "collection" / name not in stored]:
        raise ValueError(f"the points of {missing[0]} are missing")


def _is_whole(file: Path) -> bool:
    """Return whether a file of SQLite is as long as its first bytes say; SQLite may not notice."""
    with file.open("rb") as opened:
        head = opened.read(32)
    page = int.from_bytes(head[16:18]) or 1
    return len(head) == 32 and file.stat().st_size >= (65536 if page == 1 else page) * int.from_bytes(
        head[28:32]
    )


def _in_a_sentence(error: Exception, home: Home, collection: str) -> Exception:
    if isinstance(error, sqlite3.Error):
        return OSError(
            f"{home} cannot be read or written ({error}): is the disk full, or the folder write-protected?"
        )
    if isinstance(error, QdrantException):
        return ConnectionError(f"{home} is busy ({error}): send less at a time, or try again later.")
    if isinstance(error, UnexpectedResponse):
        if error.status_code == 404:
            return _gone(collection)
        if error.status_code in (401, 403):
            return ConnectionError(f"{home} answers with status {error.status_code}: check the API key.")
        try:
            reason = str(error.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):  # not JSON, or of another form
            reason = error.reason_phrase
        return ConnectionError(f"{home} refuses a request with status {error.status_code}: {reason}.")
    source = getattr(error, "source", error)
    return ConnectionError(
        f"{home} did not answer within {TIMEOUT} seconds, or the connection broke "
        f"({type(source).__name__}): try again once the server is up."
    )


def _gone(collection: str) -> RuntimeError:
    return RuntimeError(
        f"The collection {collection!r} that was opened here is gone: another fit or replace=True took its "
        "place, or somebody deleted it. Open it again to see what is there now."
    )


def _close(client: QdrantClient, lock: AbstractContextManager[Any]) -> None:
    with lock:
        client.close()
