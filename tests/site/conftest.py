"""A headless Chromium, the built site by HTTP and from the disk, and a page that lists what went wrong."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: run make course")

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from find_browser import find_browser  # noqa: E402

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


WAYS = ("http", "file")  # how a reader opens the site: from a server, or by a double-click on a file
DESKTOP = {"width": 1280, "height": 900}


@dataclass
class Visit:
    """A browser page, and what it complained about and asked for outside the folder that it shows."""

    page: playwright.Page
    address: str
    errors: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)

    def open(self, path):
        """Go to a page of the site, such as `notebooks/01_scarce_labels.html`; forget earlier complaints."""
        self.page.goto("about:blank")  # what the page before still had to say comes now
        self.errors.clear()
        self.external.clear()
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        return self.page


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line of log for each."""

    def log_message(self, *arguments):
        """Say nothing."""


def serve(folder):
    """Serve a folder on a free port of this machine, in a thread."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    return server


@pytest.fixture(scope="session")
def site():
    """Return the folder of the built site; build it if nobody has."""
    folder = ROOT / "build" / "site"
    if not (folder / "index.html").exists():
        subprocess.run([sys.executable, str(ROOT / "tools" / "build_site.py")], check=True)
    return folder


@pytest.fixture(scope="session")
def addresses(site):
    """Serve the built site and return where it is, each way."""
    server = serve(site)
    yield both(server, site)
    server.shutdown()


def both(server, folder):
    """Return the addresses of a folder that is served: by HTTP, and on the disk."""
    return {"http": f"http://127.0.0.1:{server.server_port}", "file": folder.resolve().as_uri()}


@pytest.fixture(scope="session")
def browser():
    """Start one Chromium with a profile of its own for all tests."""
    path = find_browser(install=True)
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium or Chrome was found, and none could be installed: CI must test the site")
    if path is None:
        pytest.skip("no Chromium or Chrome here: the site was not tested in a browser")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)  # in a fresh profile
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def only_visit(browser):
    """Open a page that keeps console errors, failed requests, and requests that leave; all tests share it."""
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(30_000)
    visit = Visit(page, "")
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on(
        "response",
        lambda answer: visit.errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    page.on(
        "request",
        lambda request: visit.external.append(request.url) if leaves(request.url, visit.address) else None,
    )
    yield visit
    page.close()


@pytest.fixture
def new_visit(only_visit):
    """Return the visit as at the start: the caller says whereto."""
    only_visit.page.goto("about:blank")
    only_visit.page.set_viewport_size(DESKTOP)
    only_visit.address = ""
    return only_visit


@pytest.fixture(params=WAYS)
def visit(request, new_visit, addresses):
    """Return a visit whose `open` goes to the built site, once by HTTP and once from the disk."""
    new_visit.address = addresses[request.param]
    return new_visit


def leaves(url, address):
    """Return whether a request asks for anything outside the folder at an address."""
    return not url.startswith((f"{address}/", "data:", "blob:", "about:", "chrome"))
