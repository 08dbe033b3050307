"""Lists with weather, as a plain HTTP client sees them."""

import httpx
import pytest
from support.service_http import create, http_to, jsonl, pages, retrieve, upload

from overlay.server import (
    Drip,
    EmptyPages,
    Endless,
    Gzip,
    LagList,
    ManualClock,
    Miscount,
    Odd,
    Oldest,
    Overlap,
    Overwrite,
    Pace,
    Reject,
    Repeat,
    Service,
    Stale,
)
from overlay.server.faults.listing import Asked, odd_entries, page
from overlay.server.faults.past import as_of
from overlay.server.objects import STATUSES

COUNT = 7


@pytest.fixture
def service():
    pace = Pace(validating=10, in_progress=100, finalizing=20, cancelling=30)
    with Service(clock=ManualClock(), pace=pace) as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


@pytest.fixture
def made(service, http):
    """The ids of as many batches, the oldest first, a second apart."""
    made = []
    for _ in range(COUNT):
        made.append(create(http, upload(http, jsonl(1)))["id"])
        service.advance(1)
    return made


def ids(page):
    return [each["id"] for each in page["data"]]


def test_the_oldest_first(service, http, made):
    service.faults.add("GET /batches", Oldest(), times=None)
    got = list(pages(http, "/batches", limit=3))
    assert [ids(each) for each in got] == [made[:3], made[3:6], made[6:]]
    assert [(each["first_id"], each["last_id"]) for each in got] == [
        (made[0], made[2]),
        (made[3], made[5]),
        (made[6], made[6]),
    ]


def test_the_oldest_file_first_however_it_is_asked(service, http, made):
    files = [retrieve(http, {"id": each})["input_file_id"] for each in made]
    service.faults.add("GET /files", Oldest(), times=None)
    for order in ("asc", "desc"):
        got = pages(http, "/files", limit=4, order=order, purpose="batch")
        assert [ids(each) for each in got] == [files[:4], files[4:]]
    assert http.get("/files", params={"purpose": "user_data"}).json()["data"] == []


def test_order_and_purpose_of_files_are_kept_in_other_weather(service, http, made):
    files = [retrieve(http, {"id": each})["input_file_id"] for each in made]
    service.faults.add("GET /files", Overlap(), times=None)
    ascending = [ids(each) for each in pages(http, "/files", limit=4, order="asc")]
    assert ascending == [files[:4], files[3:]]
    descending = [ids(each) for each in pages(http, "/files", limit=4)]
    assert descending == [files[:2:-1], files[3::-1]]


def test_what_the_list_shows_lags_behind_what_an_id_shows(service, http):
    file = upload(http, jsonl(10))
    batch = create(http, file)
    service.faults.add("GET /batches", Stale(15), times=None)

    def seen():
        rows = http.get("/batches").json()["data"]
        now = retrieve(http, batch)
        return rows and (rows[0]["status"], rows[0]["request_counts"]["completed"]), now["status"]

    assert seen() == ([], "validating")
    service.advance(15)
    assert seen() == (("validating", 0), "in_progress")
    service.advance(10)
    assert seen() == (("in_progress", 0), "in_progress")
    service.advance(55)
    assert seen() == (("in_progress", 5), "in_progress")
    (row,) = http.get("/batches").json()["data"]
    assert (row["output_file_id"], row["finalizing_at"], row["request_counts"]["total"]) == (None, None, 10)
    service.advance(40)
    assert seen() == (("in_progress", 9), "finalizing")
    service.advance(11)
    assert seen() == (("finalizing", 10), "completed")
    assert http.get("/batches").json()["data"][0]["output_file_id"] is None
    service.advance(15)
    assert http.get("/batches").json()["data"] == [retrieve(http, batch)]


def test_a_list_of_this_very_moment(service, http):
    batch = create(http, upload(http, jsonl(10)))
    service.advance(10)
    assert retrieve(http, batch)["status"] == "in_progress"
    service.faults.add("GET /batches", Stale(0), times=None)
    (row,) = http.get("/batches").json()["data"]
    assert (row["status"], row["request_counts"]["total"]) == ("in_progress", 10)


def test_counts_that_are_no_numbers_are_not_added_to(service, http):
    create(http, upload(http, jsonl(1)))
    service.faults.add("GET /batches", Overwrite({"request_counts": {"total": "5", "failed": None}}))
    service.faults.add("GET /batches", Miscount(total=1, failed=1))
    for _ in range(2):
        (row,) = http.get("/batches").json()["data"]
        service.faults.add("GET /batches", Miscount(total=1, failed=1))
        service.faults.add("GET /batches", Overwrite({"request_counts": {"total": "5", "failed": None}}))
        assert row["request_counts"] == {"total": "5", "failed": None}


def test_the_list_of_files_lags_behind_too(service, http):
    service.faults.add("GET /files", Stale(5), times=None)
    file = upload(http, jsonl(1))
    service.advance(4)
    assert http.get("/files").json()["data"] == []
    assert http.get(f"/files/{file['id']}").json() == file
    service.advance(2)
    assert http.get("/files").json()["data"] == [file]


def test_a_cancelled_batch_and_a_failed_one_as_they_were(service, http):
    cancelled, failed = create(http, upload(http, jsonl(2))), create(http, upload(http, b"{}\n"))
    service.advance(20)
    http.post(f"/batches/{cancelled['id']}/cancel")
    service.advance(100)
    ended = [retrieve(http, failed), retrieve(http, cancelled)]
    assert [each["status"] for each in ended] == ["failed", "cancelled"]

    def before(seconds):
        service.faults.add("GET /batches", Stale(seconds))
        return [(each["status"], each["errors"]) for each in http.get("/batches").json()["data"]]

    assert before(70) == [("failed", ended[0]["errors"]), ("cancelled", None)]
    assert before(80) == [("failed", ended[0]["errors"]), ("cancelling", None)]
    assert before(105) == [("failed", ended[0]["errors"]), ("in_progress", None)]
    assert before(111) == [("validating", None), ("validating", None)]
    assert before(121) == []


def test_an_object_of_the_past_has_the_fields_of_a_present_one(service, http):
    batch = create(http, upload(http, jsonl(3)))
    service.advance(1000)
    batch = retrieve(http, batch)
    seen = set()
    for moment in range(batch["created_at"] - 1, batch["completed_at"] + 1):
        then = as_of(batch, moment, moment + 2000)
        if then is None:
            assert moment < batch["created_at"]
            continue
        seen.add(then["status"])
        assert then.keys() == batch.keys()
        assert all(then[f"{status}_at"] in {None, batch[f"{status}_at"]} for status in STATUSES[1:])
        assert then["request_counts"].keys() == batch["request_counts"].keys()
    assert seen == {"validating", "in_progress", "finalizing", "completed"}
    assert as_of(batch, batch["completed_at"], 0) == batch


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("path", ["/batches", "/files"])
def test_entries_that_are_no_rows(service, http, made, path, last):
    service.faults.add(f"GET {path}", Odd(last=last), times=None)
    odd, real = odd_entries(), []
    for got in pages(http, path, limit=3):
        data = got["data"]
        rows, strange = (
            (data[: -len(odd)], data[-len(odd) :]) if last else (data[len(odd) :], data[: len(odd)])
        )
        assert strange == odd
        assert (got["first_id"], got["last_id"]) == (rows[0]["id"], rows[-1]["id"])
        real += ids({"data": rows})
    assert len(real) == COUNT
    if path == "/batches":
        assert real == made[::-1]


def test_odd_entries_of_ones_own(service, http, made):
    service.faults.add("GET /batches", Odd([None, {"id": made[0]}]))
    assert http.get("/batches").json()["data"][:2] == [None, {"id": made[0]}]
    assert ids(http.get("/batches").json()) == made[::-1]


def test_the_odd_entries_are_odd_in_many_ways():
    odd = odd_entries()
    objects = [each for each in odd if isinstance(each, dict)]
    assert {type(each) for each in odd} == {type(None), str, int, list, dict}
    assert any("id" not in each for each in objects)
    assert {type(each.get("id")) for each in objects} == {type(None), int, str}
    assert {type(each.get("created_at")) for each in objects} == {type(None), int, float, str}


def test_repeated_rows(service, http, made):
    service.faults.add("GET /batches", Repeat(3), times=None)
    got = [ids(each) for each in pages(http, "/batches", limit=5)]
    assert got == [
        [each for each in made[:1:-1] for _ in range(3)],
        [each for each in made[1::-1] for _ in range(3)],
    ]


def test_pages_that_overlap(service, http, made):
    service.faults.add("GET /batches", Overlap(2), times=None)
    newest = made[::-1]
    got = [ids(each) for each in pages(http, "/batches", limit=3)]
    assert got == [newest[:3], newest[1:6], newest[4:]]


@pytest.mark.parametrize("empty", [1, 3])
def test_empty_pages_lead_on(service, http, made, empty):
    service.faults.add("GET /batches", EmptyPages(empty), times=None)
    got = list(pages(http, "/batches", limit=4))
    assert [len(each["data"]) for each in got] == [0] * empty + [4] + [0] * empty + [3]
    assert [each for page in got for each in ids(page)] == made[::-1]
    assert len({each["last_id"] for each in got}) == len(got)


def test_an_empty_page_leads_on_when_the_fault_is_over(service, http, made):
    service.faults.add("GET /batches", EmptyPages())
    got = list(pages(http, "/batches", limit=4))
    assert [len(each["data"]) for each in got] == [0, 4, 3]
    service.faults.add("GET /batches", EmptyPages(), skip=1)
    got = list(pages(http, "/batches", limit=4))
    assert [len(each["data"]) for each in got] == [4, 0, 3]


def test_a_list_that_says_for_ever_that_there_is_more(service, http, made):
    service.faults.add("GET /batches", Endless(), times=None)
    after, got = None, []
    for _ in range(4):
        got.append(http.get("/batches", params={"limit": 4} | ({"after": after} if after else {})).json())
        after = got[-1]["last_id"]
    assert [len(each["data"]) for each in got] == [4, 3, 0, 0]
    assert all(each["has_more"] for each in got)
    assert got[1]["last_id"] == got[2]["last_id"] == got[3]["last_id"] == made[0]


def test_several_at_once(service, http, made):
    for effect in (Oldest(), Overlap(), Repeat(), EmptyPages(), Odd([None], last=True)):
        service.faults.add("GET /batches", effect, times=None)
    got = [each["data"] for each in pages(http, "/batches", limit=4)]
    names = [[row and made.index(row["id"]) for row in data] for data in got]
    assert names == [[], [0, 0, 1, 1, 2, 2, 3, 3, None], [], [3, 3, 4, 4, 5, 5, 6, 6, None]]


def test_weather_goes_with_faults_of_other_kinds(service, http, made):
    service.faults.add("GET /batches", Oldest(), times=None)
    service.faults.add("GET /batches", LagList(3.5), times=None)
    service.faults.add("GET /batches", Reject(503))
    assert http.get("/batches").status_code == 503
    assert ids(http.get("/batches").json()) == made[:4]


@pytest.mark.parametrize("effect", [Oldest(), EmptyPages(), Stale(1), Odd()])
def test_what_is_refused_is_refused_in_any_weather(service, http, made, effect):
    service.faults.add("GET /batches", effect, times=None)
    assert http.get("/batches", params={"limit": 0}).status_code == 400
    assert http.get("/batches", params={"limit": "x"}).status_code == 400
    answer = http.get("/batches", params={"after": "batch_none"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")
    assert http.get("/batches", params={"after": "batch_none.empty1"}).status_code == 400


def test_no_weather_changes_an_empty_list(service, http):
    for effect in (Oldest(), Stale(1), Repeat(), Overlap()):
        service.faults.add("GET /batches", effect)
    assert http.get("/batches").json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_without_weather_a_page_is_the_one_of_the_service(service, http, made):
    """The page that faults start from is the one that the service gives, field for field."""
    whole = http.get("/batches").json()["data"]
    for after in (None, *made):
        for limit in (1, 3, COUNT):
            query = {"limit": limit} | ({"after": after} if after else {})
            assert page([], whole, Asked(after, limit), 0.0) == http.get("/batches", params=query).json()


def test_wrong_counts(service, http, made):
    service.advance(200)
    service.faults.add("GET /batches**", Miscount(total=1, completed=-1, failed=5), times=None)
    wrong = {"total": 2, "completed": 0, "failed": 5}
    assert retrieve(http, {"id": made[0]})["request_counts"] == wrong
    assert [each["request_counts"] for each in http.get("/batches").json()["data"]] == [wrong] * COUNT
    assert service.batches()[0]["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


def test_other_fields_than_the_true_ones(service, http, made):
    fields = {"request_counts": None, "status": "IN_PROGRESS", "queue": 3}
    service.faults.add("* /batches**", Overwrite(fields, absent=["errors", "metadata"]), times=None)
    file = upload(http, jsonl(1))
    true = service.batches()[0]
    for shown in (create(http, file), retrieve(http, true), http.get("/batches").json()["data"][0]):
        assert shown.items() >= fields.items()
        assert shown.keys() == (true.keys() | {"queue"}) - {"errors", "metadata"}
    answer = http.get("/batches/batch_none")
    assert (answer.status_code, answer.json().keys()) == (404, {"error"})


def test_what_is_shown_does_not_depend_on_how_it_is_sent(service, http, made):
    for effect in (Overwrite({"status": "queued"}), Odd([None]), Gzip(), Drip(0.0, size=100)):
        service.faults.add("GET /batches", effect)
    answer = http.get("/batches")
    assert answer.headers["content-encoding"] == "gzip"
    data = answer.json()["data"]
    assert data[0] is None
    assert {each["status"] for each in data[1:]} == {"queued"}


def test_other_fields_of_files(service, http):
    service.faults.add("GET /files**", Overwrite({"purpose": None}, absent=["bytes"]), times=None)
    file = upload(http, jsonl(1))
    shown = http.get(f"/files/{file['id']}").json()
    assert (shown["purpose"], "bytes" in shown) == (None, False)
    assert http.get("/files").json()["data"] == [shown]
    assert http.get(f"/files/{file['id']}/content").content == jsonl(1)
    answer = http.delete(f"/files/{file['id']}")
    assert answer.json() == {"id": file["id"], "object": "file", "deleted": True}


@pytest.mark.parametrize(
    "effect",
    [
        {"effect": "oldest"},
        {"effect": "stale", "seconds": 5},
        {"effect": "odd", "entries": [None, {"id": ".."}], "last": True},
        {"effect": "odd"},
        {"effect": "repeat", "times": 2},
        {"effect": "overlap", "rows": 2},
        {"effect": "empty_pages", "pages": 2},
        {"effect": "endless"},
        {"effect": "miscount", "failed": 1},
        {"effect": "overwrite", "fields": {"request_counts": None}, "absent": ["errors"]},
        {"effect": "other_ids", "to": "number", "every": 2},
        {"effect": "byte_order_mark"},
        {"effect": "pending", "seconds": 5, "refused": False},
        {"effect": "cut", "lines": 3, "framing": "close"},
    ],
)
def test_weather_over_http(service, http, effect):
    control = service.base_url.removesuffix("/v1") + "/_control/faults"
    headers = {"Authorization": "Bearer any"}
    fault = {"match": "GET /batches", "effect": effect, "times": None}
    assert httpx.post(control, json=fault, headers=headers).status_code == 200
    (listed,) = httpx.get(control, headers=headers).json()
    assert listed["effect"].items() >= effect.items()
    create(http, upload(http, jsonl(1)))
    assert http.get("/batches").status_code == 200
    assert service.faults.all()[0].hits == 1


@pytest.mark.parametrize(
    "effect",
    [
        {"effect": "stale"},
        {"effect": "cut"},
        {"effect": "cut", "after": 1, "lines": 1},
        {"effect": "other_ids", "to": "nothing"},
        {"effect": "other_ids", "every": 0},
    ],
)
def test_weather_that_cannot_be_is_refused(service, effect):
    control = service.base_url.removesuffix("/v1") + "/_control/faults"
    fault = {"match": "GET /batches", "effect": effect}
    answer = httpx.post(control, json=fault, headers={"Authorization": "Bearer any"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
