"""Connections to Qdrant in memory, in a folder or on a server; locks for the first two, retries for the last.

Qdrant's local mode, in memory or in a folder, has no lock of its own: two threads at a time break it. So
every call goes through `Connection.using`, which lets one thread at a time through there, and all of them
on a server. A request to a server that is lost on the way, or told to wait, is sent again after a while.
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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from metriclearn.checks.arguments import check_folder, check_text

IN_MEMORY = ":memory:"
TABLE_FILE = "meta.json"  # in a folder of Qdrant's local mode: names of its collections
POINTS_FILE = "points.json"  # in a folder of exported points, which Qdrant cannot open
TIMEOUT = 30  # seconds; the client's 5 are short for a batch that the server must confirm
PAUSES = (0.25, 0.5, 1, 2, 4)  # seconds before a request is sent again; a server starts anew in about so long
LONGEST_PAUSE = 30  # seconds, if the server says itself how long to wait
LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
BUSY = (429, 503)  # too many requests; not ready yet
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
        self.close = weakref.finalize(self, _close, client, self._lock)

    @contextmanager
    def using(self, collection: str) -> Iterator[QdrantClient]:
        """Give the client, in local mode to one thread at a time. What is done within happens at once.

        Messages name the collection that it is wanted for.

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
        return Connection(
            connect_to_server(location.url, api_key or os.environ.get("QDRANT_API_KEY")), location
        )
    if location.exported:
        raise ValueError(
            f"The folder {location.folder} holds exported points, which Qdrant cannot open: use "
            "import_points, or QdrantClassifier.open for a classifier, or choose another folder."
        )
    client = _open_folder(location.folder) if location.folder else QdrantClient(IN_MEMORY)
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
            client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
        client.get_collections()
    except Exception as error:  # also of an address or a key that no HTTP request may carry
        raise _unreachable(error, url) from None
    client.http.client.add_middleware(_retry)  # only now: a wrong address is told at once
    return client


def _unreachable(error: Exception, url: str) -> ConnectionError:
    """Return why a server cannot be used, in one sentence."""
    if isinstance(error, UnexpectedResponse):
        advice = "check the API key" if error.status_code in (401, 403) else "is it a Qdrant server?"
        return ConnectionError(f"{url} answers with status {error.status_code}: {advice}.")
    if isinstance(error, ResponseHandlingException):
        return ConnectionError(
            f"No Qdrant server answers at {url}: start one there, or leave out url and QDRANT_URL to work in "
            "memory."
        )
    return ConnectionError(
        f"No request can be sent to {url} ({type(error).__name__}): check the address and the API key."
    )


def _retry(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    """Send a request, and again after a while if the connection is lost or the server asks to wait.

    Whatever we ask for may be asked for twice: ids come from the content, and `Collection.create` knows its
    own collection again. What timed out is not sent again, as a slow server does not need more to do.
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
        raise ValueError(f"url is {address!r}: write an address like 'http://localhost:6333'.")
    return address


def _open_folder(folder: Path) -> QdrantClient:
    try:
        _check_points_are_there(folder)
        # Any thread may use it: the lock of the connection lets them in one by one.
        return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except Exception as error:  # a damaged folder fails in a dozen ways, from KeyError to UnpicklingError
        kind: type[Exception] = ValueError
        why = f"is damaged ({type(error).__name__}): put back a copy of it, or delete it and fill it anew"
        if "already accessed" in str(error) or "database is locked" in str(error):
            kind, why = (
                RuntimeError,
                "is open in another client: close that one first, with its close() or by ",
            )
            why += "shutting down the other notebook's kernel, or use a server"
        elif isinstance(error, OSError):
            why = f"cannot be used ({error.strerror}): choose one that you may write to"
        raise kind(f"The folder {folder} {why}.") from None


def _check_points_are_there(folder: Path) -> None:
    """Raise if a part of the folder is missing, for which the client would put an empty one."""
    stored = {file.parent for file in folder.glob("collection/*/storage.sqlite") if _is_whole(file)}
    table, named = folder / TABLE_FILE, {}
    if table.exists():
        named = json.loads(table.read_text(encoding="utf-8"))["collections"]
    missing = {folder / "collection" / name for name in named} - stored
    if missing or (stored and not table.exists()):
        raise ValueError(f"points or {TABLE_FILE} are missing")


def _is_whole(file: Path) -> bool:
    """Return whether a file of SQLite holds a table, and no page of it is missing or damaged."""
    with closing(sqlite3.connect(file)) as database:
        tables = database.execute("SELECT name FROM sqlite_master").fetchall()
        return bool(tables) and database.execute("PRAGMA quick_check").fetchone() == ("ok",)


def _translate_error(error: Exception, location: Location, collection: str) -> Exception:
    if isinstance(error, sqlite3.Error):
        return OSError(
            f"{location} cannot be read or written ({error}): is the disk full, or the folder "
            "write-protected?"
        )
    if isinstance(error, QdrantException):
        return ConnectionError(f"{location} is busy ({error}): send less at a time, or try again later.")
    if isinstance(error, UnexpectedResponse):
        if error.status_code == 404:
            return _collection_missing(collection)
        if error.status_code in (401, 403):
            return ConnectionError(f"{location} answers with status {error.status_code}: check the API key.")
        try:
            reason = str(error.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):  # not JSON, or of another form
            reason = error.reason_phrase
        return ConnectionError(f"{location} refuses a request with status {error.status_code}: {reason}.")
    source = getattr(error, "source", error)
    return ConnectionError(
        f"{location} did not answer within {TIMEOUT} seconds, or the connection broke "
        f"({type(source).__name__}): try again once the server is up."
    )


def _collection_missing(collection: str) -> RuntimeError:
    return RuntimeError(
        f"The collection {collection!r} that was opened here is gone: another fit or replace=True took its "
        "place, or somebody deleted it. Open it again to see what is there now."
    )


def _close(client: QdrantClient, lock: AbstractContextManager[Any]) -> None:
    with lock:
        client.close()
