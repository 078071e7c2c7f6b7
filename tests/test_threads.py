"""Threads that share an index or a classifier. METRICLEARN_THREAD_SECONDS says for how long, 2 by default."""

import copy
import os
import pickle
import threading
import time

import numpy as np
import pytest

from metriclearn import EmbeddingIndex, QdrantClassifier

SECONDS = float(os.environ.get("METRICLEARN_THREAD_SECONDS", "2"))
DIM = 8


def at_once(*tasks, seconds=SECONDS):
    """Let each task run in a thread of its own, again and again; return how often each one ran."""
    end, errors, rounds = time.monotonic() + seconds, [], [0] * len(tasks)

    def repeat(number, task):
        while time.monotonic() < end and not errors:
            try:
                task(rounds[number])
            except BaseException as error:
                errors.append(error)
            rounds[number] += 1

    threads = [threading.Thread(target=repeat, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return rounds


def rows(n, seed):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


@pytest.mark.parametrize("folder", [False, True], ids=["memory", "folder"])
def test_four_who_write_and_four_who_read_one_index(folder, tmp_path):
    with EmbeddingIndex(DIM, path=tmp_path if folder else ":memory:") as index:
        index.upsert(rows(50, 0), labels=[9] * 50, sources=[f"first {i}" for i in range(50)])
        stored = [{f"first {i}" for i in range(50)}, *(set() for _ in range(4))]

        def writer(number):
            def write(turn):
                names = [f"{number} {turn} {i}" for i in range(5)]
                gone, *_ = index.upsert(rows(5, turn), labels=[number] * 5, sources=names, batch_size=2)
                index.delete(ids=[gone])
                stored[number] |= set(names[1:])

            return write

        def read(turn):
            found = index.query(rows(2, turn), k=5, where={"label": 9} if turn % 5 == 0 else None)
            assert found.ids.shape == (2, 5)
            assert np.isfinite(found.scores).all()
            assert index.count() >= 50

        rounds = at_once(*map(writer, range(1, 5)), *[read] * 4)
        print("rounds of the writers and the readers:", rounds)
        assert min(rounds) > 0
        everything, _ = index.client.scroll(index.collection, limit=10**6)
        assert {point.payload["source"] for point in everything} == set().union(*stored)
        assert len(index) == len(everything)


def test_those_who_add_to_a_classifier_and_those_who_ask_it():
    with QdrantClassifier(1, path=":memory:").fit(np.eye(DIM), range(DIM)) as classifier:
        told = []

        def add(turn):
            classifier.partial_fit(rows(3, turn), [turn % 50, turn % 50, 100])
            told.append(3)

        def ask(turn):
            assert classifier.predict(np.eye(DIM)).tolist() == list(range(DIM))
            assert classifier.predict_proba(rows(4, turn)).shape[0] == 4

        def copied(turn):
            twin = copy.deepcopy(classifier) if turn % 2 else pickle.loads(pickle.dumps(classifier))
            assert len(twin.index_) == len(twin.kneighbors()[0])
            twin.close()

        at_once(add, add, ask, ask, copied, seconds=min(SECONDS, 2))
        assert len(classifier.index_) == DIM + sum(told)
        numbers = {
            int(record.payload["source"])
            for record in classifier.index_.client.scroll("images", limit=10**6)[0]
        }
        assert numbers == set(range(DIM + sum(told)))


def test_closing_waits_for_those_who_are_still_at_it():
    index = EmbeddingIndex(DIM, path=":memory:")
    index.upsert(rows(500, 0))
    heard = []

    def use(turn):
        try:
            index.query(rows(20, turn), k=3)
        except RuntimeError as error:
            heard.append(str(error))
            time.sleep(0.01)

    def close(turn):
        time.sleep(0.2)
        index.close()

    at_once(use, use, use, close, seconds=0.5)
    assert set(heard) == {"The collection 'images' is closed here: open it again."}


def test_nobody_deletes_between_the_count_and_the_search():
    with EmbeddingIndex(DIM, path=":memory:") as index:
        points = rows(30, 0)
        ids = index.upsert(points)
        heard = set()

        def replace(turn):
            index.delete(ids=ids[:15])
            index.upsert(points[:15])

        def ask(turn):
            try:
                assert index.query(points[:1], k=30).ids.shape == (1, 30)
            except ValueError as error:
                heard.add(str(error))

        at_once(replace, ask, ask, seconds=min(SECONDS, 1))
    assert heard <= {
        "30 neighbours are asked for, but the collection 'images' holds 15 points: ask for fewer, or add "
        "points first."
    }
