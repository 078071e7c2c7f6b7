"""The two scripts behind `make course`, on sound and on broken input."""

import sys
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from qdrant_client import QdrantClient
from stand_in import stand_in

from metriclearn import EmbeddingIndex

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import check_environment
import run_notebooks


def write_notebook(path, *sources):
    cells = [new_markdown_cell("# A title"), *(new_code_cell(source) for source in sources)]
    cells[-1].metadata["tags"] = ["headline"]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_environment_is_ready(capsys):
    assert check_environment.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("[OK] ") for line in lines) == len(check_environment.CHECKS)
    assert not any("[FAIL]" in line for line in lines)


def test_a_failed_check_says_what_to_do_and_the_others_still_run(capsys):
    def broken():
        raise OSError("no such device")

    def problem():
        raise check_environment.ProblemError("the disk is full: make room")

    assert check_environment.main([broken, problem, check_environment.check_python]) == 1
    out = capsys.readouterr().out
    assert "[FAIL] broken: OSError: no such device. To mend it, run" in out
    assert "[FAIL] the disk is full: make room." in out
    assert "[OK]   Python 3." in out


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ("0.1", "torch is 0.1, but must be"),
        ("2.13.0", "torch is 2.13.0, but must be"),
        (None, "torch is missing"),
    ],
)
def test_wrong_or_missing_package_is_named(monkeypatch, installed, message):
    true_version = check_environment.version

    def version(name):
        if name != "torch":
            return true_version(name)
        if installed is None:
            raise PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(check_environment, "version", version)
    with pytest.raises(check_environment.ProblemError, match=message):
        check_environment.check_packages()


def test_a_server_is_asked_only_if_one_is_named(monkeypatch):
    monkeypatch.delenv("QDRANT_URL", raising=False)
    assert check_environment.check_server() == "QDRANT_URL is not set: no server is used"
    for url, message in (
        ("http://localhost:9", "No Qdrant server answers at http://localhost:9: start one"),
        ("localhost", "url is no address of a server"),
    ):
        monkeypatch.setenv("QDRANT_URL", url)
        with pytest.raises(check_environment.ProblemError, match=f"^{message}.*[^.]$"):
            check_environment.check_server()


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("1.20.3", "Qdrant 1.20.3 answers at URL, and the client is 1.20.0"),
        ("1.19.1", "Qdrant 1.19.1 answers at URL, and the client is 1.20.0"),
        (
            "1.18.3",
            "Qdrant 1.18.3 answers at URL, and the client is 1.20.0: they are more than one minor version "
            "apart. If calls fail, start a server of version 1.19, 1.20, 1.21, or install "
            '"qdrant-client==1.18.*"',
        ),
        (
            "2.0.0",
            "Qdrant 2.0.0 answers at URL, and the client is 1.20.0: another major version, so start a server "
            'of version 1.19, 1.20, 1.21, or install "qdrant-client==2.0.*"',
        ),
    ],
)
def test_a_server_is_named_with_its_version(monkeypatch, server, message):
    monkeypatch.setattr(check_environment, "version", lambda name: "1.20.0")
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    with stand_in(version=server) as running:
        monkeypatch.setenv("QDRANT_URL", running.url)
        try:
            told = check_environment.check_server()
        except check_environment.ProblemError as error:
            told = f"failed: {error}"
        assert told.replace(running.url, "URL") == ("failed: " if server == "2.0.0" else "") + message


def test_the_client_itself_compares_no_versions(monkeypatch):
    """It would do so in a thread of its own, and warn in the middle of a notebook."""
    heard = []

    def listen(*arguments, **more):
        heard.append(more)
        return threading.Thread()

    monkeypatch.setattr("qdrant_client.qdrant_remote.Thread", listen)
    with stand_in(version="1.18.3") as running:
        EmbeddingIndex(3, url=running.url).close()
        assert heard == []
        QdrantClient(url=running.url).close()
        assert len(heard) == 1


def test_unlocked_version_is_mentioned(monkeypatch):
    true_version = check_environment.version
    monkeypatch.setattr(
        check_environment, "version", lambda name: "2.99" if name == "torch" else true_version(name)
    )
    assert "torch is 2.99, not ==" in check_environment.check_packages()


def test_another_copy_of_the_package_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(check_environment, "REPOSITORY", tmp_path)
    with pytest.raises(check_environment.ProblemError, match="make clean"):
        check_environment.check_course_package()


@pytest.mark.parametrize(("check", "limit"), [("disk", "NEEDED_DISK"), ("memory", "NEEDED_MEMORY")])
def test_little_room_is_noticed(monkeypatch, check, limit):
    if check == "memory" and not Path("/proc/meminfo").exists():
        pytest.skip("this system does not tell how much memory is free")
    monkeypatch.setattr(check_environment, limit, 1e9)
    with pytest.raises(check_environment.ProblemError, match=f"of {check} are free"):
        getattr(check_environment, f"check_{check}")()


def test_run_keeps_outputs_and_reports(tmp_path, capsys):
    good = write_notebook(tmp_path / "01_good.ipynb", "x = 1", "print(f'accuracy: {x} [0.9, 1.1]')")
    run = run_notebooks.run_notebook(good, tmp_path / "out" / good.name)
    copy = nbformat.read(tmp_path / "out" / good.name, as_version=4)
    assert [cell.execution_count for cell in copy.cells[1:]] == [1, 2]
    assert "widgets" not in copy.metadata
    assert not any("execution" in cell.metadata for cell in copy.cells)
    assert run.headlines == ["accuracy: 1 [0.9, 1.1]"]
    assert nbformat.read(good, as_version=4).cells[1].execution_count is None
    table = run_notebooks.report([run])
    assert "accuracy: 1 [0.9, 1.1]" in table
    assert table.splitlines()[-2].split()[::2] == ["01_good", "ok"]


def test_failing_notebook_shows_its_cell_and_the_others_run(tmp_path, monkeypatch, capsys):
    bad = write_notebook(tmp_path / "01_bad.ipynb", "divisor = 0", "1 / divisor")
    write_notebook(tmp_path / "02_good.ipynb", "print('fine')")
    before = bad.read_text()
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    assert run_notebooks.main(["--inplace"]) == 1
    out = capsys.readouterr().out
    assert "Cell 3 failed:\n    1 / divisor" in out
    assert "ZeroDivisionError: division by zero" in out
    assert "\x1b[" not in out
    assert "02_good ... " in out
    assert "    fine" in out
    assert bad.read_text() == before, "a failed run must not overwrite the notebook"


def test_choosing_notebooks(tmp_path, monkeypatch):
    for name in ("02_b", "01_a", "scratch"):
        write_notebook(tmp_path / f"{name}.ipynb", "1")
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    assert [path.stem for path in run_notebooks.choose([])] == ["01_a", "02_b"]
    assert [path.stem for path in run_notebooks.choose(["notebooks/02"])] == ["02_b"]
    with pytest.raises(SystemExit):
        run_notebooks.main(["07"])


def test_two_notebooks_run_at_once_with_half_of_the_cores_each(tmp_path, monkeypatch):
    wait = "import os, pathlib, time\npathlib.Path(os.environ['MEET'], '{me}').touch()\n"
    wait += "for _ in range(600):\n    if pathlib.Path(os.environ['MEET'], '{other}').exists(): break\n"
    wait += "    time.sleep(0.1)\nelse: raise TimeoutError\nprint(os.environ['OMP_NUM_THREADS'])"
    monkeypatch.setenv("MEET", str(tmp_path))
    monkeypatch.setattr(run_notebooks.os, "cpu_count", lambda: 6)
    pairs = (("01_a", "02_b"), ("02_b", "01_a"))
    paths = [write_notebook(tmp_path / f"{me}.ipynb", wait.format(me=me, other=other)) for me, other in pairs]
    outs = [tmp_path / "out" / path.name for path in paths]
    runs = list(run_notebooks.run_all(paths, outs, at_once=2))  # each waits for the other
    assert [(run.failure, run.headlines) for run in runs] == [("", ["3"])] * 2


def test_the_closing_table_says_what_was_measured_here(monkeypatch):
    on_file, here = "recorded on mnist-5k, accuracy: 97.0 [95.9, 98.1] %", "accuracy: 86.0"
    monkeypatch.setenv("METRICLEARN_DATASET", "kmnist")
    said = "all else was measured here, on kmnist"
    assert said in run_notebooks.report([run_notebooks.Run("04_good", 1, [on_file, here])])
    assert said not in run_notebooks.report([run_notebooks.Run("03_good", 1, [here])])
