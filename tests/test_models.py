"""What callers see of a batch and a file: every field of the wire, and the plain words beside them."""

import copy
import inspect
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from support.calling import batch_object
from support.raw_server import answer

from overlay import Batch, File, InvalidResponseError, Page, models as ours
from overlay.cli import batches, files
from overlay.cli.columns import shown
from overlay.cli.output import table
from overlay.generated import models

MOMENT = 1_762_000_000
DATE = datetime(2025, 11, 1, 12, 26, 40, tzinfo=UTC)
WHOLE_BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": {"object": "list", "data": [{"code": "c", "message": "m", "param": "p", "line": 3}]},
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-2",
    "error_file_id": "file-3",
    "created_at": MOMENT,
    "in_progress_at": MOMENT + 1,
    "expires_at": MOMENT + 2,
    "finalizing_at": MOMENT + 3,
    "completed_at": MOMENT + 4,
    "failed_at": MOMENT + 5,
    "expired_at": MOMENT + 6,
    "cancelling_at": MOMENT + 7,
    "cancelled_at": MOMENT + 8,
    "request_counts": {"total": 100, "completed": 95, "failed": 1},
    "metadata": {"run": "7"},
    "model": "m",
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}
WHOLE_FILE = {
    "id": "file-1",
    "object": "file",
    "bytes": 120,
    "created_at": MOMENT,
    "expires_at": MOMENT + 1,
    "filename": "in.jsonl",
    "purpose": "batch",
    "status": "processed",
}
TIMES = ["in_progress", "expires", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]


def a_batch(**fields):
    return ours.batch(models.Batch.from_dict(batch_object(**fields)))


def a_file(**fields):
    return ours.file(models.OpenAIFile.from_dict({"id": "file-1"} | fields))


def properties(model):
    return [name for name, value in vars(model).items() if isinstance(value, property)]


@pytest.mark.parametrize(("model", "generated"), [(Batch, models.Batch), (File, models.OpenAIFile)])
def test_a_model_has_every_field_and_adds_names_of_its_own(model, generated):
    assert attrs.fields(model) == attrs.fields(generated)
    wire = {field.name for field in attrs.fields(generated)} | set(dir(generated))
    added = set(properties(model))
    assert added, "these are what make the model worth having"
    assert not added & wire, "a field of the wire has the name of something added: both cannot be had"
    assert model.__slots__ == ()
    assert not attrs.has(model) or "__attrs_attrs__" not in vars(model)


@pytest.mark.parametrize(("build", "whole"), [(a_batch, WHOLE_BATCH), (a_file, WHOLE_FILE)])
@pytest.mark.parametrize("change", ["null", "absent", "unknown"])
def test_every_field_may_be_missing(build, whole, change):
    assert build(**whole).to_dict() == whole
    for name in whole:
        if name == "id":
            continue
        if change == "unknown":
            fields = whole | {"brand_new_field": [name]}
        else:
            fields = {key: value for key, value in whole.items() if key != name or change == "null"}
            fields |= {name: None} if change == "null" else {}
        model = build(**({name: None} if change == "absent" else {}) | fields)
        for each in properties(type(model)):
            getattr(model, each)
        assert pickle.loads(pickle.dumps(model)) == model
        assert repr(model).startswith(f"{type(model).__name__}(id=")


def test_times_are_aware():
    batch = a_batch(**WHOLE_BATCH)
    assert batch.created == DATE
    assert batch.created_at == MOMENT
    assert [(getattr(batch, name) - DATE).total_seconds() for name in TIMES] == list(range(1, 9))
    assert all(getattr(batch, name).tzinfo is UTC for name in TIMES)
    file = a_file(**WHOLE_FILE)
    assert (file.created, file.expires) == (DATE, datetime.fromtimestamp(MOMENT + 1, UTC))
    assert file.bytes == 120


@pytest.mark.parametrize(
    "value",
    [
        None,
        "soon",
        "",
        "0001-01-01T00:00:00Z",
        "9" * 30,
        0,
        "0",
        True,
        1e300,
        float("nan"),
        -(10**20),
        10**400,
        [1],
    ],
    ids=repr,
)
def test_what_is_no_time_is_none(value):
    assert a_batch(created_at=value).created is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MOMENT * 1000, DATE),
        (MOMENT * 1000 + 250, DATE.replace(microsecond=250_000)),
        (MOMENT * 10**6, DATE),
        (MOMENT * 10**9, DATE),
        (str(MOMENT), DATE),
        (f"{MOMENT}.5", DATE.replace(microsecond=500_000)),
        (DATE.isoformat(), DATE),
        (DATE.strftime("%Y-%m-%dT%H:%M:%SZ"), DATE),
        (DATE.strftime("%Y-%m-%d %H:%M:%S"), DATE),
        (DATE.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"), DATE.replace(microsecond=123_456)),
        (DATE.strftime("%a, %d %b %Y %H:%M:%S GMT"), DATE),
        (f" {DATE.isoformat()} ", DATE),
        ("2025-11-01", datetime(2025, 11, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_times_as_services_write_them(value, expected):
    assert a_batch(created_at=value).created == expected


def test_a_time_may_have_a_fraction():
    assert a_batch(created_at=MOMENT + 0.5).created == DATE.replace(microsecond=500_000)


@pytest.mark.parametrize(
    ("status", "ended", "succeeded", "rank"),
    [
        (None, False, False, -1),
        ("", False, False, -1),
        ("warming", False, False, -1),
        ("scheduling", False, False, 0),
        ("QUEUED", False, False, 0),
        ("pending", False, False, 0),
        ("validated", False, False, 0),
        ("started", False, False, 0),
        ("Progress", False, False, 1),
        ("running", False, False, 1),
        ("processing", False, False, 1),
        ("in progress", False, False, 1),
        ("In-Progress", False, False, 1),
        ("JOB_STATE_RUNNING", False, False, 1),
        ("CANCELLATION_REQUESTED", False, False, 3),
        ("succeeded", True, True, 4),
        ("SUCCESS", True, True, 4),
        ("BATCH_STATE_SUCCEEDED", True, True, 4),
        ("finalized", True, True, 4),
        ("done", True, True, 4),
        ("error", True, False, 4),
        ("TIMEOUT_EXCEEDED", True, False, 4),
        ("canceled", True, False, 4),
        ("validating", False, False, 0),
        ("IN_PROGRESS", False, False, 1),
        ("finalizing", False, False, 2),
        ("cancelling", False, False, 3),
        ("failed", True, False, 4),
        ("completed", True, True, 4),
        ("COMPLETED", True, True, 4),
        ("expired", True, False, 4),
        ("Cancelled", True, False, 4),
    ],
)
def test_how_far_a_batch_is(status, ended, succeeded, rank):
    batch = a_batch(status=status)
    assert (batch.ended, batch.succeeded, ours.rank(batch)) == (ended, succeeded, rank)
    assert batch.status == status, "the wire's own word is kept"


@pytest.mark.parametrize(
    ("counts", "progress"),
    [
        (None, None),
        ({}, None),
        ({"total": 0, "completed": 0, "failed": 0}, None),
        ({"total": 4, "completed": 1, "failed": 1}, 0.5),
        ({"total": 4, "completed": None}, 0.0),
        ({"total": 4, "completed": 9, "failed": 0}, 1.0),
        ({"total": "4", "completed": "1"}, None),
        ({"total": 4, "completed": "1", "failed": 1}, None),
    ],
)
def test_progress(counts, progress):
    assert a_batch(request_counts=counts).progress == progress


def test_fields_that_are_newer_than_the_specification_can_be_read():
    batch = a_batch(brand_new_field={"a": 1}, _private=1)
    assert batch.brand_new_field == {"a": 1}
    assert batch.additional_properties["brand_new_field"] == {"a": 1}
    assert a_file(brand_new_field=None).brand_new_field is None
    for name in ("no_such_field", "_private", "__wrapped__"):
        with pytest.raises(AttributeError, match=name):
            getattr(batch, name)
    assert not hasattr(batch, "no_such_field")


@pytest.mark.parametrize("model", [a_batch(**WHOLE_BATCH, brand_new_field=1), a_file(**WHOLE_FILE)])
def test_models_are_values(model):
    protocols = range(2, pickle.HIGHEST_PROTOCOL + 1)
    pickled = [pickle.loads(pickle.dumps(model, protocol)) for protocol in protocols]
    for again in (*pickled, copy.copy(model), copy.deepcopy(model)):
        assert type(again) is type(model)
        assert again == model
        assert again.to_dict() == model.to_dict()
    assert type(model).from_dict(model.to_dict()) == model


def test_parts_are_models_too():
    batch = a_batch(**WHOLE_BATCH)
    assert batch.request_counts.completed == 95
    assert batch.errors.data[0].line == 3
    assert batch.usage.total_tokens == 3
    assert batch.metadata.get("run") == "7"


@pytest.mark.parametrize(
    "batch_id",
    ["7c9e6679-7425-40de-944b-e07fc1f90ae7", "batch-x.y_z", "0", "b" * 1024, "a/b", "a b", "b:c", "ü"],
)
def test_ids_of_other_services(raw_server, connect, batch_id):
    api = connect(raw_server(lambda request: answer({"id": batch_id})).base_url)
    assert api.batches.retrieve(batch_id).id == batch_id


@pytest.mark.parametrize(
    "body",
    [
        *({"id": bad} for bad in (None, "", ".", "..", "a\nb", "b" * 1025, 7, [], {}, True)),
        *({"id": "batch_1", name: [7]} for name in ("input_file_id", "output_file_id", "error_file_id")),
        {},
        [],
        [{"id": "batch_1"}],
        "batch_1",
        7,
        None,
        True,
    ],
    ids=str,
)
def test_what_our_logic_reads_is_checked_where_it_enters(raw_server, connect, body):
    api = connect(raw_server(lambda request: answer(body)).base_url)
    with pytest.raises(InvalidResponseError):
        api.batches.retrieve("batch_1")


ABSURD = [
    7,
    -1,
    10**30,
    1e300,
    True,
    "x",
    "",
    [],
    ["x"],
    [[]],
    {},
    {"a": 1},
    {"data": 7},
    {"data": [[], 7]},
    "\ud800",
]
NOT_CHECKED = {"id", "input_file_id", "output_file_id", "error_file_id"}


@pytest.mark.parametrize("name", [name for name in WHOLE_BATCH if name not in NOT_CHECKED])
def test_a_field_that_makes_no_sense_costs_nobody_the_batch(raw_server, connect, name):
    """What our own logic does with it is worked out, and nothing raises; a table of it is printed."""
    bodies = iter([WHOLE_BATCH | {name: value} for value in ABSURD])
    api = connect(raw_server(lambda request: answer(next(bodies))).base_url)
    for _ in ABSURD:
        batch = api.batches.retrieve("batch_1")
        assert [getattr(batch, each) for each in properties(type(batch))]
        assert batch.created_at is None or 0 <= batch.created_at < 2**53
        assert batch.status is None or isinstance(batch.status, str)
        counts = batch.request_counts
        assert counts is None or all(
            number is None or 0 <= number < 2**53
            for number in (counts.total, counts.completed, counts.failed)
        )
        for entry in (batch.errors.data if batch.errors else None) or []:
            assert entry.line is None or 0 <= entry.line < 2**53
            assert entry.message is None or isinstance(entry.message, str)
        assert not rank_fails(batch)
        assert batch.id in repr(batch)
        assert batch.id in batch._repr_html_()
        table(
            (),
            [[*map(shown, batches._row(batch))], *([key, str(value)] for key, value in batches.facts(batch))],
        )


def rank_fails(batch):
    return not isinstance(ours.rank(batch), int)


@pytest.mark.parametrize("name", [name for name in WHOLE_FILE if name != "id"])
def test_a_field_that_makes_no_sense_costs_nobody_the_file(raw_server, connect, name):
    bodies = iter([WHOLE_FILE | {name: value} for value in ABSURD])
    api = connect(raw_server(lambda request: answer(next(bodies))).base_url)
    for _ in ABSURD:
        file = api.files.retrieve("file-1")
        assert [getattr(file, each) for each in properties(type(file))]
        assert file.filename is None or isinstance(file.filename, str)
        table((), [[*map(shown, files._row(file))], *([key, str(value)] for key, value in files.facts(file))])


CASES = [
    json.loads(line) for line in (Path(__file__).parent / "support/batches.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_batches_as_services_send_them_are_read(raw_server, connect, case):
    batch = case["batch"]

    def serve(request):
        if request.method == "POST" or "?" not in request.path:
            return answer(batch)
        return answer({"object": "list", "data": [batch], "has_more": False})

    api = connect(raw_server(serve).base_url)
    for got in (
        api.batches.retrieve(batch["id"]),
        *api.batches.list(limit=5),
        api.batches.cancel(batch["id"]),
    ):
        assert got.id == batch["id"]
        assert got.object == "batch"
        said = {
            name: getattr(got, name) for name in ("progress", "reasons", "ended", "succeeded") if name in case
        }
        assert said == {name: case[name] for name in said}
        if "created" in case:
            assert got.created == (case["created"] and datetime.fromisoformat(case["created"]))
        for each in properties(type(got)):
            getattr(got, each)
        if case.get("ended"):
            assert api.batches.wait(got.id).ended


INSIDE = {"id": "batch_1", "status": "validating", "input_file_id": "file-1"}


@pytest.mark.parametrize(
    "body",
    [
        {"job": INSIDE, "warning": "no such\nmodel"},
        {"batch": INSIDE},
        {"data": INSIDE, "code": 20000, "message": "Ok", "status": True},
        {"result": INSIDE},
        {"batch_id": "batch_1", "status": "validating", "input_file_id": "file-1"},
        {"job": {**INSIDE, "error": None}, "error": None},
    ],
    ids=str,
)
def test_a_batch_in_an_envelope_is_read(raw_server, connect, body):
    api = connect(raw_server(lambda request: answer(body)).base_url)
    batch = api.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions")
    assert (batch.id, batch.input_file_id) == ("batch_1", "file-1")
    assert api.batches.retrieve("batch_1").status == "validating"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"error": "3 bad lines"}, ["3 bad lines"]),
        ({"errors": [], "error": {"message": "quota", "code": 7}}, ["quota"]),
        ({"errors": {"data": [{"msg": "a"}, {"detail": "b"}, {"code": "c"}]}}, ["a", "b", "c"]),
        ({"errors": {"error": {"message": "inner"}}}, ["inner"]),
        ({"errors": None, "failure_reason": "no GPU"}, ["no GPU"]),
        ({"errors": ["", None, " "], "error": ""}, []),
        ({}, []),
    ],
    ids=str,
)
def test_reasons_are_found_wherever_they_stand(raw_server, connect, fields, said):
    api = connect(raw_server(lambda request: answer({**INSIDE, **fields})).base_url)
    assert api.batches.retrieve("batch_1").reasons == said


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"total_requests": 4, "completed_requests": 3, "failed_requests": 1}, (4, 3, 1)),
        (
            {"total_requests": 4, "completed_requests": 4, "succeeded_requests": 3, "failed_requests": 1},
            (4, 3, 1),
        ),
        ({"request_counts": {"total": "4", "succeeded": 3.0, "failed": 1}}, (4, 3, 1)),
    ],
    ids=str,
)
def test_counts_under_other_names(raw_server, connect, fields, counts):
    api = connect(raw_server(lambda request: answer({**INSIDE, **fields})).base_url)
    found = api.batches.retrieve("batch_1").request_counts
    assert (found.total, found.completed, found.failed) == counts


def test_pages_say_whether_there_are_more():
    assert Page([1], "cursor").has_more
    assert not Page([1], None).has_more
    assert inspect.signature(Page).parameters.keys() >= {"data", "next"}
