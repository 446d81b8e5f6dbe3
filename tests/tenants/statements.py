"""What the database is asked, on whatever thread."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db.backends.utils import CursorWrapper

#: Lists of values, however long they are.
_VALUES = re.compile(r"(?:%s, ?)+%s")
_ROWS = re.compile(r"(?:\(%s\), ?)+\(%s\)")


@contextlib.contextmanager
def recorded() -> Iterator[Counter[str]]:
    """The statements of all connections, without their values, and how often each was sent.

    Connections belong to threads, so what all of them ask is heard where they all come by.
    """
    heard: Counter[str] = Counter()
    execute, execute_many = CursorWrapper.execute, CursorWrapper.executemany

    def hear(sql: str) -> None:
        heard[_ROWS.sub("(%s)", _VALUES.sub("%s", str(sql)))] += 1

    def executed(self: CursorWrapper, sql: str, params: object = None) -> object:
        hear(sql)
        return execute(self, sql, params)

    def executed_many(self: CursorWrapper, sql: str, param_list: object) -> object:
        hear(sql)
        return execute_many(self, sql, param_list)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", executed)
        patch.setattr(CursorWrapper, "executemany", executed_many)
        yield heard
