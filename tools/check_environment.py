"""Check that the course can run here: one line per check, [OK] or [FAIL] with what to do.

Run it with the Python that the course is installed in:

    .venv/bin/python tools/check_environment.py
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INSTALL = 'run "make course" again, or see "Without make" in docs/install.md'
OLDEST_PYTHON = (3, 11)
NEEDED_DISK, NEEDED_MEMORY = 1.0, 2.0  # GB: scratch files, and the largest notebook with its kernel


class ProblemError(Exception):
    """What is wrong, and what to do about it, in one sentence."""


def check_python() -> str:
    """Return the Python version if the course supports it."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        raise ProblemError(f"Python {found} is too old: install Python 3.11 or newer and start again")
    return f"Python {found}"


def check_packages() -> str:
    """Compare the installed versions with those that pyproject.toml allows and the lock names."""
    import tomllib

    try:
        from packaging.requirements import Requirement
        from packaging.version import Version
    except ImportError as error:
        raise ProblemError(f"the packages are not installed for {sys.executable}: {INSTALL}") from error
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    entries = [Requirement(line.rstrip("\\")) for line in lines if re.match(r"\w", line)]
    # Some packages are locked twice: an older version for older Pythons.
    locked = {entry.name: entry.specifier for entry in entries if not entry.marker or entry.marker.evaluate()}
    wrong, other = [], []
    needed = project["dependencies"] + project["optional-dependencies"]["course"]
    for need in map(Requirement, needed):
        try:
            found = Version(version(need.name))
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, but must be {need.specifier}")
        elif not locked[need.name].contains(found, prereleases=True):
            other.append(f"{need.name} is {found}, not {locked[need.name]}")
    if wrong:
        raise ProblemError(f"{'; '.join(wrong)}: {INSTALL}")
    if other:
        return f"{len(needed)} packages, not all as locked, so figures may differ: {'; '.join(other)}"
    return f"{len(needed)} packages at their locked versions"


def check_torch() -> str:
    """See whether torch and torchvision were built for each other, by a call that needs both."""
    try:
        import torch
        import torchvision

        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        kept = torchvision.ops.nms(box, torch.ones(1), 0.5)
    except Exception as error:
        raise ProblemError(f"torch and torchvision do not work together ({error}): {INSTALL}") from error
    if kept.tolist() != [0]:
        raise ProblemError(f"torchvision.ops.nms gives a wrong answer: {INSTALL}")
    pair = f"torch {torch.__version__} with torchvision {torchvision.__version__}"
    return f"{pair}, on {torch.get_num_threads()} threads"


def check_course_package() -> str:
    """Make sure that `import metriclearn` gives this folder's package and not another copy's."""
    try:
        import metriclearn
    except Exception as error:
        raise ProblemError(f"metriclearn cannot be imported ({error}): {INSTALL}") from error
    found = Path(str(metriclearn.__file__)).resolve().parent.parent
    if found != REPOSITORY:
        raise ProblemError(
            f"metriclearn comes from {found} instead of {REPOSITORY}: was the folder moved or copied? "
            'Run "make clean" and then "make course"'
        )
    return f"metriclearn {version('metriclearn')} from this folder"


def check_images() -> str:
    """Load the images that come with the packages."""
    from metriclearn import load_images

    pool, test = load_images("mnist-5k")
    if (len(pool), len(test)) != (4000, 1000):
        raise ProblemError(
            f"mnist-5k holds {len(pool)} + {len(test)} images instead of 4,000 + 1,000: {INSTALL}"
        )
    return "mnist-5k: 4,000 + 1,000 images, no download needed"


def check_encoder() -> str:
    """Load the published encoder and its card."""
    from metriclearn import MetricEmbedding
    from metriclearn.embedding import PUBLISHED

    if not PUBLISHED.exists():
        raise ProblemError(
            f'{PUBLISHED} is missing: run "git checkout metriclearn/weights" or "make weights"'
        )
    encoder = MetricEmbedding.load()
    return f"published encoder {encoder.encoder_id_}, {encoder.dim} numbers per image"


def check_qdrant() -> str:
    """Store three vectors in Qdrant's local mode and find one of them again."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    try:
        client.create_collection("check", models.VectorParams(size=2, distance=models.Distance.COSINE))
        corners = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
        points = [models.PointStruct(id=number, vector=corner) for number, corner in enumerate(corners)]
        client.upsert("check", points)
        found = client.query_points("check", query=[0.1, 0.9], limit=1).points[0].id
    finally:
        client.close()
    if found != 1:
        raise ProblemError(f"Qdrant's local mode finds a wrong neighbour: {INSTALL}")
    return "Qdrant works in memory, no server needed"


def check_server() -> str:
    """Ask the server that QDRANT_URL names for its version, and see whether the client fits it."""
    from qdrant_client.common.version_check import is_compatible

    from metriclearn.index.connection import connect, find_location

    try:
        home = find_location(None, None)
        if not home.url:
            return "QDRANT_URL is not set: no server is used"
        connection = connect(home)
    except (ConnectionError, ValueError) as error:
        raise ProblemError(str(error).rstrip(".")) from error
    client, server = version("qdrant-client"), connection.client.info().version
    connection.close()
    found = f"Qdrant {server} answers at {home.url}, and the client is {client}"
    if is_compatible(client, server):
        return found
    (major, minor), theirs = map(int, client.split(".")[:2]), server.split(".")
    fitting = ", ".join(f"{major}.{number}" for number in (minor - 1, minor, minor + 1) if number >= 0)
    advice = f'start a server of version {fitting}, or install "qdrant-client=={".".join(theirs[:2])}.*"'
    if theirs[0] != str(major):
        raise ProblemError(f"{found}: another major version, so {advice}")
    return f"{found}: they are more than one minor version apart. If calls fail, {advice}"


def check_kernel() -> str:
    """Make sure that notebooks would run with this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    own_kernels_first()
    try:
        folder = KernelSpecManager().get_kernel_spec("python3").resource_dir
    except NoSuchKernel as error:
        raise ProblemError(f"there is no Jupyter kernel for Python: {INSTALL}") from error
    if not Path(folder).resolve().is_relative_to(Path(sys.prefix).resolve()):
        raise ProblemError(f"Jupyter would use the kernel in {folder}, which is another Python's: {INSTALL}")
    return "Jupyter kernel of this Python"


def check_disk() -> str:
    """See whether there is room for scratch files."""
    free = shutil.disk_usage(REPOSITORY).free / 1e9
    if free < NEEDED_DISK:
        raise ProblemError(f"only {free:.1f} GB of disk are free: make room for at least {NEEDED_DISK:g} GB")
    return f"{free:.0f} GB of disk free"


def check_memory() -> str:
    """See whether the largest notebook fits into memory; only Linux tells how much is free."""
    lines = Path("/proc/meminfo").read_text() if Path("/proc/meminfo").exists() else ""
    found = re.search(r"MemAvailable:\s+(\d+) kB", lines)
    if not found:
        return f"memory not checked on this system: {NEEDED_MEMORY:g} GB free are enough"
    free = int(found[1]) / 1e6
    if free < NEEDED_MEMORY:
        raise ProblemError(
            f"only {free:.1f} GB of memory are free: close programs until {NEEDED_MEMORY:.0f} GB are"
        )
    return f"{free:.0f} GB of memory free"


def own_kernels_first() -> None:
    """Let Jupyter find this Python's kernel before any that the user has installed elsewhere."""
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")


CHECKS: list[Callable[[], str]] = [
    check_python,
    check_packages,
    check_torch,
    check_course_package,
    check_images,
    check_encoder,
    check_qdrant,
    check_server,
    check_kernel,
    check_disk,
    check_memory,
]


def main(checks: list[Callable[[], str]] = CHECKS) -> int:
    """Run all checks, print a line for each, and return 1 if any failed."""
    print("Checking the environment", flush=True)
    failed = 0
    for check in checks:
        try:
            print(f"[OK]   {check()}", flush=True)
        except ProblemError as problem:
            failed += 1
            print(f"[FAIL] {problem}.", flush=True)
        except Exception as error:  # a check that itself breaks is a failure too, and the next ones still run
            failed += 1
            name = check.__name__.replace("_", " ")
            print(f"[FAIL] {name}: {type(error).__name__}: {error}. To mend it, {INSTALL}.", flush=True)
    print(f"{failed} of {len(checks)} checks failed.\n" if failed else "Everything is ready.\n", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
