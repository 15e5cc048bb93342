"""Cases of a rule: all are run, each begins as a test does, and one that fails hides no other."""

import contextlib

import torch
from subcases import each_case


class Subtests:
    """Notes the cases, and which failed, as pytest's own do."""

    def __init__(self):
        self.failed = []

    @contextlib.contextmanager
    def test(self, **case):
        try:
            yield
        except AssertionError:
            self.failed.append(case)


def test_every_combination_is_run_and_each_failure_is_seen(tmp_path):
    seen = []

    @each_case("a", [1, 2])
    @each_case(("b", "c"), [(3, 4), (5, 6)])
    def rule(a, b, c, tmp_path):
        seen.append((a, b, c, float(torch.rand(()))))
        assert not any(tmp_path.iterdir())
        (tmp_path / "left").touch()
        assert a == 2 or b == 3

    subtests = Subtests()
    rule(subtests, tmp_path=tmp_path)

    assert [case[:3] for case in seen] == [(1, 3, 4), (2, 3, 4), (1, 5, 6), (2, 5, 6)]
    assert len({case[3] for case in seen}) == 1
    assert subtests.failed == [{"a": "1", "b": "5", "c": "6"}]
