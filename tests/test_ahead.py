"""Items that are computed in a thread of their own."""

from __future__ import annotations

import threading

import pytest
import torch

from motion_core.ahead import DEPTH, ahead


@pytest.fixture(autouse=True)
def _two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_items_come_in_order_from_another_thread_and_only_so_many_before_they_are_asked_for():
    begun = []

    def numbers():
        for number in range(6):
            begun.append((number, threading.current_thread(), torch.get_num_threads()))
            yield number

    found = ahead(numbers(), 2)
    assert next(found) == 0
    assert torch.get_num_threads() == 1, "the other one is taken"
    assert list(found) == [1, 2, 3, 4, 5]
    assert torch.get_num_threads() == 2
    assert [number for number, *_ in begun] == list(range(6))
    assert all(thread is not threading.current_thread() and count == 1 for _, thread, count in begun)


def test_what_is_not_asked_for_is_not_computed():
    begun = []
    found = ahead(iter(lambda: begun.append(1), 0), 2)
    next(found)
    next(found)
    found.close()
    assert len(begun) <= 2 + DEPTH
    assert torch.get_num_threads() == 2


def test_what_an_item_raises_is_raised_where_it_is_asked_for():
    def numbers():
        yield 1
        raise ValueError("no second one")

    found = ahead(numbers(), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="no second one"):
        next(found)
    assert torch.get_num_threads() == 2


def test_several_workers_share_what_is_left():
    """Items made from items: who makes them and who asks for them have half of the rest each."""
    begun = []

    def doubled():
        for number in ahead(iter(range(4)), 6):
            begun.append(torch.get_num_threads())
            yield 2 * number

    torch.set_num_threads(6)
    found = ahead(doubled(), 6)
    assert next(found) == 0
    assert torch.get_num_threads() == 2
    assert list(found) == [2, 4, 6]
    assert set(begun) == {2}
    assert torch.get_num_threads() == 6


def test_a_single_thread_is_not_shared():
    torch.set_num_threads(1)
    assert set(ahead((threading.current_thread() for _ in range(3)), 1)) == {threading.current_thread()}
