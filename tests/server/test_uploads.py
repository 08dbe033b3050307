"""Large files in parts, over /v1/uploads."""

import asyncio
import hashlib
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.service_http import create, http_to, jsonl, results, until
from support.strictness import check

from overlay.server import Limits, ManualClock, Reject, Service
from overlay.server.engine import uploads

CONTENT = jsonl(300)
ANYTHING = Limits(check_uploads=False)
"""Most of these parts are no lines of requests."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def service(folder):
    with Service(clock=ManualClock(), state=folder, limits=ANYTHING) as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


def parts_on_disk(folder):
    return sum(1 for _ in (folder / "parts").iterdir())


def contents_on_disk(folder):
    return sum(1 for _ in (folder / "files").iterdir())


def announce(http, size, **fields):
    body = {"bytes": size, "filename": "in.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    answer = http.post("/uploads", json=body | fields)
    assert answer.status_code == 200, answer.text
    check("upload", answer.json())
    return answer.json()


def post_part(http, upload, data):
    return http.post(f"/uploads/{upload['id']}/parts", files={"data": data})


def add_part(http, upload, data):
    answer = post_part(http, upload, data)
    assert answer.status_code == 200, answer.text
    check("upload_part", answer.json())
    return answer.json()["id"]


def complete(http, upload, part_ids, **fields):
    return http.post(f"/uploads/{upload['id']}/complete", json={"part_ids": part_ids, **fields})


def completed(http, upload, part_ids, **fields):
    answer = complete(http, upload, part_ids, **fields)
    assert answer.status_code == 200, answer.text
    check("upload", answer.json())
    return answer.json()


def refusal(answer):
    check("refusal", answer.json())
    return answer.status_code, answer.json()["error"]["param"]


def strict(service):
    return openai.OpenAI(
        base_url=service.base_url, api_key="any", max_retries=0, _strict_response_validation=True
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_official_helper_uploads_a_file_that_a_batch_then_runs(
    service, http, folder, tmp_path, in_memory
):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(CONTENT)
    source = {"file": path}
    if in_memory:
        source = {"file": CONTENT, "filename": "requests.jsonl", "bytes": len(CONTENT)}
    with strict(service) as client:
        upload = client.uploads.upload_file_chunked(
            **source, mime_type="application/jsonl", purpose="batch", part_size=1000
        )
        assert (upload.status, upload.bytes, upload.filename) == ("completed", len(CONTENT), path.name)
        assert (upload.file.bytes, upload.file.filename, upload.file.purpose) == (
            len(CONTENT),
            path.name,
            "batch",
        )
        assert client.files.retrieve(upload.file.id) == upload.file
        assert client.files.content(upload.file.id).read() == CONTENT
    sent = sum(bool(re.fullmatch(r"/v1/uploads/[^/]+/parts", each.path)) for each in service.requests)
    assert sent == -(-len(CONTENT) // 1000)
    assert parts_on_disk(folder) == 0
    batch = create(http, {"id": upload.file.id})
    service.settle()
    batch = until(http, batch)
    assert len(results(http, batch["output_file_id"])) == 300


def test_the_official_helper_async_with_a_checksum_and_a_cancel(service):
    async def main():
        async with openai.AsyncOpenAI(
            base_url=service.base_url, api_key="any", max_retries=0, _strict_response_validation=True
        ) as client:
            upload = await client.uploads.upload_file_chunked(
                file=CONTENT,
                filename="in.jsonl",
                bytes=len(CONTENT),
                mime_type="application/jsonl",
                purpose="batch",
                part_size=20_000,
                md5=hashlib.md5(CONTENT).hexdigest(),
            )
            assert (await client.files.content(upload.file.id)).read() == CONTENT
            other = await client.uploads.create(
                bytes=5, filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
            )
            assert other.status == "pending"
            part = await client.uploads.parts.create(other.id, data=b"abc")
            assert part.upload_id == other.id
            assert (await client.uploads.cancel(other.id)).status == "cancelled"
            with pytest.raises(openai.BadRequestError, match="cancelled"):
                await client.uploads.parts.create(other.id, data=b"de")

    asyncio.run(main())


def test_a_part_that_was_refused_is_sent_again_by_the_official_client(service):
    service.faults.add("POST /uploads/*/parts", Reject(503, headers={"Retry-After": "0"}))
    with openai.OpenAI(base_url=service.base_url, api_key="any", max_retries=1) as client:
        upload = client.uploads.upload_file_chunked(
            file=b"12345", filename="a", bytes=5, mime_type="text/plain", purpose="user_data", part_size=2
        )
    assert (upload.status, upload.file.bytes) == ("completed", 5)


def test_parts_may_come_at_once_and_are_joined_in_the_order_of_their_ids(service, http):
    pieces = [random.Random(number).randbytes(50_000) for number in range(16)]
    upload = announce(http, 16 * 50_000)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda piece: add_part(http, upload, piece), pieces))
    file = completed(http, upload, ids[::-1])["file"]
    assert http.get(f"/files/{file['id']}/content").content == b"".join(pieces[::-1])


def test_a_part_that_is_not_named_does_not_count(http, folder):
    upload = announce(http, 4)
    wrong, right = add_part(http, upload, b"no"), add_part(http, upload, b"yes\n")
    file = completed(http, upload, [right])["file"]
    assert http.get(f"/files/{file['id']}/content").content == b"yes\n"
    assert wrong != right
    assert parts_on_disk(folder) == 0


@pytest.mark.parametrize(
    "md5", [hashlib.md5(b"abcdef").hexdigest(), hashlib.md5(b"abcdef").hexdigest().upper()]
)
def test_a_checksum_is_compared(http, folder, md5):
    upload = announce(http, 6)
    ids = [add_part(http, upload, b"abc"), add_part(http, upload, b"def")]
    assert refusal(complete(http, upload, ids[::-1], md5=md5)) == (400, "md5")
    assert (contents_on_disk(folder), parts_on_disk(folder)) == (0, 2)
    assert completed(http, upload, ids, md5=md5)["status"] == "completed"


def test_the_parts_must_have_the_bytes_that_were_announced(http, folder):
    upload = announce(http, 6)
    first = add_part(http, upload, b"abc")
    answer = complete(http, upload, [first])
    assert refusal(answer) == (400, "part_ids")
    assert "3 bytes" in answer.json()["error"]["message"]
    more = [add_part(http, upload, b"def"), add_part(http, upload, b"g")]
    assert refusal(complete(http, upload, [first, *more])) == (400, "part_ids")
    assert refusal(complete(http, upload, [])) == (400, "part_ids")
    assert contents_on_disk(folder) == 0
    assert completed(http, upload, [first, more[0]])["file"]["bytes"] == 6


def test_only_parts_of_this_upload_and_each_once(http):
    upload, other = announce(http, 6), announce(http, 3)
    own, foreign = add_part(http, upload, b"abc"), add_part(http, other, b"def")
    for part_ids in ([own, foreign], [own, own], [own, "part_none"]):
        assert refusal(complete(http, upload, part_ids)) == (400, "part_ids")


def test_limits_of_a_part_of_a_file_and_of_all_parts(folder):
    limits = Limits(max_part_bytes=10, max_assembled_bytes=25, check_uploads=False)
    with Service(limits=limits, state=folder) as service, http_to(service) as http:
        body = {"bytes": 26, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
        assert refusal(http.post("/uploads", json=body)) == (400, "bytes")
        upload = announce(http, 25)
        assert refusal(post_part(http, upload, b"x" * 11)) == (413, "data")
        assert parts_on_disk(folder) == 0
        for _ in range(2):
            add_part(http, upload, b"x" * 10)
        assert refusal(post_part(http, upload, b"x" * 6)) == (413, "data")
        add_part(http, upload, b"x" * 5)
        assert parts_on_disk(folder) == 3


def test_by_default_a_part_has_64_mib_and_a_file_8_gib():
    assert (Limits().max_part_bytes, Limits().max_assembled_bytes) == (64 * 2**20, 8 * 2**30)


def test_an_upload_that_is_over_takes_nothing_more(http, folder):
    upload = announce(http, 3)
    part = add_part(http, upload, b"abc")
    ended = http.post(f"/uploads/{upload['id']}/cancel").json()
    check("upload", ended)
    assert ended["status"] == "cancelled"
    assert parts_on_disk(folder) == 0
    assert http.post(f"/uploads/{upload['id']}/cancel").json() == ended
    assert refusal(post_part(http, upload, b"d")) == (400, "upload_id")
    assert refusal(complete(http, upload, [part])) == (400, "upload_id")
    other = announce(http, 3)
    part = add_part(http, other, b"abc")
    completed(http, other, [part])
    for answer in (complete(http, other, [part]), http.post(f"/uploads/{other['id']}/cancel")):
        assert refusal(answer) == (400, "upload_id")
        assert "completed" in answer.json()["error"]["message"]


def test_an_upload_expires_after_an_hour(service, http, folder):
    upload = announce(http, 6)
    assert upload["expires_at"] - upload["created_at"] == 3600
    part = add_part(http, upload, b"abc")
    service.advance(3599)
    add_part(http, upload, b"def")
    service.advance(1)
    assert parts_on_disk(folder) == 0
    for answer in (
        post_part(http, upload, b"g"),
        complete(http, upload, [part]),
        http.post(f"/uploads/{upload['id']}/cancel"),
    ):
        assert refusal(answer) == (400, "upload_id")
        assert "expired" in answer.json()["error"]["message"]


def test_a_restart_goes_on_and_removes_what_nobody_will_ask_for(folder):
    clock = ManualClock()
    service = Service(clock=clock, state=folder, limits=ANYTHING)
    with service, http_to(service) as http:
        upload = announce(http, 6)
        first = add_part(http, upload, b"abc")
        service.advance(1800)
        other = announce(http, 6)
        add_part(http, other, b"abc")
        completed(http, one := announce(http, 2), [add_part(http, one, b"ok")])
    (folder / "parts" / "part_left_by_a_crash").write_bytes(b"half")
    with service, http_to(service) as http:
        assert parts_on_disk(folder) == 2
        file = completed(http, upload, [first, add_part(http, upload, b"def")])["file"]
        assert http.get(f"/files/{file['id']}/content").content == b"abcdef"
    clock.move_to(clock.time() + 3600)
    with service, http_to(service) as http:
        service.settle()
        assert parts_on_disk(folder) == 0
        assert refusal(post_part(http, other, b"def")) == (400, "upload_id")
        assert refusal(post_part(http, upload, b"def")) == (400, "upload_id")


def test_a_file_from_parts_lives_as_long_as_it_was_asked_to(service, http):
    policy = {"anchor": "created_at", "seconds": 7200}
    upload = announce(http, 2, expires_after=policy)
    part = add_part(http, upload, b"ok")
    service.advance(600)
    file = completed(http, upload, [part])["file"]
    assert file["created_at"] - upload["created_at"] == 600
    assert file["expires_at"] - file["created_at"] == 7200
    service.advance(7200)
    assert http.get(f"/files/{file['id']}").status_code == 404


GOOD = {"bytes": 3, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"bytes": None}, "bytes"),
        ({"bytes": 0}, "bytes"),
        ({"bytes": -1}, "bytes"),
        ({"bytes": "3"}, "bytes"),
        ({"bytes": True}, "bytes"),
        ({"bytes": 10**30}, "bytes"),
        ({"filename": None}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": 3}, "filename"),
        ({"mime_type": None}, "mime_type"),
        ({"purpose": None}, "purpose"),
        ({"purpose": "fun"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "expires_after.seconds"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_upload_is_refused(http, change, param):
    assert refusal(http.post("/uploads", json=GOOD | change)) == (400, param)


def test_what_is_no_part_is_refused_and_leaves_nothing(http, folder):
    upload = announce(http, 3)
    url = f"/uploads/{upload['id']}/parts"
    assert refusal(http.post(url, files={"file": b"abc"})) == (400, "data")
    assert refusal(http.post(url, files={"other": (None, "x")})) == (400, "data")
    assert refusal(http.post(url, json={"data": "abc"})) == (400, None)
    cut = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\nabc'
    answer = http.post(url, content=cut, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert refusal(answer) == (400, None)
    assert parts_on_disk(folder) == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "part_ids"),
        ({"part_ids": "part_1"}, "part_ids"),
        ({"part_ids": [1]}, "part_ids"),
        ({"part_ids": [], "md5": 5}, "md5"),
        ({"part_ids": [], "more": 5}, "more"),
        ([], None),
    ],
)
def test_what_is_no_completion_is_refused(http, body, param):
    upload = announce(http, 3)
    assert refusal(http.post(f"/uploads/{upload['id']}/complete", json=body)) == (400, param)


def test_an_upload_that_is_not_there(http):
    none = {"id": "upload_none"}
    for answer in (
        post_part(http, none, b"x"),
        complete(http, none, []),
        http.post("/uploads/upload_none/cancel"),
    ):
        assert refusal(answer) == (404, "upload_id")
    assert http.get("/uploads").status_code == 405
    assert http.get("/uploads/upload_none").status_code == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "expires_after", "part_ids", "md5", "?"]), JSON, max_size=6),
    st.data(),
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_body_makes_it_fail(http, body, data):
    upload = announce(http, 3)
    body = {**GOOD, "part_ids": [], **body}
    kept = data.draw(st.sets(st.sampled_from(sorted(body))))
    body = {name: each for name, each in body.items() if name in kept}
    for path in ("/uploads", f"/uploads/{upload['id']}/complete"):
        answer = http.post(path, json=body)
        assert answer.status_code < 500, answer.text
        check("upload" if answer.status_code == 200 else "refusal", answer.json())


@pytest.fixture
def slow_join(monkeypatch):
    """Joining waits for the second of these, once it has set the first."""
    began, go_on, join = threading.Event(), threading.Event(), uploads._join

    def wait(*arguments):
        began.set()
        assert go_on.wait(20)
        return join(*arguments)

    monkeypatch.setattr(uploads, "_join", wait)
    return began, go_on


@pytest.mark.parametrize("md5", [None, "0" * 32])
def test_an_upload_that_is_being_completed_is_left_alone_and_ends_as_it_should(
    service, http, folder, slow_join, md5
):
    began, go_on = slow_join
    upload = announce(http, 3)
    part = add_part(http, upload, b"abc")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(complete, http, upload, [part], md5=md5)
        assert began.wait(20)
        with httpx.Client(base_url=service.base_url, headers={"Authorization": "Bearer any"}) as other:
            assert post_part(other, upload, b"d").status_code == 409
            assert complete(other, upload, [part]).status_code == 409
            assert other.post(f"/uploads/{upload['id']}/cancel").status_code == 409
        service.advance(3600)
        go_on.set()
        answer = waiting.result(20)
    assert parts_on_disk(folder) == 0
    if md5 is None:
        assert answer.json()["file"]["bytes"] == 3
    else:
        assert refusal(answer) == (400, "md5")
        assert "expired" in complete(http, upload, [part]).json()["error"]["message"]


def test_what_is_joined_is_checked_like_any_input_of_a_batch():
    with Service() as service, http_to(service) as http:
        upload = announce(http, 5)
        refused = complete(http, upload, [add_part(http, upload, b"hello")])
        assert (refused.status_code, "Invalid file format for Batch API" in refused.text) == (400, True)
        upload = announce(http, len(CONTENT))
        assert completed(http, upload, [add_part(http, upload, CONTENT)])["file"]["bytes"] == len(CONTENT)
