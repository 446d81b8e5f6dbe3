"""Values of fields, as models send them and databases take them."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection, models
from pydantic import TypeAdapter

from copilotkit_django.agents.model_tools.columns import Column


@pytest.mark.parametrize("written", ["10:30", "10:30:00", "10:30:00Z", "10:30:00+02:00"])
def test_time__with_and_without_a_zone(written):
    """A time of day is that of the clock: every database takes what becomes of it."""
    column = Column("opens", models.TimeField())

    for kind in (column.annotation(), column.bound()):
        value = TypeAdapter(kind).validate_python(written)

        assert value == datetime.time(10, 30)
        connection.ops.adapt_timefield_value(value)
