"""Lists of many pages: all of them, each object once, and no page more than is needed."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice

import pytest
from support.calling import batch_object, somebody_creates, somebody_uploads
from support.raw_server import answer

from overlay import ConfigurationError, InvalidResponseError, Page
from overlay.pages import Cursor
from overlay.server import Service

BATCHES = 7


@pytest.fixture(scope="module")
def shared():
    """A service with batches an hour apart; `ids` are theirs, newest first."""
    with Service() as service:
        file_id = somebody_uploads(service)
        service.ids = []
        for _ in range(BATCHES):
            service.advance(3600)
            service.ids.insert(0, somebody_creates(service, file_id))
        service.dates = [datetime.fromtimestamp(each["created_at"], UTC) for each in service.batches()]
        yield service


@pytest.fixture
def api(connect, shared):
    shared._requests.clear()
    return connect(shared.base_url)


def ids(listed):
    return [each.id for each in listed]


def queries(shared):
    return [each.query for each in shared.requests]


def test_every_batch_is_listed_once(api, shared):
    assert ids(api.batches.list()) == shared.ids
    assert queries(shared) == [""]
    assert ids(api.batches.list(limit=2)) == shared.ids
    assert queries(shared)[1:] == ["limit=2", *(f"after={shared.ids[n]}&limit=2" for n in (1, 3, 5))]


def test_files_are_listed_too(api, shared):
    files = list(api.files.list())
    assert {file.purpose for file in files} == {"batch", "batch_output"}
    assert len(files) == 1 + BATCHES
    assert ids(api.files.list(limit=3)) == ids(files)
    assert ids(api.files.list(purpose="batch_output", limit=3)) == [
        each.id for each in files if each.purpose != "batch"
    ]
    assert "purpose=batch_output" in queries(shared)[-1]


def test_pages_come_one_at_a_time(api, shared):
    pages = list(api.batches.list(limit=3).pages())
    assert [ids(page.data) for page in pages] == [shared.ids[:3], shared.ids[3:6], shared.ids[6:]]
    assert [page.has_more for page in pages] == [True, True, False]
    assert [page.next for page in pages] == [shared.ids[2], shared.ids[5], None]


def test_a_page_is_fetched_when_it_is_needed(api, shared):
    listed = api.batches.list(limit=2)
    assert shared.requests == []
    assert ids(islice(listed, 2)) == shared.ids[:2]
    assert len(shared.requests) == 1
    assert ids(islice(listed, 3)) == shared.ids[:3], "each loop begins anew"
    assert len(shared.requests) == 3


def test_a_list_can_begin_behind_one(api, shared):
    assert ids(api.batches.list(after=shared.ids[1], limit=4)) == shared.ids[2:]
    assert ids(api.batches.list(after=shared.ids[-1])) == []


def as_zone(moment):
    return moment.astimezone(timezone(timedelta(hours=9)))


def as_naive(moment):
    return moment.replace(tzinfo=None)


def as_text(moment):
    return moment.isoformat()


def as_short_text(moment):
    return moment.strftime("%Y%m%dT%H%M%S")


@pytest.mark.parametrize("spelled", [lambda moment: moment, as_zone, as_naive, as_text, as_short_text])
def test_a_span_of_time_ends_the_list_early(api, shared, spelled):
    newest_three = api.batches.list(created_after=spelled(shared.dates[2]), limit=2)
    assert ids(newest_three) == shared.ids[:3], "the moment itself is within"
    assert len(shared.requests) == 2
    oldest_three = api.batches.list(created_before=spelled(shared.dates[3]), limit=2)
    assert ids(oldest_three) == shared.ids[4:], "the moment itself is without"
    assert len(shared.requests) == 2 + 4
    between = api.batches.list(
        created_after=spelled(shared.dates[4]), created_before=spelled(shared.dates[1]), limit=1
    )
    assert ids(between) == shared.ids[2:5]
    assert len(shared.requests) == 2 + 4 + 6


def test_a_day_may_be_enough(api, shared):
    assert ids(api.batches.list(created_after="2020-01-01")) == shared.ids
    assert ids(api.batches.list(created_before="2020-01-01", limit=100)) == []
    assert ids(api.files.list(created_after="2999-01-01")) == []
    assert len(shared.requests) == 3


@pytest.mark.parametrize("name", ["created_after", "created_before"])
@pytest.mark.parametrize(
    "bad", ["yesterday", "2026-13-01", "", "01/02/2026", date(2026, 1, 1), 1_750_000_000]
)
def test_what_is_no_date_is_refused(api, shared, name, bad):
    for listing in (api.batches.list, api.files.list):
        with pytest.raises(ConfigurationError, match=name):
            list(listing(**{name: bad}))
    assert shared.requests == []


def pages(*given):
    """A script that gives pages in turn, and the last one for ever."""
    left = list(given)
    return lambda request: answer(left.pop(0) if len(left) > 1 else left[0])


def a_page(*names, has_more=True, **fields):
    return {
        "object": "list",
        "data": [batch_object(id=name) for name in names],
        "has_more": has_more,
    } | fields


def test_a_cursor_that_does_not_advance_ends_the_list(raw_server, connect):
    server = raw_server(pages(a_page("a", "b", last_id="b")))
    assert ids(connect(server.base_url).batches.list()) == ["a", "b"]
    assert len(server.received) == 2


def test_a_cursor_that_goes_round_ends_the_list(raw_server, connect):
    server = raw_server(pages(a_page("a", "b"), a_page("c", "d"), a_page("a", "b"), a_page("c", "d")))
    listed = connect(server.base_url).batches.list()
    assert ids(listed) == ["a", "b", "c", "d"]
    assert len(server.received) == 3


def test_a_list_that_ignores_where_to_begin(raw_server, connect):
    server = raw_server(pages(a_page("a", "b")))
    assert ids(connect(server.base_url).batches.list(after="b")) == ["a", "b"]


@pytest.mark.parametrize("last_id", [None, "a", 7, "../x", ""])
def test_the_last_object_is_the_cursor(raw_server, connect, last_id):
    server = raw_server(pages(a_page("a", "b", last_id=last_id), a_page("c", has_more=False)))
    assert ids(connect(server.base_url).batches.list()) == ["a", "b", "c"]
    assert server.requests()[1] == "GET /batches?after=b"


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [], "has_more": False},
        {"data": [], "has_more": True},
    ],
    ids=str,
)
def test_an_empty_list(raw_server, connect, body):
    api = connect(raw_server(pages(body)).base_url)
    assert list(api.batches.list()) == list(api.files.list()) == []


@pytest.mark.parametrize("has_more", [None, "true", 1, "no"])
def test_only_true_means_more(raw_server, connect, has_more):
    server = raw_server(pages(a_page("a", has_more=has_more)))
    assert ids(connect(server.base_url).batches.list()) == ["a"]
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"data": None, "has_more": True},
        {"data": None, "has_more": False},
        {"object": "list"},
        {},
        ["batch_1"],
        {"error": {"message": "try later"}},
        {"data": "abc"},
        {"data": {"a": 1}},
        [[{"id": "batch_1"}]],
        None,
        "text",
    ],
    ids=str,
)
def test_what_is_no_list_is_no_answer(raw_server, connect, body):
    api = connect(raw_server(pages(body)).base_url)
    for listing in (api.batches.list, api.files.list):
        with pytest.raises(InvalidResponseError):
            list(listing())


@pytest.mark.parametrize(
    "body",
    [
        [{"id": "a"}, {"id": "b"}],
        {"batches": [{"id": "a"}, {"id": "b"}]},
        {"files": [{"id": "a"}, {"id": "b"}]},
        {"data": {"data": [{"id": "a"}, {"id": "b"}]}},
        {"result": {"batches": [{"id": "a"}, {"id": "b"}]}, "success": True},
    ],
    ids=str,
)
def test_lists_in_other_shapes(raw_server, connect, body):
    api = connect(raw_server(lambda request: answer(body)).base_url)
    assert ids(api.batches.list()) == ids(api.files.list()) == ["a", "b"]


def test_an_array_without_entries_is_a_list_but_no_proof(raw_server, connect):
    api = connect(raw_server(lambda request: answer([])).base_url)
    (page,) = api.batches.list().pages()
    assert (page.data, page.cut) == ([], True)


def test_an_array_without_entries_is_proof_where_lists_are_arrays(raw_server, connect):
    bodies = iter([[{"id": "a"}], []])
    api = connect(raw_server(lambda request: answer(next(bodies))).base_url)
    assert ids(api.batches.list()) == ["a"]
    (page,) = api.batches.list().pages()
    assert (page.data, page.cut) == ([], False)


def test_a_full_page_that_does_not_say_whether_more_follows_is_followed(raw_server, connect):
    server = raw_server(pages({"data": [{"id": "a"}, {"id": "b"}]}, {"data": [{"id": "c"}]}))
    assert ids(connect(server.base_url).batches.list(limit=2)) == ["a", "b", "c"]
    assert len(server.received) == 2


def test_what_the_service_says_in_place_of_a_list_is_said(raw_server, connect):
    api = connect(raw_server(pages({"error": {"message": "try\nlater"}})).base_url)
    with pytest.raises(InvalidResponseError, match=r"GET /v1/batches: the answer is an error: try later"):
        list(api.batches.list())


def test_what_is_no_list_may_be_one_the_next_time(raw_server, connect):
    server = raw_server(pages({"data": None}, {}, a_page("a", has_more=False)))
    assert ids(connect(server.base_url).batches.list()) == ["a"]
    assert len(server.received) == 3


ODD = [
    7,
    None,
    "text",
    {"id": ".."},
    {"object": "batch"},
]
READABLE = [
    {"id": "batch_odd", "status": 7},
    {"id": "batch_odd", "errors": "a string"},
    {"id": "batch_odd", "request_counts": 3},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_entry_that_cannot_be_read_is_passed_over_and_counted(raw_server, connect, odd, caplog):
    page = a_page("a", "b", has_more=False)
    page["data"].insert(1, odd)
    listed = connect(raw_server(pages(page)).base_url).batches.list()
    assert ids(listed) == ["a", "b"]
    (page,) = listed.pages()
    assert page.unreadable == 1
    assert "cannot be read, and is passed over" in caplog.text


@pytest.mark.parametrize("odd", READABLE, ids=str)
def test_an_entry_with_odd_fields_is_read_as_far_as_it_can_be(raw_server, connect, odd):
    page = a_page("a", "b", has_more=False)
    page["data"].insert(1, odd)
    listed = connect(raw_server(pages(page)).base_url).batches.list()
    assert ids(listed) == ["a", "batch_odd", "b"]
    (page,) = listed.pages()
    assert page.unreadable == 0


def test_the_next_page_begins_behind_an_entry_with_odd_fields(raw_server, connect):
    odd = {"id": "batch_odd", "errors": "a string"}
    server = raw_server(
        pages(a_page("a") | {"data": [batch_object(id="a"), odd]}, a_page("b", has_more=False))
    )
    assert ids(connect(server.base_url).batches.list()) == ["a", "batch_odd", "b"]
    assert server.requests()[1] == "GET /batches?after=batch_odd"


def test_an_empty_page_does_not_end_a_list_that_goes_on(raw_server, connect):
    empty = {"data": [], "has_more": True, "last_id": "x"}
    server = raw_server(pages(a_page("a"), empty, a_page("b", has_more=False)))
    assert ids(connect(server.base_url).batches.list()) == ["a", "b"]
    assert [each.partition("?")[2] for each in server.requests()] == ["", "after=a", "after=x"]


def dated(*times):
    return {"data": [batch_object(id=f"t{time}", created_at=time) for time in times], "has_more": True}


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        ((30, 20, 10), 1),
        ((10, 10, 10), 2),
        ((10,), 2),
        ((10, 20, 30), 2),
        ((30, 10, 20, 10), 2),
        ((10, None), 2),
    ],
    ids=str,
)
def test_a_list_ends_early_only_where_it_was_seen_to_run_newest_first(raw_server, connect, first, asked):
    server = raw_server(pages(dated(*first), a_page("z", has_more=False)))
    listed = connect(server.base_url).batches.list(created_after=datetime.fromtimestamp(15, UTC))
    assert {"t30", "t20"} & set(ids(listed)) == {f"t{time}" for time in first if time and time > 15}
    assert len(server.received) == asked


def page_of(*moments, following="x", **fields):
    moments = [moment and datetime.fromtimestamp(moment, UTC) for moment in moments]
    return Page((), following, moments=moments, **fields)


@pytest.mark.parametrize(
    ("taken", "complete"),
    [
        ([page_of(3, 2, following=None)], True),
        ([page_of(3, following="a"), page_of(2, following=None)], True),
        ([page_of(3, following="a", unreadable=1), page_of(2, following=None)], False),
        ([page_of(following=None, cut=True)], False),
        ([page_of(3, 1, following=None, cut=True)], True),
        ([page_of(3, 1, following="a", unreadable=1)], False),
        ([page_of(3, following="a"), page_of(3, following="a")], False),
    ],
)
def test_what_a_list_did_not_show_is_absent_only_if_it_was_read_without_gaps(taken, complete):
    cursor = Cursor(None, datetime.fromtimestamp(2, UTC))
    for page in taken:
        assert not cursor.ended
        cursor.takes(page)
    assert cursor.ended
    assert cursor.complete == complete


def test_objects_without_a_time_are_kept(raw_server, connect):
    undated = {"id": "a", "created_at": None}
    server = raw_server(pages({"data": [undated], "has_more": True}, a_page("b", has_more=False)))
    assert ids(connect(server.base_url).batches.list(created_after="2020-01-01")) == ["a", "b"]
