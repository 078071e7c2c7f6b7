"""Things are broken on purpose, and the tests notice: three here, all twenty with tools/breakages.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import breakages
from breakages import BREAKAGES, SHORT, Breakage


def test_there_are_twenty():
    assert len({breakage.name for breakage in BREAKAGES}) >= 20


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_what_is_to_be_broken_stands_in_its_file_once(breakage):
    text = (breakages.REPOSITORY / breakage.file).read_text(encoding="utf-8")
    assert text.count(breakage.old) == 1
    assert breakage.new != breakage.old


def test_three_are_noticed():
    assert breakages.try_out(SHORT) == []


def test_what_breaks_nothing_is_not_called_noticed(capsys):
    harmless = Breakage(
        "nothing", "README.md", "## Start\n", "## Start\n\n", ("tests/test_losses.py", "-k", "masks")
    )
    assert breakages.try_out([harmless]) == ["nothing"]
    assert "MISSED   nothing" in capsys.readouterr().out
    with pytest.raises(ValueError, match="does not hold 'not there' once: mend 'gone'"):
        breakages.try_out([Breakage("gone", "README.md", "not there", "", ())])
