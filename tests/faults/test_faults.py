"""Fault injection in short form: a few inputs of each kind. `make faults` tries a hundred thousand."""

import kinds
import processes
import pytest
from mutations import BYTES, dump, generator, mutate, mutate_json

INPUTS = 40  # of each kind


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield kinds.make_folders(tmp_path_factory.mktemp("faults"), patch)


@pytest.fixture
def no_surprise():
    def check(tally):
        assert not tally.surprises, "\n".join(tally.surprises)
        assert tally.outcomes.total() > 0

    return check


def test_each_kind_of_damage_is_refused_or_harmless(root, monkeypatch, no_surprise):
    cached = kinds.cache_of_pictures(root, monkeypatch)
    whole = kinds.Tally()
    for kind, folder in kinds.kinds(root, cached):
        tally = kinds.try_kind(kind, folder, range(INPUTS))
        assert tally.outcomes.total() == INPUTS
        whole.outcomes += tally.outcomes
        whole.surprises += tally.surprises
    no_surprise(whole)
    assert whole.outcomes["refused"] > 300  # the damage is real


@pytest.mark.parametrize("number", range(7))
def test_killed_at_any_step_nothing_is_lost(number, root, no_surprise):
    task = processes.tasks(root)[number]
    no_surprise(processes.try_kills(task, root / "killed", moments=2, steps=5))


def test_two_who_write_at_once(root, no_surprise):
    no_surprise(processes.try_two_at_once(root, range(3)))


def test_an_index_in_a_forked_child(root, no_surprise):
    no_surprise(processes.try_forks(root, range(8)))


def test_full_disk(root, no_surprise):
    with processes.small_disk(root / "disk", 8) as disk:
        if disk is None:
            pytest.skip("no disk in memory may be mounted here")
        for task in processes.tasks(root):
            no_surprise(processes.try_full_disk(task, disk, range(3), 400_000))


# The kit itself: a check that cannot fail is none.


def test_a_reader_without_a_checksum_is_found_out(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one two three" * 20)
    kind = kinds.Kind("careless", ("a.txt",), lambda folder: (folder / "a.txt").read_bytes())
    assert kinds.try_kind(kind, tmp_path, range(20)).outcomes == {"surprise": 20}


@pytest.mark.parametrize(
    "error",
    [KeyError("label"), ValueError(""), ValueError("two\nlines"), MemoryError("no"), ValueError("\x1b[1m")],
)
def test_what_is_no_sentence_is_a_surprise(error, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    broken = []

    def read(folder):
        if broken:
            raise error
        broken.append(1)

    kind = kinds.Kind("rude", ("a.txt",), read)
    assert kinds.try_kind(kind, tmp_path, range(3)).outcomes == {"surprise": 3}


def test_a_writer_without_care_is_found_out(tmp_path):
    def run(place):
        (place / "a.txt").write_bytes(b"")
        (place / "a.txt").write_bytes(b"new")

    task = processes.Task(
        "careless",
        lambda place: (place / "a.txt").write_bytes(b"old"),
        run,
        lambda place: (place / "a.txt").read_bytes(),
    )
    tally = processes.try_kills(task, tmp_path / "place", moments=0)
    assert tally.outcomes == {"harmless": 1, "surprise": 1}


def test_mutations_are_faults_and_repeatable():
    data = bytes(range(256))
    for number in range(200):
        assert mutate(data, generator("a", number)) != data
        assert mutate(data, generator("a", number)) == mutate(data, generator("a", number))
    assert all(isinstance(damage(data, generator("b", 0)), bytes) for damage in BYTES)
    value = {"a": [1, 2.5, None], "b": {"c": "text"}}
    changed = [dump(mutate_json(value, generator("c", number))) for number in range(100)]
    assert len(set(changed)) > 50
    assert value == {"a": [1, 2.5, None], "b": {"c": "text"}}
