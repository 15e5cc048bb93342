"""`each_case`: a rule that is held over many cases, as one test."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

Case = dict[str, Any]  # values by the names of the test's arguments


def each_case(names: str | Iterable[str], values: Iterable[Any]) -> Callable[[Callable], Callable]:
    """As ``pytest.mark.parametrize``, but all cases are subtests of one test; all are run, and each that fails is reported.

    A case begins as a test does: from the same random state, with an empty `tmp_path` of its own, an empty `caplog`, and
    without what another one patched. Several decorators make all combinations.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = [dict(zip(names, [row] if len(names) == 1 else row, strict=True)) for row in values]

    def decorate(test: Callable) -> Callable:
        body, cases = getattr(test, "_cases", (test, [{}]))
        combined: list[Case] = [case | row for case in cases for row in rows]

        def run(subtests: Any, **fixtures: Any) -> None:
            for number, case in enumerate(combined):
                with contextlib.ExitStack() as stack:
                    stack.enter_context(subtests.test(**{name: repr(value)[:80] for name, value in case.items()}))
                    stack.enter_context(torch.random.fork_rng())
                    torch.manual_seed(0)
                    own = dict(fixtures)
                    if "tmp_path" in own:
                        own["tmp_path"] = own["tmp_path"] / str(number)
                        own["tmp_path"].mkdir()
                    if "monkeypatch" in own:
                        own["monkeypatch"] = stack.enter_context(own["monkeypatch"].context())
                    if "caplog" in own:
                        own["caplog"].clear()
                    body(**case, **own)

        kept = [p for p in inspect.signature(body).parameters.values() if p.name not in combined[0]]
        added = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        run.__signature__ = inspect.Signature([p.replace(kind=added.kind) for p in kept] + [added])
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        run.__dict__.update({"_cases": (body, combined), "pytestmark": getattr(test, "pytestmark", [])})
        return run

    return decorate
