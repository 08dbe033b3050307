"""Each profile against its service's dialect, over real sockets: the two were written from the same facts, but
independently, so that a mistake in one shows in the other.
"""

import attrs
import pytest
from support.services import NAMES, at, file_for, request_for

from overlay import AuthenticationError, BadRequestError, OverlayError, UnsupportedError
from overlay.requests.checks import InputCheck
from overlay.server import Pace, known_dialects
from overlay.services import service_named
from overlay.statuses import is_known

each_service = pytest.mark.parametrize("name", NAMES)


def test_there_is_a_dialect_for_each_profile():
    assert set(NAMES) == set(known_dialects())


@each_service
def test_from_upload_to_results(name, kind, tmp_path):
    profile, path = service_named(name), file_for(name, tmp_path / "in.jsonl", 3)
    with at(name, kind, tmp_path) as (_, api):
        file = api.files.upload(path)
        assert file.id
        seen = []
        batch = api.batches.create(
            input_file_id=file.id, endpoint=profile.usual_endpoint, metadata={"a": "b"}, model="m"
        )
        ended = api.batches.wait(batch.id, on_change=seen.append)
        assert (ended.id, ended.ended, ended.succeeded) == (batch.id, True, True)
        assert all(is_known(each.status) for each in seen)
        assert ended.created is not None
        assert ended.input_file_id == file.id
        assert [each.id for each in api.batches.list()] == [batch.id]
        results = list(api.batches.results(batch.id, requests=path))
        assert [(each.custom_id, each.ok) for each in results] == [("r0", True), ("r1", True), ("r2", True)]
        if profile.gives_input:
            assert [each.custom_id for each in api.batches.results(batch.id)] == ["r0", "r1", "r2"]
        assert api.files.retrieve(file.id).id == file.id
        if profile.lists_files:
            assert file.id in [each.id for each in api.files.list()]
        else:
            with pytest.raises(UnsupportedError, match=f"{profile} cannot list files"):
                list(api.files.list())
        if profile.deletes:
            api.files.delete(file.id)
        else:
            with pytest.raises(UnsupportedError, match=f"{profile} cannot delete files"):
                api.files.delete(file.id)


@each_service
def test_a_batch_is_cancelled_or_it_is_said_that_it_cannot_be(name, kind, tmp_path):
    profile, path = service_named(name), file_for(name, tmp_path / "in.jsonl", 3)
    with at(name, kind, tmp_path, pace=Pace(in_progress=3600)) as (_, api):
        file = api.files.upload(path)
        batch = api.batches.create(input_file_id=file.id, endpoint=profile.usual_endpoint, model="m")
        if not profile.cancels:
            with pytest.raises(
                UnsupportedError, match=f"{profile} cannot cancel batches: {batch.id} runs to its"
            ):
                api.batches.cancel(batch.id)
            return
        assert api.batches.cancel(batch.id).id == batch.id
        assert api.batches.wait(batch.id).status.lower() in {"cancelled", "canceled"}


@each_service
def test_long_lists_have_every_batch_once(name, kind, tmp_path):
    profile, path = service_named(name), file_for(name, tmp_path / "in.jsonl", 1)
    with at(name, kind, tmp_path) as (_, api):
        file = api.files.upload(path)
        made = [
            api.batches.create(input_file_id=file.id, endpoint=profile.usual_endpoint, model="m").id
            for _ in range(7)
        ]
        listed = [each.id for each in api.batches.list(limit=3)]
        assert sorted(listed) == sorted(made)


@each_service
def test_the_key_is_where_the_service_looks_for_it(name, kind, tmp_path):
    with at(name, kind, tmp_path, tokens={"key-1234567"}) as (_, api):
        list(api.batches.list())
    with at(name, kind, tmp_path, tokens={"another"}) as (_, api), pytest.raises(AuthenticationError):
        list(api.batches.list())


@each_service
def test_its_windows_are_taken_and_others_refused(name, kind, tmp_path):
    profile, path = service_named(name), file_for(name, tmp_path / "in.jsonl", 1)
    with at(name, kind, tmp_path) as (_, api):
        file = api.files.upload(path)

        def create(window):
            return api.batches.create(
                input_file_id=file.id, endpoint=profile.usual_endpoint, model="m", completion_window=window
            )

        for window in {*profile.windows[:3], profile.windows[-1]}:
            create(window)
        with pytest.raises(OverlayError, match=r"Supported values are|timeout_hours is"):
            create("999h")


@each_service
def test_it_promises_no_more_than_the_service_takes(name):
    profile, limits = service_named(name), known_dialects()[name].limits
    assert profile.limits.requests <= limits.max_requests
    assert profile.limits.bytes <= limits.max_input_bytes
    assert profile.limits.line_bytes <= (limits.max_line_bytes or profile.limits.line_bytes)
    assert profile.limits.custom_id == limits.max_custom_id
    assert profile.live_batches == limits.live_batches
    assert profile.windows[0] in limits.windows
    if profile.endpoints is not None:
        assert profile.endpoints[0] in limits.endpoints


def refused(name, line, *, before=None):
    """What a check by the service's rules says of a line, `before` which so much was counted."""
    check = InputCheck(service=name)
    for field, value in (before or {}).items():
        setattr(check, field, value)
    check.feed(line)
    with pytest.raises(OverlayError) as caught:
        check.finish("in.jsonl")
    return str(caught.value)


@each_service
def test_a_file_that_it_would_refuse_is_refused_before_it_is_sent(name):
    profile, line = service_named(name), request_for(name, 1).to_line()
    limits = profile.limits
    assert f"more than {limits.requests:,} requests" in refused(
        name, line, before={"requests": limits.requests}
    )
    assert f"at most {limits.bytes:,} are allowed" in refused(name, line, before={"bytes": limits.bytes})
    long = line.replace(b'"m"', b'"' + b"m" * limits.line_bytes + b'"') if limits.line_bytes < 10**7 else b""
    if long:
        assert f"longer than {limits.line_bytes:,} bytes" in refused(name, long)
    if limits.custom_id is not None:
        longest = attrs.evolve(request_for(name, 1), custom_id="x" * limits.custom_id).to_line()
        InputCheck(service=name).feed(longest)
        assert f"takes {limits.custom_id}" in refused(name, longest.replace(b'"x', b'"xx'))
    if profile.endpoints is not None:
        other = attrs.evolve(request_for(name, 1), url="/v1/videos").to_line()
        assert f"{profile} takes {profile.endpoints[0]}" in refused(name, other)


@each_service
def test_a_line_needs_what_the_service_needs(name):
    short = b'{"custom_id": "a", "body": {"model": "m"}}\n'
    if service_named(name).optional_in_lines:
        check = InputCheck(service=name)
        check.feed(short)
        assert check.finish("in.jsonl").endpoint == service_named(name).usual_endpoint
    else:
        assert 'no "method"' in refused(name, short)


@each_service
def test_a_purpose_of_ones_own_goes_through(name, kind, tmp_path):
    path = file_for(name, tmp_path / "in.jsonl", 1)
    with at(name, kind, tmp_path) as (_, api):
        if name == "production-stack":
            assert api.files.upload(path, purpose="nonsense").id
        else:
            with pytest.raises(BadRequestError):
                api.files.upload(path, purpose="nonsense")
