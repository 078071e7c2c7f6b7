"""What must hold of the server's files: one version, a key, loopback, strict mode, a true health check."""

import ast
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.version import Version
from qdrant_client import QdrantClient, models
from stand_in import stand_in

from metriclearn.index.collection import HITS_PER_CALL, PER_PAGE, TIES

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


@each
def test_strict_mode_is_on_and_lets_the_package_work(service):
    given = {
        key.removeprefix(STRICT).lower(): yaml.safe_load(value)
        for key, value in service["environment"].items()
        if key.startswith(STRICT)
    }
    strict = models.StrictModeConfig(**given)
    assert set(given) <= set(models.StrictModeConfig.model_fields)
    assert (strict.enabled, strict.unindexed_filtering_retrieve, strict.unindexed_filtering_update) == (
        True,
        False,
        False,
    )
    assert max(PER_PAGE, TIES) < strict.max_query_limit <= HITS_PER_CALL


def test_both_files_ask_for_the_same():
    (alone,), peers = read(FILES[0])["services"].values(), read(FILES[1])["services"].values()
    for peer in peers:
        environment = dict(peer["environment"])
        assert environment.pop("QDRANT__CLUSTER__ENABLED") == "true"
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


def test_the_runbooks_python_names_what_there_is():
    blocks = re.findall(r"^```python\n(.*?)^```", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
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
