"""Every fault on every operation comes out as the table says, which is there to be read: fault_table.md."""

import pytest
from support.fault_table import FAULTS, checked_in, tables


@pytest.mark.timeout(300)
def test_every_fault_has_the_outcome_of_the_table(kind):
    assert tables(kind) == checked_in(kind)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_no_outcome_is_raw_and_no_create_is_sent_twice_unless_it_was_refused(kind):
    for rows in checked_in(kind).values():
        assert [row[0] for row in rows] == list(FAULTS)
        assert not [row for row in rows if any("RAW" in cell for cell in row)]
        twice = {row[0] for row in rows if row[1].endswith("x2")}
        assert twice == {"429", "429, in 2 s", "429, in the year 9999"}
