import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--qdrant-url", help="also test the index against this Qdrant server, such as http://localhost:6333"
    )
