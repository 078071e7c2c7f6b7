"""Folders of Qdrant's local mode: checked before they are opened, and tidied up after a program was killed.

The client deletes a collection file by file, and only then strikes it off its table. Killed in between, it
leaves a folder that it would fill with an empty collection. Here the table is read first: what it names and
nobody could reach any more is deleted once the folder is open, and what else is missing is a damage.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from metriclearn.index.names import TEMPORARY, aliases, is_leftover

TABLE_FILE = "meta.json"  # names of the folder's collections


def open_folder(folder: Path, client_class: type[QdrantClient]) -> QdrantClient:
    """Return a client of a folder, without what killed programs left there.

    Raises:
        ValueError: if the folder cannot be used or is damaged.
        RuntimeError: if another client has it open.
    """
    try:
        _check_points_are_there(folder)
        # Any thread may use it: the lock of the connection lets them in one by one.
        client = client_class(path=str(folder), force_disable_check_same_thread=True)
        try:
            _tidy(client, folder)
        except BaseException:
            client.close()
            raise
        return client
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
    stored = {file.parent.name for file in folder.glob("collection/*/storage.sqlite") if _is_whole(file)}
    table, named = folder / TABLE_FILE, set()
    if table.exists() and not stored and not table.stat().st_size:
        table.unlink()  # killed as soon as it had made the folder
    if table.exists():
        content = json.loads(table.read_text(encoding="utf-8"))
        live = {*content["aliases"].values()} if "aliases" in content else set()
        named = {
            name
            for name, config in content["collections"].items()
            if not is_leftover(name, config.get("metadata") or {}, live)
        }
    if named - stored or (stored and not table.exists()):
        raise ValueError(f"points or {TABLE_FILE} are missing")


def _tidy(client: QdrantClient, folder: Path) -> None:
    """Delete what killed programs left; the folder is ours alone by now, so nobody is filling anything."""
    live = {*aliases(client).values()}
    names = {entry.name for entry in client.get_collections().collections}
    for name in names:
        metadata: dict[str, Any] = client.get_collection(name).config.metadata or {}
        if is_leftover(name, metadata, live):
            client.delete_collection(name)
    for path in folder.glob("collection/*"):
        if path.name not in names and TEMPORARY.search(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _is_whole(file: Path) -> bool:
    """Return whether a file of SQLite holds a table, and no page of it is missing or damaged."""
    with closing(sqlite3.connect(file)) as database:
        tables = database.execute("SELECT name FROM sqlite_master").fetchall()
        return bool(tables) and database.execute("PRAGMA quick_check").fetchone() == ("ok",)
