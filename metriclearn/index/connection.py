"""Connections to Qdrant in memory, in a folder or on a server; locks for the first two, retries for the last.

Qdrant's local mode, in memory or in a folder, has no lock of its own: two threads at a time break it. So
every call goes through `Connection.using`, which lets one thread at a time through there, and all of them
on a server. A request to a server that is lost on the way, or told to wait, is sent again after a while.
A forked process is told to open its own: it shares no memory, and would share a lock and a socket.
Errors of the client are translated into one sentence that says what to do.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from metriclearn.checks.arguments import check_folder, check_text
from metriclearn.index.folder import open_folder

IN_MEMORY = ":memory:"
POINTS_FILE = "points.json"  # in a folder of exported points, which Qdrant cannot open
TIMEOUT = 30  # seconds; the client's 5 are short for a batch that the server must confirm
PAUSES = (0.25, 0.5, 1, 2, 4)  # seconds before a request is sent again; a server starts anew in about so long
LONGEST_PAUSE = 30  # seconds, if the server says itself how long to wait
LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
BUSY = (429, 502, 503, 504)  # too many requests; not ready yet; a proxy says that the server starts anew
UNREADABLE = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    AssertionError,
)  # what the client makes of other answers
FORBIDDEN = '<>:"/\\|?*\0\x1f'  # what no collection's name may hold, by Qdrant's own rule
LONGEST_NAME = 240  # Qdrant's 255, less what stands behind the name of a collection that may be replaced


@dataclass(frozen=True)
class Location:
    """Where collections live: in a folder, on a server, or with neither of them in memory."""

    folder: Path | None = None
    url: str | None = None

    def __str__(self) -> str:
        return f"the folder {self.folder}" if self.folder else self.url or "memory"

    @property
    def exported(self) -> bool:
        """Whether it is a folder of exported points (`metriclearn.index.export`)."""
        return self.folder is not None and (self.folder / POINTS_FILE).exists()

    def full_name(self, collection: str) -> str:
        """Return a collection's name; on a server METRICLEARN_PREFIX goes before it.

        Raises:
            ValueError: for a name or a prefix that no collection may have.
        """
        name = check_text(collection, "collection")
        if self.url:
            prefix = os.environ.get("METRICLEARN_PREFIX", "")
            if not re.fullmatch(r"[A-Za-z0-9.-]*", prefix):
                raise ValueError(f"METRICLEARN_PREFIX is {prefix!r}: use letters, digits, . and - only.")
            name = f"{prefix}_{name}" if prefix else name
        return check_name(name, LONGEST_NAME)


def check_name(name: str, longest: int = 255) -> str:
    """Return a name if Qdrant allows it for a collection, or else raise a ValueError."""
    if name in (".", "..") or len(name) > longest or any(letter in FORBIDDEN for letter in name):
        wanted = f"choose one of up to {longest} letters, without {FORBIDDEN[:9]}"
        raise ValueError(f"Collection name cannot be {name[:80]!r}: {wanted}.")
    return name


def find_location(path: Any, url: Any) -> Location:
    """Return the location that path and url mean; without both the environment's QDRANT_URL, or memory.

    Raises:
        ValueError: if both are given, or for something that is no folder or no address.
    """
    if path is not None and url is not None:
        raise ValueError("Both path and url are given: choose a folder or a server.")
    if path is not None:
        return Location() if str(path) == IN_MEMORY else Location(folder=check_folder(path).absolute())
    if url is None or url == "":
        url = os.environ.get("QDRANT_URL")
    return Location(url=_check_url(url)) if url else Location()


class _Client(QdrantClient):
    """A client that a forked process cannot close: it would give the other's lock of the folder away."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._process = os.getpid()
        super().__init__(*arguments, **more)

    def close(self, *arguments: Any, **more: Any) -> None:
        if os.getpid() == self._process:
            super().close(*arguments, **more)


class Connection:
    """A client of one location; in local mode a lock lets one thread at a time use it.

    Attributes:
        client: the plain `QdrantClient`.
        location: where it leads.
        close: lets go of the client; after that `using` refuses. It is also called when the connection is
            forgotten, or the program ends.
    """

    def __init__(self, client: QdrantClient, location: Location) -> None:
        self.client = client
        self.location = location
        self._lock: AbstractContextManager[Any] = nullcontext() if location.url else threading.RLock()
        self._process = os.getpid()
        self.close = weakref.finalize(self, _close, client, self._lock, self._process)

    @property
    def usable(self) -> bool:
        """Whether it is open, and was opened by this process."""
        return self.close.alive and os.getpid() == self._process

    @contextmanager
    def using(self, collection: str) -> Iterator[QdrantClient]:
        """Give the client, in local mode to one thread at a time. What is done within happens at once.

        Messages name the collection that it is wanted for.

        Raises:
            RuntimeError: if it is closed or another process opened it, or if the collection is not there now.
            ConnectionError: if the server does not answer, or refuses.
            OSError: if the folder cannot be read or written.
        """
        if os.getpid() != self._process:  # before the lock: a thread of the other process may have held it
            raise RuntimeError(
                f"The collection {collection!r} was opened in another process: open it again here."
            )
        with self._lock:
            self._check_open(collection)
            try:
                yield self.client
            except (ApiException, QdrantException, sqlite3.Error, *UNREADABLE) as error:
                self._check_open(collection)  # somebody closed it meanwhile
                raise _translate_error(error, self.location, collection) from None
            except ValueError as error:
                if not re.fullmatch(r"Collection .* not found", str(error)):
                    raise
                raise _collection_missing(collection) from None

    def _check_open(self, collection: str) -> None:
        if not self.close.alive:
            raise RuntimeError(f"The collection {collection!r} is closed here: open it again.")


def connect(location: Location, api_key: Any = None) -> Connection:
    """Open a location, and make sure that it answers. The key is by default the environment's QDRANT_API_KEY.

    Raises:
        ValueError: if the key is no text, or if the folder cannot be used or is damaged.
        RuntimeError: if another client has the folder open.
        ConnectionError: if no server answers, or if it refuses the key.
    """
    if api_key is not None:
        api_key = check_text(api_key, "api_key", secret=True)
    if location.url:
        key = (api_key or os.environ.get("QDRANT_API_KEY", "")).strip()
        return Connection(connect_to_server(location.url, key or None), location)
    if location.exported:
        raise ValueError(
            f"The folder {location.folder} holds exported points, which Qdrant cannot open: use "
            "import_points, or QdrantClassifier.open for a classifier, or choose another folder."
        )
    client = open_folder(location.folder, _Client) if location.folder else _Client(IN_MEMORY)
    return Connection(client, location)


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close a connection that has just been opened if what it is opened for fails, by Ctrl-C as well."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def connect_to_server(url: str, api_key: str | None) -> QdrantClient:
    """Return a client of a server that has answered once.

    Whether client and server fit is told by `tools/check_environment.py`, once, and not by every client.
    """
    try:
        with warnings.catch_warnings():
            if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):  # the key stays on this machine
                warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            client = _Client(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
        lost: list[type[Exception]] = []
        client.http.client.add_middleware(partial(_retry, lost=lost))
        client.get_collections()
    except Exception as error:  # also of an address or a key that no HTTP request may carry
        raise _unreachable(error, url) from None
    lost.extend(LOST)  # only now: a wrong address is told at once
    return client


def _unreachable(error: Exception, url: str) -> ConnectionError:
    """Return why a server cannot be used, in one sentence."""
    if isinstance(error, QdrantException) or getattr(error, "status_code", None) in (401, 403, *BUSY):
        return _refusal(error, url)
    if isinstance(error, UnexpectedResponse):
        return ConnectionError(f"{url} answers with status {error.status_code}: is it a Qdrant server?")
    if isinstance(getattr(error, "source", error), (*UNREADABLE, ValidationError)):
        return ConnectionError(
            f"{url} answers with something else than Qdrant's JSON: is it a Qdrant server?"
        )
    if isinstance(error, ResponseHandlingException):
        return ConnectionError(
            f"No Qdrant server answers at {url}: start one there, or leave out url and QDRANT_URL to work in "
            "memory."
        )
    return ConnectionError(
        f"No request can be sent to {url} ({type(error).__name__}): check the address and the API key."
    )


def _refusal(error: Exception, where: str) -> ConnectionError:
    """Return why a server that is there does not do what it is asked for, in one sentence."""
    if not isinstance(error, UnexpectedResponse):
        return ConnectionError(f"{where} is busy ({error}): send less at a time, or try again later.")
    status, reason = error.status_code, _reason(error) or error.reason_phrase
    if status == 401:
        return ConnectionError(
            f"{where} answers with status 401: check the API key, which is wrong or missing."
        )
    if status == 403:
        return ConnectionError(
            f"{where} answers with status 403 ({reason}): check the API key, which may not do this, "
            "such as a read-only one that is to write."
        )
    if status in BUSY:
        return ConnectionError(f"{where} is busy (status {status}, {reason}): try again later.")
    return ConnectionError(f"{where} refuses a request with status {status}: {reason}.")


def _reason(error: Any) -> str | None:
    """Return what a Qdrant server says about an error, or None for the answer of something else."""
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):  # not JSON, or of another form
        return None


def _retry(
    request: httpx.Request,
    send: Callable[[httpx.Request], httpx.Response],
    lost: Sequence[type[Exception]] = LOST,
) -> httpx.Response:
    """Send a request, and again after a while if the connection is lost or the server asks to wait.

    Whatever we ask for may be asked for twice: ids come from the content, and `Collection.create` knows its
    own collection again. What timed out is not sent again, as a slow server does not need more to do.
    """
    for pause in PAUSES:
        seconds = pause * random.uniform(0.5, 1)  # or all clients would come back at the same moment
        try:
            answer = send(request)
        except ResponseHandlingException as error:
            if not isinstance(error.source, tuple(lost)):
                raise
        else:
            if answer.status_code not in BUSY:
                return answer
            asked = answer.headers.get("Retry-After", "")
            seconds = min(max(seconds, int(asked[:9]) if asked.isdecimal() else 0), LONGEST_PAUSE)
        time.sleep(seconds)
    return send(request)


def _check_url(url: Any) -> str:
    address = check_text(url, "url", secret=True)
    if re.search(r"[@?#;]|%40", address):  # not shown, since it may hold a secret
        raise ValueError(
            "url is more than an address: leave out user, password and what follows a question mark, and "
            "give the key as api_key or in the environment variable QDRANT_API_KEY."
        )
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good or re.search(r"[\s\x00-\x1f]", address):
        raise ValueError("url is no address of a server: write one like 'http://localhost:6333'.")
    return address


def _translate_error(error: Exception, location: Location, collection: str) -> Exception:
    if isinstance(error, sqlite3.Error):
        return OSError(
            f"{location} cannot be read or written ({error}): is the disk full, or the folder "
            "write-protected?"
        )
    if isinstance(error, (UnexpectedResponse, QdrantException)):
        if getattr(error, "status_code", None) == 404 and "ollection" in (_reason(error) or ""):
            return _collection_missing(collection)
        return _refusal(error, str(location))
    source = getattr(error, "source", error)
    if isinstance(source, (*UNREADABLE, ValidationError)):
        return ConnectionError(
            f"{location} answers with something else than Qdrant's JSON: look what stands in between, "
            "such as a proxy or a login page."
        )
    return ConnectionError(
        f"{location} did not answer within {TIMEOUT} seconds, or the connection broke "
        f"({type(source).__name__}): try again once the server is up."
    )


def _collection_missing(collection: str) -> RuntimeError:
    return RuntimeError(
        f"The collection {collection!r} that was opened here is gone: another fit or replace=True took its "
        "place, or somebody deleted it. Open it again to see what is there now."
    )


def _close(client: QdrantClient, lock: AbstractContextManager[Any], process: int) -> None:
    if os.getpid() == process:  # a forked one has a lock that nobody may ever give back
        with lock:
            client.close()
