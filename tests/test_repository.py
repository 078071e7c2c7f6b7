"""What lies around the code: the lock, the other ways to install, the README, licences, data cards."""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import requires, version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from markdown_links import dead_links, markdown_of
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from PIL import Image
from torchvision.ops import nms

from metriclearn import load_images
from metriclearn.data import TORCHVISION_SETS

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from code_numbers import Module, arrows, cycles, private_uses

ROOT = Path(__file__).parent.parent
# In two pieces each, so that this file does not hold what it forbids.
HOSTS = ("pypi" + ".org", "python" + "hosted.org", "download.pytorch" + ".org", "registry.npm" + "js")
HOSTS += ("conda.anaconda" + ".org", "repo.anaconda" + ".com")
MACHINE_PATHS = r"(?<![\w.}])/(?:work|root|home|tmp|Users)/"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tracked():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# The lock against pyproject.toml.


@dataclass
class Locked:
    """One entry of the lock: what, where it applies, its hashes, and who asked for it."""

    name: str
    version: str
    marker: Marker | None
    hashes: list[str]
    via: set[str]


def parse_lock(text):
    entries = []
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        need = Requirement(block.splitlines()[0].rstrip(" \\"))
        pinned = re.fullmatch(r"==([^*]+)", str(need.specifier))
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block)
        via = re.findall(r"metriclearn \((pyproject\.toml(?::\w+)?)\)", block)
        entries.append(
            Locked(canonicalize_name(need.name), pinned[1] if pinned else "", need.marker, hashes, set(via))
        )
    return entries


def lock_problems(pyproject, lock):
    """Return where the lock and pyproject.toml disagree, and where the lock is not safe to install from."""
    content = tomllib.loads(pyproject)
    extras = content["project"]["optional-dependencies"].values()  # the notebooks want all of them
    asked = {
        "pyproject.toml": [*content["project"]["dependencies"], *chain.from_iterable(extras)],
        "pyproject.toml:dev": content["dependency-groups"]["dev"],
    }
    entries, problems = parse_lock(lock), []
    for source, lines in asked.items():
        needs = [Requirement(line) for line in lines]
        names = {canonicalize_name(need.name) for need in needs}
        locked = {entry.name for entry in entries if source in entry.via}
        problems += [f"{name} is in {source}, but not in the lock" for name in sorted(names - locked)]
        problems += [f"{name} is in the lock, but not in {source}" for name in sorted(locked - names)]
        problems += [
            f"{entry.name} {entry.version} is locked, but {need} is asked for"
            for need in needs
            for entry in entries
            if entry.name == canonicalize_name(need.name) and not need.specifier.contains(entry.version, True)
        ]
    for entry in entries:
        if not entry.version:
            problems.append(f"{entry.name} is not pinned")
        if not entry.hashes:
            problems.append(f"{entry.name} has no hash")
    if re.search(r"://|\b[\w-]+\.(org|com|net|io)\b", lock):
        problems.append("the lock names a host")
    return problems


def test_lock_is_in_step_with_pyproject():
    assert lock_problems(read("pyproject.toml"), read("requirements.lock")) == [], 'run "make lock"'


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("pyproject.toml", '"scipy>=1.13"', '"scipy>=99"', "but scipy>=99 is asked for"),
        (
            "pyproject.toml",
            '"scipy>=1.13",',
            '"scipy>=1.13", "polars",',
            "polars is in pyproject.toml, but not",
        ),
        ("pyproject.toml", '"scipy>=1.13",', "", "scipy is in the lock, but not in pyproject.toml"),
        ("pyproject.toml", '"jupyterlab>=4.4", ', "", "jupyterlab is in the lock, but not in pyproject.toml"),
        ("pyproject.toml", '"mypy>=1.15"', '"pyright"', "mypy is in the lock, but not in pyproject.toml:dev"),
        ("requirements.lock", "\nscipy==", "\nscipy>=", "scipy is not pinned"),
        ("requirements.lock", "--hash=sha256:", "--hash=md5:", "has no hash"),
        ("requirements.lock", "# This", "--index-url https://example.org\n# This", "names a host"),
    ],
)
def test_drift_is_caught(file, old, new, problem):
    texts = {name: read(name) for name in ("pyproject.toml", "requirements.lock")}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new)
    problems = lock_problems(texts["pyproject.toml"], texts["requirements.lock"])
    assert any(problem in found for found in problems)


def test_torch_and_torchvision_are_a_pair():
    locked = {entry.name: entry.version for entry in parse_lock(read("requirements.lock"))}
    # In 2.13.0, "import torchvision" fails where pip finds a CPU-only wheel of torch.
    assert locked["torch"] != "2.13.0"
    allowed = [Requirement(line) for line in tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]]
    assert not any(need.name == "torch" and need.specifier.contains("2.13.0") for need in allowed)
    installed = {name: version(name) for name in ("torch", "torchvision")}
    assert {name: Version(found).public for name, found in installed.items()} == {
        name: locked[name] for name in installed
    }
    [torch_for_torchvision] = [
        need.specifier
        for line in requires("torchvision") or []
        if (need := Requirement(line)).name == "torch"
    ]
    assert torch_for_torchvision.contains(locked["torch"])
    assert (
        Version(installed["torch"]).local == Version(installed["torchvision"]).local
    )  # such as cpu or cu132
    # The proof: this operator is compiled in torchvision and registered with torch.
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9], [2.0, 2.0, 3.0, 3.0]])
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


def test_lock_serves_the_oldest_python():
    oldest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    assert f"--python-version {oldest} " in read("Makefile")
    assert f"Python {oldest}" in read("README.md")


# The other ways in: conda, make, CI.


def conda_problems(pyproject, environment):
    """Return where environment.yml asks for something else than pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    listed = yaml.safe_load(environment)["dependencies"]
    wanted = [f"python{project['requires-python']}", "pip", {"pip": ["-e .[course]"]}]
    problems = [f"{want} is missing" for want in wanted if want not in listed]
    problems += [f"{entry} is too much" for entry in listed if entry not in wanted]
    return problems + ["there is no extra named course"] * ("course" not in project["optional-dependencies"])


def test_conda_environment_is_in_step_with_pyproject():
    pyproject, environment = read("pyproject.toml"), read("environment.yml")
    assert conda_problems(pyproject, environment) == []
    newer = pyproject.replace('requires-python = ">=3.11"', 'requires-python = ">=3.12"')
    assert conda_problems(newer, environment) == ["python>=3.12 is missing", "python>=3.11 is too much"]
    assert conda_problems(pyproject.replace("\ncourse = ", "\nlessons = "), environment) != []
    assert conda_problems(pyproject, environment + "  - numpy\n") == ["numpy is too much"]


def make_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), flags=re.MULTILINE))


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")
def test_make_explains_every_target():
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == make_targets()
    assert all(re.fullmatch(r"make [a-z-]+ +\w.{10,}", line) for line in shown.splitlines())
    [phony] = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)
    assert set(phony.split()) == make_targets()


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/install.md",
        "docs/results.md",
        "CONTRIBUTING.md",
        "data/README.md",
        "deploy/README.md",
        ".ci/run",
        ".github/workflows/course.yml",
    ],
)
def test_commands_exist(name):
    text = read(name)
    if name.endswith(".md"):
        text = "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.MULTILINE | re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", text)) <= make_targets()
    scripts = re.findall(r"\b((?:tools|benchmarks)(?:[/\\]\w+)+\.py)\b", text)
    scripts += [f"{name.replace('.', '/')}.py" for name in re.findall(r"-m (benchmarks(?:\.\w+)+)", text)]
    assert [script for script in scripts if not (ROOT / script.replace("\\", "/")).is_file()] == []


def test_ci_runs_what_learners_run():
    workflow = yaml.safe_load(read(".github/workflows/course.yml"))
    commands = {step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step}
    compose = "docker compose -f deploy/compose.yaml"
    server = {f"{compose} up --detach --wait", "make test-server QDRANT_URL=http://127.0.0.1:6333"}
    assert commands == {"make course", "make test", f"{compose} logs"} | server
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert read(".ci/run").rstrip().endswith("exec make test")


def test_actions_are_pinned_by_commit():
    """A tag can be moved to other code, a commit cannot."""
    uses = re.findall(r"\buses: *(.+)", "\n".join(map(read, (ROOT / ".github").rglob("*.yml"))))
    assert len(uses) >= 7
    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+", use)] == []


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")
def test_the_installer_is_verified_before_it_verifies():
    """The part of the lock that make hands to pip holds uv alone, with its version and its hashes."""
    shown = subprocess.run(
        ["make", "-B", "-n", ".uv/bin/uv"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    [extract] = re.findall(r"^sed .* requirements\.lock", shown, flags=re.MULTILINE)
    found = subprocess.run(extract, shell=True, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    [entry] = parse_lock("\n" + found)
    assert (entry.name, bool(entry.version), len(entry.hashes) > 10) == ("uv", True, True)
    installs = re.findall(r"^.*pip install.*$", shown, flags=re.MULTILINE)
    assert installs
    assert all("--require-hashes" in line for line in installs)


# The README and its neighbours.


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md", "deploy/README.md"),
        *(f"docs/{name}.md" for name in ("index", "install", "results", "own_folder", "play")),
    ],
)
def test_links_resolve(name):
    assert dead_links(read(name), (ROOT / name).parent) == []


def test_dead_links_are_caught(tmp_path):
    (tmp_path / "there.md").write_text("# Here it is\n", encoding="utf-8")
    text = (
        "[a](there.md#here-it-is) [b](https://example.org/x) [c](gone.md) `[code](no.md)`\n\n"
        '[d](there.md#gone) <img src="gone.png"> [e](#this-file)\n\n## This file\n\n```\n[f](no.md)\n```\n'
    )
    assert [link.split(":")[0] for link in dead_links(text, tmp_path)] == [
        "gone.md",
        "there.md#gone",
        "gone.png",
    ]


def test_readme_lists_every_notebook_with_its_minutes():
    row = r"^\| \d+ \|.*\]\((notebooks/\w+\.ipynb)\).*\| (\d+) min \| (\d+) min \|$"
    rows = re.findall(row, read("README.md"), flags=re.MULTILINE)
    listed = [(path, reading) for path, _, reading in rows]
    assert all(int(exercises) >= 2 * int(reading) for _, exercises, reading in rows)
    stated = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        minutes = re.search(r"How long it takes\W+(\d+) minutes to read", markdown_of(path))
        stated.append((f"notebooks/{path.name}", minutes[1] if minutes else "not stated"))
    assert listed == stated


# A visitor reads the README in three minutes; all else stands on pages of its own.

FEWEST_WORDS, MOST_WORDS = 900, 1200
# What a visitor has not met: it is explained where it stands, or stands elsewhere.
UNEXPLAINED = (
    r"\b(?:1-NN|kNN|PCA|pool index|SupCon|AUROC|logits?|softmax|heads?|backbones?|linear probe|FixMatch)\b"
)


def words(text):
    """Return the words of a page as a reader counts them: without comments, addresses and rules of tables."""
    text = re.sub(r"<!--.*?-->|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    return [word for word in text.split() if re.search(r"\w", word)]


def test_words_are_those_that_a_reader_sees():
    assert words("One [two](three/four.md)<!--five-->\n|---|---|\n| 6 | ![seven](x.png)") == [
        *("One", "[two", "6", "![seven"),
    ]


def test_the_readme_is_short_and_speaks_to_a_visitor():
    readme = read("README.md")
    assert FEWEST_WORDS <= len(words(readme)) <= MOST_WORDS
    assert re.findall(UNEXPLAINED, readme) == []
    assert "https://ADDRESS" not in readme
    assert re.findall(r"git clone (\S+)", readme) == ["ADDRESS"]  # whoever reads it knows where it lies


def test_the_first_screen_has_result_pictures_and_ways_in():
    first = read("README.md").partition("\n## ")[0]
    for link in ("docs/maps.png", "docs/learning_curve.png", "docs/play.md", "docs/install.md"):
        assert f"]({link})" in first
    assert "](notebooks/01_scarce_labels.ipynb)" in first
    assert len(words(first)) <= 250


def test_the_pictures_of_the_first_screen_are_small():
    for name, width, height in (("maps", 1600, 560), ("learning_curve", 750, 460)):
        file = ROOT / "docs" / f"{name}.png"
        assert file.stat().st_size < 300_000
        with Image.open(file) as picture:
            assert picture.size == (width, height)


def test_the_results_begin_with_a_list_of_contents():
    results = read("docs/results.md")
    contents = re.findall(r"^\* \[(.+)\]\(#.+\)$", results.partition("\n## ")[0], flags=re.MULTILINE)
    assert contents == re.findall(r"^## (.+)$", results, flags=re.MULTILINE)


def test_a_sentence_stands_before_each_table_of_the_results():
    before = re.findall(r"([^\n]+)\n\n<!-- [\w-]+:begin -->", read("docs/results.md"))
    assert len(before) == read("docs/results.md").count(":begin -->")
    assert [line for line in before if not re.search(r"[.:]$", line) or line.startswith(("#", "|"))] == []


def measured(name):
    return json.loads(read(f"benchmarks/results/{name}.json"))


def test_rivals_and_method_were_measured_on_the_same_draws():
    draws = measured("label_efficiency")["draws"]
    methods = measured("rivals")["methods"].values()
    rivals = [entry for budgets in methods for n, entry in budgets.items() if n in ("10", "all")]
    others = [entry for methods in measured("elsewhere")["data"].values() for entry in methods.values()]
    few = [*others, *measured("robustness")["pools"].values()]
    few += [entry for budgets in methods for n, entry in budgets.items() if n in ("1", "2")]
    for entry, wanted in [*((entry, draws) for entry in rivals), *((entry, draws[:5]) for entry in few)]:
        assert entry["draws"] == wanted
        assert len(entry["accuracy"]) == len(entry["cpu_seconds"]) == len(wanted)


def test_watched_budgets_were_measured_on_all_draws():
    results = measured("label_efficiency")
    for budgets in results["methods"].values():
        for budget, entry in budgets.items():
            wanted = results["draws"] if int(budget) in results["watched"] else results["draws"][:5]
            assert entry["draws"] == wanted
            assert len(entry["accuracy"]) == len(wanted)


def test_citation_agrees_with_pyproject():
    citation, project = yaml.safe_load(read("CITATION.cff")), tomllib.loads(read("pyproject.toml"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == project["version"] == version("metriclearn")
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]


# The changelog.


def renamed(heading):
    """Return the rows of a table of the changelog: names in code of the old version, and of the new one."""
    table = read("CHANGELOG.md").partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return [tuple(re.findall(r"`([\w.]+)[^`]*`", cell) for cell in row) for row in rows]


def test_the_changelog_begins_with_this_version():
    [latest, *_] = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert latest == tomllib.loads(read("pyproject.toml"))["project"]["version"]


def test_old_modules_are_gone_and_the_new_ones_are_there():
    for old, new in renamed("Modules"):
        assert [name for name in old if find_spec(name.rpartition(".")[0]) and find_spec(name)] == []
        assert [name for name in new if "." in name and not find_spec(name)] == []


def test_new_names_are_there():
    for _, new in renamed("Names"):
        for name in (name for name in new if "." in name.strip(".")):
            found = import_module("metriclearn")
            for part in name.split("."):
                in_it = hasattr(found, part)
                found = getattr(found, part) if in_it else import_module(f"{found.__name__}.{part}")


def test_licences():
    code = hashlib.sha256(read("LICENSE").encode()).hexdigest()
    assert (
        code == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    )  # Apache-2.0, word for word
    assert tomllib.loads(read("pyproject.toml"))["project"]["license"] == "Apache-2.0"
    for name in ("LICENSE-docs", "README.md"):
        assert "Apache License 2.0" in read(name)
        assert "CC BY 4.0" in read(name)


def test_no_registry_hosts_and_no_machine_paths():
    forbidden = re.compile("|".join([*map(re.escape, HOSTS), MACHINE_PATHS]))
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or weights
        text = re.sub(r'"image/png": "[^"]*"', "", text)  # base64 spells anything by chance
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in forbidden.finditer(text)]
    assert found == []


# The data cards.


def test_bundled_images_are_those_of_the_card():
    digest = hashlib.sha256()
    for part in load_images("mnist-5k"):
        digest.update(np.ascontiguousarray(part.pixels, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(part.labels, dtype="<i8").tobytes())
    assert f"`{digest.hexdigest()}`" in read("data/README.md")


@pytest.mark.parametrize("name", TORCHVISION_SETS)
def test_cards_list_the_checksums_that_are_verified(name):
    dataset, _ = TORCHVISION_SETS[name]
    [card] = re.findall(
        rf"^## `{name}`\n(.*?)(?=^## |\Z)", read("data/README.md"), flags=re.MULTILINE | re.DOTALL
    )
    assert f"`data/{dataset.__name__}/raw/`" in card
    for file, md5 in dataset.resources:
        assert re.search(rf"`{re.escape(file)}` *\| *`{md5}`", card)


# The package: each module imports only from below, as its docstring draws it.

PACKAGE = ROOT / "metriclearn"
LONGEST_MODULE = 525


def code():
    """Return every file of the package, the course included, as a module."""
    return [
        Module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
            path.read_text(encoding="utf-8"),
            path.stem == "__init__",
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def floors(folder):
    """Return how high each module and folder stands in the drawing of a package, the lowest at 0."""
    drawing = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    names = re.findall(r"^ *(\w+)(?:\.py|/) {2,}\S", drawing, flags=re.MULTILINE)
    return {name: height for height, name in enumerate(reversed(names))}


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE / "index"], ids=["metriclearn", "index"])
def test_each_module_imports_only_from_below(folder):
    shown, prefix = floors(folder), ".".join(folder.relative_to(ROOT).parts) + "."
    there = {path.stem for path in folder.glob("[a-z]*.py")} | {
        path.parent.name for path in folder.glob("*/*.py")
    }
    assert set(shown) == there, "the docstring of the package draws another one"
    pairs = {
        (importing.removeprefix(prefix).split(".")[0], imported.removeprefix(prefix).split(".")[0])
        for importing, imported in arrows(code())
        if importing.startswith(prefix) and imported.startswith(prefix)
    }
    pairs = {(one, other) for one, other in pairs if one != other and one != "__main__"}
    assert [f"{one} imports {other}" for one, other in pairs if shown[other] > shown[one]] == []


def test_command_line_and_course_never_meet():
    between = {tuple(name.split(".")[1] for name in pair if "." in name) for pair in arrows(code())}
    assert not {("cli", "course"), ("course", "cli")} & between


def test_no_module_imports_itself_by_way_of_others():
    assert cycles(arrows(code())) == []


def test_no_module_uses_a_private_name_of_another():
    assert private_uses(code()) == []


def test_modules_can_be_read_in_one_sitting():
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_messages_can_be_pasted_anywhere():
    """What is raised or warned of is in plain letters: "-1", not a minus sign that few keyboards have."""
    odd = [
        f"{path.name}:{part.lineno}: {part.value}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "warn" in ast.unparse(node.func))
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and not part.value.isascii()
    ]
    assert odd == []
