import os
import uuid

import pytest
from qdrant_client import QdrantClient

API_KEY = os.environ.get("QDRANT_API_KEY")  # before a test takes it away


def pytest_addoption(parser):
    parser.addoption(
        "--qdrant-url",
        help="also test the index against this Qdrant server, such as http://localhost:6333 (its key, if it "
        "asks for one, in QDRANT_API_KEY)",
    )
    parser.addoption("--full-length", action="store_true", help="run cells twice without making them shorter")


@pytest.fixture(autouse=True)
def _no_server_by_accident(monkeypatch):
    for name in ("QDRANT_URL", "QDRANT_API_KEY", "METRICLEARN_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def qdrant_server(request, monkeypatch):
    """The url of a real server and a collection that is nobody else's; it is cleared up afterwards."""
    url = request.config.getoption("--qdrant-url")
    if url is None:
        pytest.skip("no server: pass --qdrant-url URL")
    if API_KEY:
        monkeypatch.setenv("QDRANT_API_KEY", API_KEY)
    name = f"test_{uuid.uuid4().hex}"
    yield {"url": url, "collection": name}
    client = QdrantClient(url=url, api_key=API_KEY, check_compatibility=False)
    for collection in client.get_collections().collections:
        if collection.name.startswith(name):  # those behind an alias have an ending
            client.delete_collection(collection.name)
