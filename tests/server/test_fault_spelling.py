"""Faults as text."""

from typing import Any, get_args

import msgspec
import pytest
from support.service_http import http_to

from overlay.server import (
    Accept,
    CloseAfter,
    Cut,
    Delay,
    Drip,
    Fault,
    Gzip,
    LagList,
    LateAccept,
    Literally,
    Reject,
    Reset,
    Service,
    Silence,
)
from overlay.server.faults import spelling
from overlay.server.faults.kinds import Effect
from overlay.server.faults.spelling import read_fault
from overlay.server.values import expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("POST /batches reject", Fault("POST /batches", Reject())),
        (
            "POST /batches reject status=503 headers.Retry-After=1 times=2",
            Fault("POST /batches", Reject(503, headers={"Retry-After": "1"}), times=2),
        ),
        (
            "POST /batches reject message='Come back = later' code=none skip=3",
            Fault("POST /batches", Reject(message="Come back = later"), skip=3),
        ),
        (
            "GET /files/*/content cut after=1000 framing=chunked reset=yes times=forever",
            Fault("GET /files/*/content", Cut(1000, "chunked", reset=True), times=None),
        ),
        ("* delay before=0.5", Fault("*", Delay(before=0.5))),
        ("* * gzip", Fault("* *", Gzip())),
        ("* /files/** gzip rate=0.25", Fault("* /files/**", Gzip(), rate=0.25)),
        ("GET /batches lag-list seconds=5", Fault("GET /batches", LagList(5))),
        ("GET /batches lag_list seconds=5", Fault("GET /batches", LagList(5))),
        ("GET /batches silence", Fault("GET /batches", Silence())),
        ("GET /batches silence seconds=0.5", Fault("GET /batches", Silence(0.5))),
        ("GET /batches drip seconds=0 size=9", Fault("GET /batches", Drip(0, 9))),
        ("GET /batches close_after moment=answer", Fault("GET /batches", CloseAfter("answer"))),
        (
            "GET /batches literally body='<html>' repeat=2",
            Fault("GET /batches", Literally("<html>", repeat=2)),
        ),
        ("POST /batches accept", Fault("POST /batches", Accept())),
        ("POST /batches accept then=reset", Fault("POST /batches", Accept(Reset()))),
        ("POST /batches accept then.status=502", Fault("POST /batches", Accept(Reject(502)))),
        (
            "POST /batches late_accept seconds=9 then=reject then.status=429 then.headers.Retry-After=7",
            Fault("POST /batches", LateAccept(9, Reject(429, headers={"Retry-After": "7"}))),
        ),
    ],
)
def test_a_fault_from_text(text, fault):
    assert read_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a pattern and an effect, as in 'POST /batches reject'"),
        ("reject", "expected a pattern and an effect"),
        ("POST /batches", "expected a pattern and an effect"),
        ("*", "expected a pattern and an effect"),
        ("POST batches reject", "a pattern is a method and a path"),
        (
            "POST /batches explode",
            "there is no effect 'explode' here; there are accept, byte_order_mark, close_after, cut",
        ),
        ("POST /batches reject 503", "expected name=value, got '503'"),
        ("POST /batches reject status=many", "status: expected a whole number, got 'many'"),
        ("POST /batches reject status=99", "status=99: Expected int >= 200"),
        ("POST /batches reject status=600", "status=600: Expected int <= 599"),
        (
            "POST /batches reject state=503",
            "reject has no 'state'; it takes status, message, code, kind, headers",
        ),
        ("POST /batches reject status.x=5", "status has no fields"),
        ("POST /batches reject headers=x", "expected a header, as in headers.Retry-After=1"),
        ("POST /batches reject 'headers.A B=x'", "expected a header"),
        ("POST /batches reject 'headers.A=x\ny'", "expected a header"),
        ("POST /batches reject status=1 status=2", "status is given twice"),
        (
            "POST /batches reset x=1",
            "reset has no 'x'; it takes no fields, and as any fault times, skip, rate",
        ),
        ("POST /batches cut", "a cut comes after a number of bytes or of lines"),
        ("POST /batches cut after=-1", "after: expected a whole number"),
        (
            "POST /batches cut after=1 framing=tape",
            "framing: expected length or chunked or close, got 'tape'",
        ),
        ("POST /batches drip size=0", "size=0: Expected int >= 1"),
        (
            "POST /batches accept then=cut",
            "there is no effect 'cut' here; there are literally, reject, reset",
        ),
        ("POST /batches accept then=reset then.status=5", "reset has no 'status'"),
        ("POST /batches reset times=often", "times: expected a whole number or forever, got 'often'"),
        ("POST /batches reset skip=-1", "skip: expected a whole number"),
        ("POST /batches reset rate=1.5", "rate: expected a number from 0 to 1, got '1.5'"),
        ("POST /batches reset rate=half", "rate: expected a number from 0 to 1, got 'half'"),
        ("POST /batches literally body='x", "No closing quotation"),
    ],
)
def test_what_is_no_fault_is_said(text, message):
    with pytest.raises(ValueError) as caught:
        read_fault(text)
    assert str(caught.value).startswith(message)


def test_every_effect_can_be_typed():
    """An effect that is added can be typed at once; a field of a new type needs a reader."""
    for kind in get_args(Effect):
        for field in msgspec.structs.fields(kind):
            known = (
                spelling._structs(field.type)
                or field.type in (dict[str, str], dict[str, Any])
                or expected(field.type)
            )
            assert known, (kind, field.name)


def test_a_fault_from_text_does_what_it_says():
    faults = [
        read_fault("GET /batches reject status=503 headers.Retry-After=7 times=2"),
        read_fault("GET /files accept then=literally then.body=<html> then.status=502"),
    ]
    with Service(faults=faults) as service, http_to(service) as http:
        answers = [http.get("/batches") for _ in range(3)]
        assert [each.status_code for each in answers] == [503, 503, 200]
        assert answers[0].headers["retry-after"] == "7"
        assert (http.get("/files").text, http.get("/files").status_code) == ("<html>", 200)
