"""One account, many jobs: what is learned and spent is known to all jobs of a home."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.ledgers import unit

from overlay import Client
from overlay.jobs.account import Account
from overlay.jobs.records import JobOptions

NOW = 1_750_000_000.0


@pytest.fixture
def account(tmp_path):
    """A function that opens the account of a key, for a job."""
    opened = []

    def open_(job="j", token="sk-one", **options):
        client = Client(token=token, base_url="http://127.0.0.1:1/v1", home=tmp_path, **options)
        opened.append(Account(client._settings, job))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_two_jobs_share_the_room_of_a_model(account):
    one, other = account("one"), account("other")
    options = JobOptions(max_enqueued_tokens=300)
    assert len(one.admit([unit(0), unit(1)], options, NOW)) == 2
    assert other.admit([unit(0), unit(1)], options, NOW) == []
    assert len(other.admit([unit(2, model="n")], options, NOW)) == 1
    one.hold([], NOW)
    assert len(other.admit([unit(0), unit(1)], options, NOW)) == 2


def test_a_unit_over_the_limit_is_tried_where_nothing_runs(account):
    options = JobOptions(max_enqueued_tokens=100)
    assert len(account().admit([unit(0), unit(1)], options, NOW)) == 1


def test_other_keys_services_and_projects_are_other_accounts(account):
    account().learn_tokens("m", 10, stated=True, now=NOW)
    assert account().tokens("m", NOW) == 10
    assert account(token="sk-two").tokens("m", NOW) is None
    assert account(project="p").tokens("m", NOW) is None


def test_batches_creates_and_inputs_are_limited_too(account):
    several = [unit(number, inputs=400) for number in range(8)]
    assert len(account("a").admit(several, JobOptions(max_batches=3), NOW)) == 3
    assert account("b").admit([unit(9)], JobOptions(max_batches=3), NOW) == []
    account("a").hold([], NOW)
    assert len(account("b").admit(several, JobOptions(max_enqueued_inputs=1_000), NOW)) == 2
    account("b").hold([], NOW)
    assert len(account("c").admit(several, JobOptions(max_creates_per_hour=7), NOW)) == 2  # five were created
    assert len(account("d").admit(several, JobOptions(max_creates_per_hour=7), NOW + 3601)) == 7


def test_a_stated_limit_is_believed_for_an_hour_and_a_guess_grows(account):
    one = account()
    one.learn_tokens("m", 1_000, stated=True, now=NOW)
    one.learn_tokens("n", 1_000, stated=False, now=NOW)
    for model in "mn":
        one.grow(model)
    assert (one.tokens("m", NOW), one.tokens("n", NOW)) == (1_000, 1_100)
    assert (one.tokens("m", NOW + 3_601), one.tokens("n", NOW + 3_601)) == (None, 1_100)
    assert one.tokens("m", NOW - 5) is None  # a clock that was set back


def test_what_a_job_held_that_nobody_works_on_counts_no_more(account):
    options = JobOptions(max_batches=1)
    assert account("dead").admit([unit(0)], options, NOW)
    assert account("other").admit([unit(0)], options, NOW + 170) == []
    assert account("other").admit([unit(0)], options, NOW + 190)


def test_threads_never_admit_more_than_there_is_room_for(account):
    options = JobOptions(max_batches=5)
    accounts = [account(f"job-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        admitted = list(
            pool.map(lambda each: each.admit([unit(n) for n in range(4)], options, NOW), accounts)
        )
    assert sum(map(len, admitted)) == 5


def test_it_holds_no_key_and_is_for_its_owner_alone(account, tmp_path):
    account(token="sk-secret-of-many-characters").learn_batches(5, NOW)
    path = tmp_path / "accounts.db"
    assert b"sk-secret" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_one_is_begun_again(account, tmp_path):
    account().learn_tokens("m", 10, stated=True, now=NOW)
    (tmp_path / "accounts.db").write_bytes(b"This was a database." * 500)
    assert account().tokens("m", NOW) is None
    with sqlite3.connect(tmp_path / "accounts.db") as db:
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
