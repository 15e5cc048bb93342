"""What comes next is computed while something else is done with what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
DEPTH = 2  # items that are computed before they are asked for
WORKERS = 2  # of a video, that share torch's threads with who looks at it: who composes frames, and who paints and writes them


def ahead(items: Iterator[Item], threads: int) -> Iterator[Item]:
    """The items, computed in a thread of their own, which takes one of torch's threads from whoever asks for them.

    Small networks side by side are faster than one after the other on all threads each. What an item raises is raised where
    it is asked for. With a single thread nothing is computed ahead.

    Args:
        threads: of torch, to be shared: as many as there are outside of threads of this kind, in which there is 1.
    """
    if threads == 1:
        yield from items
        return
    end = object()
    pool = ThreadPoolExecutor(1, "ahead", initializer=torch.set_num_threads, initargs=(1,))
    try:
        waiting = deque(pool.submit(next, items, end) for _ in range(DEPTH))
        while (item := waiting.popleft().result()) is not end:
            # After the pool's thread has set its own number, which would be the default of new threads too.
            torch.set_num_threads(max(1, (threads - 1) // WORKERS))
            waiting.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]  # it is not the end
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
