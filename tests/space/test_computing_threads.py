"""The threads in which the app computes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from space.workers import Workers

ASKED_BY: ContextVar[str] = ContextVar("asked_by")


@pytest.fixture
def workers():
    made = Workers("alone")
    yield made
    made.close()


def test_whoever_asks_it_is_one_thread_that_computes_and_knows_who_asked(workers):
    def ask(name: str) -> tuple[str, str, list[str]]:
        ASKED_BY.set(name)
        steps = workers.iterate(threading.current_thread().name for _ in range(3))
        return *workers.call(lambda: (threading.current_thread().name, ASKED_BY.get())), list(steps)

    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(ask, "abcd"))
    assert answers == [("alone_0", name, ["alone_0"] * 3) for name in "abcd"]


def test_what_goes_wrong_in_a_thread_is_raised_where_it_was_asked_for(workers):
    def steps():
        yield 1
        raise ValueError("two")

    asked = workers.iterate(steps())
    assert next(asked) == 1
    with pytest.raises(ValueError, match="two"):
        next(asked)
    with pytest.raises(ZeroDivisionError):
        workers.call(lambda: 1 / 0)


def test_a_generator_that_nobody_wants_any_more_is_closed_in_its_thread(workers):
    closed = []

    def steps():
        try:
            yield 1
        finally:
            closed.append(threading.current_thread().name)

    asked = workers.iterate(steps())
    next(asked)
    asked.close()
    assert closed == ["alone_0"]
