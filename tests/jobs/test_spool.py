"""Requests on their way in: dealt out to batches that the service takes, and given back in their order."""

import hashlib
import json
from collections import Counter
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from overlay import InvalidInputError, Limits, Request, StorageError
from overlay.costs.tokens import estimated_tokens
from overlay.jobs import spool
from overlay.jobs.identity import canonical
from overlay.jobs.spool import Spool, read_in_order, shard_path
from overlay.services import service_named

OPENAI = service_named("openai")
NO_LIMITS = Limits(requests=None, bytes=None, embedding_inputs=None)


def chat(custom_id, model="m", text="hi", **fields):
    return Request(custom_id, {"model": model, "messages": [{"role": "user", "content": text}]}, **fields)


def embedding(custom_id, inputs):
    return Request(custom_id, {"model": "e", "input": inputs}, url="/v1/embeddings")


def spooled(folder, requests, limits=NO_LIMITS, *, max_tokens=None, keep=True, chunk=3):
    """Spool requests, so many at a time."""
    with closing(Spool(folder, limits, OPENAI, max_tokens=max_tokens, source=None, keep=keep)) as filling:
        for place in range(0, len(requests), chunk):
            filling.add(requests[place : place + chunk])
        return filling.finish()


def shards_of(folder, done):
    """The lines of each shard."""
    shards = []
    for unit in done.units:
        content = shard_path(folder, unit.shard, 0).read_bytes()
        lines = content.splitlines(keepends=True)
        assert unit.sha256 == hashlib.sha256(content).hexdigest()
        assert (unit.requests, unit.shard_requests, unit.bytes) == (len(lines), len(lines), len(content))
        assert unit.tokens == sum(map(estimated_tokens, lines))
        shards.append(lines)
    return shards


def in_order(folder, done):
    paths = {unit.shard: shard_path(folder, unit.shard, 0) for unit in done.units}
    if (folder / "order").exists():
        return list(read_in_order(folder / "order", paths))
    return [line for _, path in sorted(paths.items()) for line in path.read_bytes().splitlines(keepends=True)]


def test_a_shard_holds_at_most_so_many_requests(tmp_path):
    requests = [chat(f"r{number}") for number in range(10)]
    shards = shards_of(tmp_path, spooled(tmp_path, requests, Limits(requests=4)))
    assert [len(lines) for lines in shards] == [4, 4, 2]
    assert b"".join(b"".join(lines) for lines in shards) == b"".join(each.to_line() for each in requests)


def test_a_shard_has_at_most_so_many_bytes(tmp_path):
    requests = [chat(f"r{number}", text="x" * (number % 7) * 30) for number in range(40)]
    shards = shards_of(tmp_path, spooled(tmp_path, requests, Limits(bytes=1000)))
    sizes = [len(b"".join(lines)) for lines in shards]
    assert max(sizes) <= 1000
    assert all(size + len(after[0]) > 1000 for size, after in zip(sizes, shards[1:], strict=False))


def test_a_shard_has_at_most_so_many_texts_to_embed(tmp_path):
    tokens = [1, 2, 3]
    requests = [
        embedding("a", "one"),
        embedding("b", ["one", "two"]),
        embedding("c", tokens),  # one text, as tokens
        embedding("d", [tokens, tokens]),
        embedding("e", ["x"] * 5),
    ]
    shards = shards_of(tmp_path, spooled(tmp_path, requests, Limits(embedding_inputs=5)))
    assert [[json.loads(line)["custom_id"] for line in lines] for lines in shards] == [
        ["a", "b", "c"],
        ["d"],
        ["e"],
    ]


def test_a_shard_has_at_most_so_many_tokens(tmp_path):
    requests = [chat(f"r{number}", text="x" * 400) for number in range(9)]
    each = estimated_tokens(requests[0].to_line())
    done = spooled(tmp_path, requests, max_tokens=each * 4 - 1)
    assert [unit.requests for unit in done.units] == [3, 3, 3]
    assert all(unit.tokens <= each * 4 - 1 for unit in done.units)


def test_a_request_over_the_limit_of_tokens_gets_a_shard_of_its_own(tmp_path):
    requests = [chat("a"), chat("b", text="x" * 4000), chat("c")]
    done = spooled(tmp_path, requests, max_tokens=100)
    assert [unit.requests for unit in done.units] == [1, 1, 1]


@pytest.mark.parametrize(
    ("request_", "limits", "reason"),
    [
        (chat("a", text="x" * 2000), Limits(bytes=1000), r"2,\d+ bytes; a batch may have 1,000"),
        (embedding("a", ["x"] * 6), Limits(embedding_inputs=5), "6 texts to embed; a batch may have 5"),
        (chat("a", text="x" * 2000), Limits(line_bytes=1000), "longer than 1,000 bytes"),
    ],
)
def test_a_request_that_fits_no_batch_is_refused(tmp_path, request_, limits, reason):
    with pytest.raises(InvalidInputError, match=reason) as caught:
        spooled(tmp_path, [chat("z"), request_, chat("y")], limits)
    assert [problem.line for problem in caught.value.problems] == [2]


def test_models_and_endpoints_get_shards_of_their_own(tmp_path):
    requests = []
    for number in range(12):
        requests += [
            chat(f"a{number}", model="m1"),
            chat(f"b{number}", model="m2"),
            Request(f"c{number}", {"model": "m1", "input": "x"}, url="/v1/responses"),
            Request(f"d{number}", {"input": "x"}, url="/v1/moderations"),
        ]
    done = spooled(tmp_path, requests, Limits(requests=5), chunk=7)
    shards = shards_of(tmp_path, done)
    kinds = Counter((unit.endpoint, unit.model) for unit in done.units)
    assert kinds == {
        ("/v1/chat/completions", "m1"): 3,
        ("/v1/chat/completions", "m2"): 3,
        ("/v1/responses", "m1"): 3,
        ("/v1/moderations", None): 3,
    }
    for unit, lines in zip(done.units, shards, strict=True):
        assert {json.loads(line)["url"] for line in lines} == {unit.endpoint}
        assert {json.loads(line)["body"].get("model") for line in lines} == {unit.model}
    assert [unit.shard for unit in done.units] == sorted(unit.shard for unit in done.units)
    assert len({unit.shard for unit in done.units}) == 12
    assert in_order(tmp_path, done) == [request.to_line() for request in requests]


def test_few_files_are_open_however_many_shards_there_are(tmp_path, monkeypatch):
    requests = [chat(f"r{number}", model=f"m{number % 3}") for number in range(90)]
    done = spooled(tmp_path, requests, Limits(requests=1))
    open_now, most = set(), []

    def counting(path):
        file = open_lines(path)
        open_now.add(file)
        most.append(sum(not each.closed for each in open_now))
        return file

    open_lines = spool.open_lines
    monkeypatch.setattr(spool, "open_lines", counting)
    assert len(in_order(tmp_path, done)) == 90
    assert max(most) <= 5


def test_a_shard_that_lost_its_end_is_said(tmp_path):
    done = spooled(tmp_path, [chat(f"r{number}", model=f"m{number % 2}") for number in range(8)])
    path = shard_path(tmp_path, done.units[1].shard, 0)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(StorageError, match=path.name):
        in_order(tmp_path, done)


def test_one_model_and_endpoint_needs_no_order(tmp_path):
    done = spooled(tmp_path, [chat(f"r{number}") for number in range(5)], Limits(requests=2))
    assert not (tmp_path / "order").exists()
    assert all(earlier.shard + 1 == later.shard for earlier, later in pairwise(done.units))


def test_nothing_but_the_shards_is_left(tmp_path):
    spooled(tmp_path, [chat("a"), chat("b")])
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_what_is_checked_only_is_not_kept(tmp_path):
    requests = [chat(f"r{number}") for number in range(5)]
    done = spooled(tmp_path, requests, keep=False)
    assert (done.units, done.requests) == ([], 5)
    assert not list((tmp_path / "shards").iterdir())
    (tmp_path / "kept").mkdir()
    assert done.digest == spooled(tmp_path / "kept", requests).digest


def test_every_bad_request_is_reported_with_its_place(tmp_path):
    requests = [
        chat("a"),
        Request("b", {"model": "m", "x": float("nan")}),
        Request("", {"model": "m"}),
        Request("c", {"model": "m"}, method="GET"),
        chat("a"),
        {"custom_id": "d"},
        None,
        b'{"custom_id": "e"}',
        b"{]",
        chat("f", text="\ud800"),
        chat("c"),
    ]
    with pytest.raises(InvalidInputError) as caught:
        spooled(tmp_path, requests)
    found = {problem.line: problem.reason for problem in caught.value.problems}
    assert sorted(found) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert "JSON" in found[2]
    assert "empty" in found[3]
    assert '"method" is "GET"' in found[4]
    assert found[5] == '"custom_id" is already used by request 1'
    assert found[6] == "not a Request, but dict"
    assert found[7] == "not a Request, but NoneType"
    assert found[8].startswith("no ")
    assert "not valid JSON" in found[9]
    assert found[11] == '"custom_id" is already used by request 4'  # which was bad for another reason
    # With the first bad request the writing ends: there will be nothing to send.
    assert not list((tmp_path / "shards").iterdir())


def test_the_first_hundred_problems_are_kept_and_all_are_counted(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        spooled(tmp_path, [Request("", {"model": "m"}) for _ in range(250)], chunk=50)
    assert caught.value.count == 250
    assert [problem.line for problem in caught.value.problems] == list(range(1, 101))


def test_no_requests_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="there are no requests"):
        spooled(tmp_path, [])


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (0, 29), (7, 20), (28, 29)])
def test_a_custom_id_is_found_again_however_far_away(tmp_path, first, second):
    requests = [chat(f"r{number}") for number in range(30)]
    requests[second] = chat(f"r{first}", model="other", text="another")
    with pytest.raises(InvalidInputError, match=f"request {first + 1}$") as caught:
        spooled(tmp_path, requests, Limits(requests=4))
    assert [problem.line for problem in caught.value.problems] == [second + 1]


def test_a_request_is_the_same_however_it_is_written():
    line = chat("a", text="Grüße").to_line()
    loosely = json.dumps(json.loads(line), indent=1, sort_keys=True).replace("\n", " ")
    assert canonical(line) == canonical(loosely.encode())
    assert canonical(line) != canonical(chat("a", text="Grüsse").to_line())
    big = b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"seed":123456789012345678901234567890}}'
    assert canonical(big) != canonical(big.replace(b"890}}", b"891}}"))


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "123456789012345678901234567890", "1.0", "-0.0", "1E5"]
)
def test_any_number_has_a_canonical_form(number):
    line = f'{{"custom_id":"a","body":{{"seed":{number}}}}}'.encode()
    assert canonical(line)


NAMES = st.sampled_from(["m1", "m2", "m3"])
URLS = st.sampled_from(["/v1/chat/completions", "/v1/responses"])


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.tuples(NAMES, URLS, st.integers(0, 60)), min_size=1, max_size=60),
    requests=st.integers(1, 20),
    size=st.integers(250, 1500),
    tokens=st.integers(60, 300),
    chunk=st.integers(1, 25),
)
def test_any_requests_are_dealt_out_within_the_limits_and_come_back_in_order(
    tmp_path_factory, kinds, requests, size, tokens, chunk
):
    folder, other = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    given_ = [
        Request(f"r{number}", {"model": model, "text": "x" * length}, url=url)
        for number, (model, url, length) in enumerate(kinds)
    ]
    limits = Limits(requests=requests, bytes=size)
    done = spooled(folder, given_, limits, max_tokens=tokens, chunk=chunk)
    for unit, lines in zip(done.units, shards_of(folder, done), strict=True):
        assert len(lines) <= requests
        assert unit.bytes <= size
        assert unit.tokens <= tokens
        assert {(line["url"], line["body"]["model"]) for line in map(json.loads, lines)} == {
            (unit.endpoint, unit.model)
        }
    assert in_order(folder, done) == [request.to_line() for request in given_]
    assert done.digest == spooled(other, given_, chunk=len(given_)).digest
