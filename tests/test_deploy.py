"""What must hold of the server's files: one version, a key, loopback, strict mode, a true health check."""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import yaml
from packaging.version import Version
from qdrant_client import QdrantClient, models
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.curation import embedding_map
from metriclearn.index.collection import HITS_PER_CALL, INDEXED, PER_PAGE, TIES
from metriclearn.index.export import export_points, import_points
from metriclearn.index.reindex import reindex, rollback, versions

ROOT = Path(__file__).parent.parent
FILES = ("deploy/compose.yaml", "deploy/compose.cluster.yaml")
RUNBOOK = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
STRICT = "QDRANT__STORAGE__COLLECTION__STRICT_MODE__"


def read(name):
    content = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return content


def services():
    return {f"{name} {key}": one for name in FILES for key, one in read(name)["services"].items()}


each = pytest.mark.parametrize("service", services().values(), ids=services().keys())


def test_one_version_everywhere():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    named = re.compile(r"qdrant/qdrant(?::([\w.-]+))?(?=[\s\"'`])")
    found = {}
    for name in [*listing.stdout.split("\0"), *FILES, "deploy/README.md"]:
        if name.endswith((".md", ".yaml", ".yml", ".ipynb")) and (ROOT / name).is_file():
            found |= {name: set(versions)} if (versions := named.findall((ROOT / name).read_text())) else {}
    assert set(FILES) <= set(found)
    assert len(set().union(*found.values())) == 1, found
    (version,) = set().union(*found.values())
    assert re.fullmatch(r"v\d+\.\d+\.\d+", version)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    client, server = Version(re.search(r"^qdrant-client==(\S+)", lock, re.MULTILINE)[1]), Version(version)
    assert client.major == server.major
    assert abs(client.minor - server.minor) <= 1, "Qdrant promises no more than one minor version apart"


@each
def test_a_server_is_closed_to_strangers(service):
    assert service["ports"]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:633[34]", port) for port in service["ports"])
    key = service["environment"]["QDRANT__SERVICE__API_KEY"]
    assert re.fullmatch(r"\$\{QDRANT_API_KEY:\?.+\}", key), "Compose must refuse to start without a key"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each
def test_a_server_keeps_its_points_and_comes_back(service):
    places = {volume.partition(":")[2] for volume in service["volumes"]}
    assert places == {"/qdrant/storage", "/qdrant/snapshots"}
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"] == "60s"


def test_every_volume_is_declared_and_nobody_shares_one():
    for name in FILES:
        used = [
            volume.partition(":")[0] for one in read(name)["services"].values() for volume in one["volumes"]
        ]
        assert len(set(used)) == len(used)
        assert set(used) == set(read(name)["volumes"])


def strict_mode(service):
    given = {
        key.removeprefix(STRICT).lower(): yaml.safe_load(value)
        for key, value in service["environment"].items()
        if key.startswith(STRICT)
    }
    assert set(given) <= set(models.StrictModeConfig.model_fields)
    return models.StrictModeConfig(**given)


@each
def test_strict_mode_is_on_and_lets_the_package_work(service):
    strict = strict_mode(service)
    assert (strict.enabled, strict.unindexed_filtering_retrieve, strict.unindexed_filtering_update) == (
        True,
        False,
        False,
    )
    assert max(PER_PAGE, TIES) < strict.max_query_limit <= HITS_PER_CALL


@pytest.fixture
def strict_server():
    with stand_in() as server:
        server.strict = strict_mode(next(iter(services().values())))
        yield server


def test_strict_mode_passes_each_kind_of_query(strict_server, tmp_path):
    n, where = 400, {"url": strict_server.url}
    points = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    rows, labels = [str(row) for row in range(n)], np.arange(n) % 4
    with EmbeddingIndex(8, versioned=True, payload_indexes={"camera": "keyword"}, **where) as index:
        index.upsert(points, labels, rows, [{"camera": "left" if row % 2 else "right"} for row in range(n)])
        assert index.query(points[:3], 1, where={"label": [0, 1], "source": "0", "camera": "right"}).ids.shape
        assert index.query(points[:2], 300).ids.shape == (2, 300)
        assert index.count({"camera": "left"}) == 200
        assert len(index.neighbour_graph(30).rows) == 30 * n
        index.delete(where={"camera": "left", "label": 3})
        index.delete(ids=index.query(points[:1], 2).ids[0].tolist())
        export_points(index, tmp_path)
        import_points(tmp_path, collection="again", **where).close()
        done = reindex(index, lambda rows: points[[int(row) for row in rows]][:, ::-1], "second")
        assert len(versions(rollback(done.index))) == 2
        with pytest.raises(
            ConnectionError, match=r"refuses a request with status 400: .* not found for .row."
        ):
            index.count({"row": 3})
        with pytest.raises(ConnectionError, match="Limit exceeded"), index.storage.using() as client:
            client.search_matrix_offsets(index.storage.stored_in, sample=400, limit=30)
    with QdrantClassifier(collection="votes", **where).fit(points, labels) as classifier:
        classifier.partial_fit(points[:9], labels[:9])
        assert classifier.kneighbors()[1].shape == (n + 9, 5)
    assert QdrantClassifier.open(collection="votes", **where).score(points, labels) > 0.2
    with EmbeddingIndex(8, collection="map", payload_indexes={"odd": "bool"}, **where) as index:
        ids = index.upsert(points[:40], labels[:40])
        assert embedding_map(index)[0].shape == (40, 2)
        # The plain client, as in notebook 7.
        suspect = models.FieldCondition(key="odd", match=models.MatchValue(value=True))
        index.client.set_payload(index.collection, {"odd": True}, points=ids[:8])
        only = models.Filter(must=[suspect])
        hits = index.client.facet(index.collection, key="label", limit=10, facet_filter=only).hits
        assert sum(hit.count for hit in hits) == 8
        liked = models.RecommendQuery(recommend=models.RecommendInput(positive=ids[:2], negative=ids[2:4]))
        assert len(index.client.query_points(index.collection, query=liked, limit=9).points) == 9


def notebooks():
    return sorted(path.relative_to(ROOT) for path in (ROOT / "notebooks").rglob("*.ipynb"))


@pytest.mark.parametrize("notebook", notebooks(), ids=str)
def test_what_a_notebook_filters_by_has_an_index(notebook):
    """A server in strict mode refuses any other; a plain client in memory may do as it likes."""
    filtered, indexed = payload_keys(notebook)
    if notebook.parent.name == "solutions":  # which goes on with the index of its notebook
        indexed |= payload_keys(Path("notebooks", notebook.name))[1]
    assert filtered <= indexed | set(INDEXED)


def payload_keys(notebook):
    """Return the keys that a notebook filters by, and those that it has indexed."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    nodes = [*ast.walk(ast.parse(re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE)))]
    assigned = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    filtered, indexed = set(), set()
    for call in nodes:
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", "")
        given = [(keyword.arg, keyword.value) for keyword in call.keywords]
        given += [("where", value) for value in call.args[:1] if name in ("count", "delete")]
        for argument, value in given:
            value = assigned.get(value.id) if isinstance(value, ast.Name) else value
            keys = {key.value for key in value.keys} if isinstance(value, ast.Dict) else set()
            if argument == "payload_indexes":
                indexed |= keys
            elif argument == "where":
                filtered |= keys
            elif argument == "key" and name in ("FieldCondition", "facet"):
                filtered.add(value.value)
    return filtered, indexed


def test_the_check_of_notebooks_finds_what_they_filter_by():
    found = [
        payload_keys(Path("notebooks", name)) for name in ("07_know_your_data.ipynb", "09_label_less.ipynb")
    ]
    assert found == [({"label", "odd"}, {"odd"}), ({"label_by"}, {"label_by", "labelled"})]


def test_both_files_ask_for_the_same():
    (alone,), peers = read(FILES[0])["services"].values(), read(FILES[1])["services"].values()
    for peer in peers:
        environment = dict(peer["environment"])
        assert environment.pop("QDRANT__CLUSTER__ENABLED") == "true"
        assert environment.pop("QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR") == "2"
        assert environment == alone["environment"]
        for key in ("image", "healthcheck", "restart", "stop_grace_period", "security_opt"):
            assert peer[key] == alone[key]


def test_peers_find_each_other():
    peers = read(FILES[1])["services"]
    assert [name for name, peer in peers.items() if "profiles" not in peer] == ["peer-1", "peer-2", "peer-3"]
    first = "http://peer-1:6335"
    for name, peer in peers.items():
        own = ["--uri", f"http://{name}:6335"]
        joins = [] if name == "peer-1" else ["--bootstrap", first]
        assert peer["command"] == ["./qdrant", *joins, *own]
        assert ("depends_on" in peer) == bool(joins)
    ports = [port for peer in peers.values() for port in peer["ports"]]
    assert len(set(ports)) == len(ports)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed here")
def test_the_health_check_tells_ready_from_anything_else():
    check = read(FILES[0])["services"]["qdrant"]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "bash", "-c"]

    def healthy(port):
        script = check[3].replace("$$", "$").replace("/6333", f"/{port}")
        return subprocess.run(["bash", "-c", script], capture_output=True, timeout=20).returncode == 0

    with stand_in() as server:
        port = int(server.url.rpartition(":")[2])
        assert healthy(port)
        assert server.requests[-1][:2] == ("GET", "/readyz")
        for trouble in ("503", "refuse"):
            server.trouble = lambda number, method, path, trouble=trouble: trouble
            assert not healthy(port)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert not healthy(free.getsockname()[1])


def runbook(language="python"):
    """Return the heading and the content of each block of the runbook, in order."""
    found, pattern = [], re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    for section in re.split(r"^## ", RUNBOOK, flags=re.MULTILINE):
        found += [(section.partition("\n")[0], block) for block in pattern.findall(section)]
    return found


def run_runbook(headings, server, tmp_path, monkeypatch):
    """Run the runbook's Python, in its order, with collections of another name and a backup elsewhere."""
    monkeypatch.setenv("QDRANT_URL", server["url"])
    monkeypatch.setenv("QDRANT_API_KEY", os.environ.get("QDRANT_API_KEY", "none"))
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for heading, block in runbook():
        if heading.startswith(headings):
            code = (
                block.replace('"images', f'"{server["collection"]}')
                .replace("EmbeddingIndex(\n", f"EmbeddingIndex(\n    collection={server['collection']!r},\n")
                .replace("EmbeddingIndex(32", f"EmbeddingIndex(32, collection={server['collection']!r}")
            )
            exec(compile(code, heading, "exec"), namespace)
            if "index" in namespace:
                namespace["index"].upsert(np.eye(32), sources=[str(row) for row in range(32)])
    return namespace


ALONE = ("A server, a cluster", "# A server", "Start", "Export")


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_runbook_runs(tmp_path, monkeypatch):
    with stand_in() as server:
        there = run_runbook(ALONE, {"url": server.url, "collection": "tried"}, tmp_path, monkeypatch)
        assert there["index"].count() == 32
        assert there["client"].count("tried_again").count == 32


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_runbook_runs_on_a_server_too(qdrant_server, tmp_path, monkeypatch):
    client = QdrantClient(url=qdrant_server["url"], api_key=os.environ.get("QDRANT_API_KEY"))
    cluster = client.cluster_status().status == "enabled"
    headings = (*ALONE, "A cluster", "Back up") if cluster else (*ALONE, "Back up")
    there = run_runbook(headings, qdrant_server, tmp_path, monkeypatch)
    assert there["index"].count() == 32
    if cluster:
        assert all(there["holders"](there["name"]).values())
    client.close()
    asked = Request(f"{qdrant_server['url']}/metrics", headers={"api-key": os.environ["QDRANT_API_KEY"]})
    with urlopen(asked) as answer:
        metrics = answer.read().decode()
    for name in METRICS:
        assert name in metrics


METRICS = ("rest_responses_total", "rest_responses_duration_seconds", "memory_resident_bytes")


def test_the_runbook_names_metrics_that_there_are():
    (row,) = re.findall(r"^## What to watch\n(.*?)^## ", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`([a-z]+_[a-z_]+)(?:\{[^`]*\})?`", row)
    fields = {
        field for kind in (models.CollectionInfo, models.ClusterStatusOneOf1) for field in kind.model_fields
    }
    assert set(named) - fields <= set(METRICS)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed here")
def test_the_runbooks_commands_can_be_read():
    for _, block in runbook("sh"):
        told = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")


def test_the_runbooks_python_names_what_there_is():
    blocks = [block for _, block in runbook()]
    assert len(blocks) > 8
    for node in ast.walk(ast.parse("\n".join(blocks))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            of = {"client": QdrantClient, "models": models}.get(node.value.id)
            assert of is None or hasattr(of, node.attr), ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("models."):
            fields = getattr(models, node.func.attr).model_fields
            assert {keyword.arg for keyword in node.keywords} <= set(fields), ast.unparse(node)


def test_the_runbook_speaks_of_services_that_there_are():
    known = {name: set(read(name)["services"]) for name in FILES}
    for line in re.findall(r"docker compose -f (.*)", RUNBOOK):
        file = line.split()[0]
        assert file in known
        for word in re.findall(r"\bpeer-\d\b", line):
            assert word in known[file]
