"""Enough of a Qdrant server for the tests: HTTP before the local mode, and as unreliable as a test wants.

It shows that what the index does survives the way over a network; how the real engine searches it cannot
show. For that, pass `--qdrant-url`.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

Trouble = Callable[[int, str, str], str | None]


adapter = cache(TypeAdapter)


def parsed(kind, body):
    return adapter(kind).validate_python(body)


class StandIn:
    """A server that answers at `url`.

    Attributes:
        store: the client behind it; `lock` lets one request in at a time.
        requests: each request's method, path and query; `lengths` has the bytes of each body.
        trouble: told the number, method and path of a request, says what goes wrong. "refuse" hangs up
            unheard, "lose" does as asked and hangs up, "late" answers after two seconds, a status such as
            "429" is sent instead, and so is any other text, as a page; None lets it pass.
        key: the API key that it asks for, if any; `reader` is one that may not write.
        strict: the strict mode of its collections, if any.
        created: what each collection was made with.
    """

    def __init__(self, version="1.20.0"):
        self.store, self.lock = QdrantClient(":memory:"), threading.Lock()
        self.requests = []
        self.lengths = []
        self.trouble = lambda number, method, path: None
        self.version, self.key, self.reader, self.url = version, "", "", ""
        self.strict, self.indexed, self.created = None, {}, {}

    def check_strict(self, method, path, body):
        """Raise a ValueError for what a server in strict mode refuses, as far as we ask for such things."""
        parts = path.split("/")[3:]
        if self.strict is None or not parts or parts[0] not in ("points", "facet") or method == "PUT":
            return
        name, body = path.split("/")[2], body or {}
        name = {alias.alias_name: alias.collection_name for alias in self.store.get_aliases().aliases}.get(
            name, name
        )
        asked = body["searches"] if parts[1:] == ["query", "batch"] else [body]
        for one in asked:
            limit = one.get("limit") or 0
            if parts[1:2] == ["search"]:  # a matrix
                limit *= one.get("sample", 10)
            if limit > (self.strict.max_query_limit or limit):
                raise ValueError(f'Limit exceeded {limit} > {self.strict.max_query_limit} for "limit"')
            for key in keys_of(one.get("filter")):
                if key not in self.indexed.get(name, ()):
                    raise ValueError(f'Index required but not found for "{key}" of one of the types')
        if parts[0] == "facet" and body["key"] not in self.indexed.get(name, ()):  # also without strict mode
            raise ValueError(f"No appropriate index for faceting: `{body['key']}`")

    def answer(self, method, path, body):
        """Do what a request asks for, and return the result."""
        store, (_, *parts) = self.store, path.split("/")
        self.check_strict(method, path, body)
        match method, parts:
            case "GET", [""]:
                return {"title": "qdrant", "version": self.version}
            case "GET", ["readyz"]:
                return "all shards are ready"
            case "GET", ["collections"]:
                return store.get_collections()
            case "GET", ["aliases"]:
                return store.get_aliases()
            case "POST", ["collections", "aliases"]:
                kind = list[models.AliasOperations]
                return store.update_collection_aliases(parsed(kind, body["actions"]))
            case "GET", [_, name]:
                info = store.get_collection(name)
                aliases = {alias.alias_name: alias.collection_name for alias in store.get_aliases().aliases}
                info.payload_schema = self.indexed.get(aliases.get(name, name), {})
                return info
            case "GET", [_, name, "exists"]:
                return {"exists": store.collection_exists(name)}
            case "PUT", [_, name]:
                if store.collection_exists(name):
                    raise FileExistsError(f"Wrong input: Collection `{name}` already exists!")
                self.created[name], self.indexed[name] = body, {}
                return store.create_collection(
                    name, parsed(models.VectorsConfig, body["vectors"]), metadata=body["metadata"]
                )
            case "PATCH", [_, name]:
                return store.update_collection(name, metadata=body["metadata"])
            case "DELETE", [_, name]:
                return store.delete_collection(name)
            case "PUT", [_, name, "index"]:
                kind = parsed(models.PayloadSchemaType, body["field_schema"])
                self.indexed[name][body["field_name"]] = models.PayloadIndexInfo(data_type=kind, points=0)
                return store.create_payload_index(name, body["field_name"], body["field_schema"])
            case "PUT", [_, name, "points"]:
                mode = parsed(models.UpdateMode | None, body.get("update_mode"))
                return store.upsert(name, parsed(list[models.PointStruct], body["points"]), update_mode=mode)
            case "POST", [_, name, "points", "payload"]:
                return store.set_payload(name, body["payload"], points=body["points"])
            case "POST", [_, name, "facet"]:
                where = parsed(models.Filter | None, body.get("filter"))
                return store.facet(name, body["key"], facet_filter=where, limit=body.get("limit", 10))
            case "POST", [_, name, "points", "query"]:
                (answer,) = store.query_batch_points(name, [parsed(models.QueryRequest, body)])
                return answer
            case "POST", [_, name, "points"]:
                return store.retrieve(
                    name,
                    body["ids"],
                    with_payload=body.get("with_payload", True),
                    with_vectors=body.get("with_vector", False),
                )
            case "POST", [_, name, "points", "delete"]:
                return store.delete(name, parsed(models.PointsSelector, body))
            case "POST", [_, name, "points", "count"]:
                return store.count(name, parsed(models.Filter | None, body.get("filter")))
            case "POST", [_, name, "points", "scroll"]:
                points, offset = store.scroll(
                    name,
                    parsed(models.Filter | None, body.get("filter")),
                    body["limit"],
                    offset=body.get("offset"),
                    with_vectors=body["with_vector"],
                )
                return {"points": points, "next_page_offset": offset}
            case "POST", [_, name, "points", "query", "batch"]:
                return store.query_batch_points(name, parsed(list[models.QueryRequest], body["searches"]))
            case "POST", [_, name, "points", "search", "matrix", "offsets"]:
                return store.search_matrix_offsets(name, sample=body["sample"], limit=body["limit"])
        raise ValueError(f"no such request: {method} {path}")


def keys_of(part):
    """Return the payload keys that a filter in JSON names."""
    if isinstance(part, dict):
        return {part["key"]} if "key" in part else set().union(*map(keys_of, part.values()))
    return set().union(*map(keys_of, part)) if isinstance(part, list) else set()


READING = ("count", "scroll", "query", "batch", "offsets", "pairs", "facet", "points")


@contextmanager
def stand_in(**settings):
    """Run one on a free port of this machine."""
    server = StandIn(**settings)

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self):
            method, (path, _, query) = self.command, self.path.partition("?")
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or "null")
            server.lengths.append(length)
            server.requests.append((method, path, query))
            trouble = server.trouble(len(server.requests), method, path)
            if trouble == "refuse":
                return self.hang_up()
            key = self.headers.get("api-key")
            if server.key and key not in (server.key, server.reader or server.key):
                trouble = "401"
            writes = method not in ("GET", "POST") or (method == "POST" and not path.endswith(READING))
            if server.key and key == server.reader and writes:
                told = "Forbidden: Global write access is required"
                return self.send(403, {"status": {"error": told}, "time": 0})
            if trouble and trouble.isdecimal():
                return self.send(int(trouble), {"status": {"error": "as the test wants it"}, "time": 0})
            if trouble and trouble not in ("lose", "late"):
                return self.send(200, trouble)
            try:
                with server.lock:
                    result = server.answer(method, path, body)
                status, told = 200, {"status": "ok", "time": 0, "result": result}
                if path == "/":
                    told = result
            except (ValueError, FileExistsError) as error:
                missing, there = str(error).startswith("Collection"), isinstance(error, FileExistsError)
                status = 404 if missing else 409 if there else 400
                told = {"status": {"error": str(error)}, "time": 0}
            if trouble == "lose":
                return self.hang_up()
            if trouble == "late":
                time.sleep(2)
            return self.send(status, told)

        def send(self, status, content):
            text = content.encode() if isinstance(content, str) else adapter(Any).dump_json(content)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text)

        def hang_up(self):
            self.close_connection = True

        def log_message(self, *_):
            pass

    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_one)

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request, address):
            if not isinstance(sys.exception(), ConnectionError):  # those who ask may hang up, too
                super().handle_error(request, address)

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            server.store.close()


if __name__ == "__main__":  # so that a whole suite can be run against it
    with stand_in() as running:
        running.strict = models.StrictModeConfig(enabled=True, max_query_limit=10_000)
        print(running.url, flush=True)
        threading.Event().wait()
