"""Which sample numbers a process takes: a batch sampler without state."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from motion_core.errors import InputError


class SampleNumbers(Sampler[list[int]]):
    """Yields the numbers of batch k, k = first_batch, ..., first_batch + num_batches - 1.

    Process `rank` of `world` takes (k * world + rank) * batch_size and the batch_size - 1 numbers after it, so all
    processes together take every number once. It divides the work itself: a launcher must not divide it again.

    Raises:
        InputError: a count out of range.

    Example:
        >>> list(SampleNumbers(2, rank=1, world=2, first_batch=3, num_batches=2))
        [[14, 15], [18, 19]]
    """

    def __init__(
        self, batch_size: int, rank: int = 0, world: int = 1, first_batch: int = 0, num_batches: int = 1
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world or first_batch < 0 or num_batches < 0:
            raise InputError(
                "batches: batch_size must be 1 or more, rank in 0..world - 1, first_batch and num_batches 0 or more, "
                f"got {batch_size}, {rank} of {world}, {first_batch} and {num_batches}"
            )
        self.batch_size, self.rank, self.world = batch_size, rank, world
        self.first_batch, self.num_batches = first_batch, num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        for k in range(self.first_batch, self.first_batch + self.num_batches):
            start = (k * self.world + self.rank) * self.batch_size
            yield list(range(start, start + self.batch_size))
