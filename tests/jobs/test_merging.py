"""From the service's files to one final answer for each request, and to what is sent again."""

import hashlib
import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from support.job_steps import chat
from support.ledgers import unit

from overlay import Result, StorageError
from overlay.costs.tokens import estimated_tokens
from overlay.jobs.merging import may_succeed, merge, results_path, verify
from overlay.jobs.spool import shard_path


def answer(custom_id, verdict, **fields):
    """A line of an answer: a status, or the code of what kept the request from running."""
    line = {"id": "x", "custom_id": custom_id, "response": None, "error": None}
    if isinstance(verdict, str):
        line["error"] = {"code": verdict, "message": "no"}
    else:
        body = (
            {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}
            if verdict < 400
            else {"error": {"code": "e"}}
        )
        line["response"] = {"status_code": verdict, "request_id": "q", "body": body}
    return json.dumps(line | fields).encode() + b"\n"


@pytest.fixture
def shard(tmp_path):
    """Writes the requests of a shard, and gives its unit."""
    return lambda ids: written(tmp_path, [chat(each).to_line() for each in ids])


def written(folder, lines, generation=0):
    path = shard_path(folder, 1, generation)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(lines))
    return unit(
        1,
        generation,
        requests=len(lines),
        shard_requests=len(lines),
        bytes=len(b"".join(lines)),
        tokens=sum(map(estimated_tokens, lines)),
        sha256=hashlib.sha256(b"".join(lines)).hexdigest(),
    )


def answers(folder, *lines):
    """The output and error file of a batch."""
    paths = [folder / "output", folder / "error"]
    for path, place in zip(paths, (0, 1), strict=True):
        path.write_bytes(b"".join(lines[place::2]))
    return paths


def verdicts(folder):
    """What stands in the results of the shard, in order."""
    found = [Result(line) for line in results_path(folder, 1).read_bytes().splitlines()]
    return [(result.custom_id, result.status_code or result.error.code) for result in found]


@pytest.mark.parametrize(
    ("verdict", "again"),
    [
        *((status, False) for status in (200, 400, 401, 403, 404, 413, 422)),
        *((status, True) for status in (0, 408, 409, 425, 429, 500, 502, 503, 529)),
        *((code, True) for code in ("batch_expired", "batch_cancelled", "missing")),
        ("content_filter", False),
    ],
)
def test_what_may_pass_is_worth_another_try(verdict, again):
    assert may_succeed(Result(answer("a", verdict))) is again


def test_what_cannot_be_read_is_worth_another_try():
    assert may_succeed(Result(b'{"id": "x", "custom_id": "a", "resp'))


def test_answers_are_put_in_the_order_of_their_requests(tmp_path, shard):
    done = shard("abcdef")
    lines = [
        answer("e", 429),
        answer("b", 200),
        answer("d", "batch_expired"),
        answer("a", 200),
        answer("c", 400),
    ]
    following = merge(tmp_path, done, answers(tmp_path, *lines), again=True)
    assert verdicts(tmp_path) == [
        ("a", 200),
        ("b", 200),
        ("c", 400),
        ("d", "batch_expired"),
        ("e", 429),
        ("f", "missing"),
    ]
    assert (done.ok, done.missing, done.strays, done.input_tokens, done.output_tokens) == (2, 1, 0, 6, 4)
    # The lines that may succeed are sent again as they were.
    content = b"".join(chat(each).to_line() for each in "def")
    assert shard_path(tmp_path, 1, 1).read_bytes() == content
    assert following == unit(
        1,
        1,
        requests=3,
        shard_requests=6,
        bytes=len(content),
        tokens=sum(estimated_tokens(line) for line in content.splitlines(keepends=True)),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    assert verify(tmp_path, following) == shard_path(tmp_path, 1, 1)


def test_lines_stay_byte_for_byte(tmp_path, shard):
    body = b'{"x":"\\u00e9 \xe2\x80\xa8", "n": 1.10}'
    line = b'{ "custom_id" :"a",  "response": {"status_code":200, "body":' + body + b'},"error":{}}\n'
    merge(tmp_path, shard("a"), answers(tmp_path, line), again=True)
    assert results_path(tmp_path, 1).read_bytes() == line


def test_without_another_try_nothing_follows(tmp_path, shard):
    done = shard("ab")
    shard_path(tmp_path, 1, 1).write_bytes(b"left by a process that died")
    assert merge(tmp_path, done, answers(tmp_path, answer("a", 500)), again=False) is None
    assert not shard_path(tmp_path, 1, 1).exists()
    assert verdicts(tmp_path) == [("a", 500), ("b", "missing")]


def test_doing_it_again_gives_the_same(tmp_path, shard):
    done = shard("abc")
    lines = [answer("a", 429), answer("b", 200), answer("z", 200)]
    found = []
    for _ in range(3):
        following = merge(tmp_path, done, answers(tmp_path, *lines), again=True)
        found.append((attrs.asdict(done), attrs.asdict(following), files(tmp_path)))
    assert found[0] == found[1] == found[2]
    for _ in range(3):
        merge(
            tmp_path, following, answers(tmp_path, answer("a", 200), answer("c", "batch_expired")), again=True
        )
        found.append((attrs.asdict(following), files(tmp_path)))
    assert found[3] == found[4] == found[5]
    assert verdicts(tmp_path) == [("a", 200), ("b", 200), ("c", "batch_expired")]


def files(folder):
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        (429, 200, 200),
        (429, 400, 400),
        (429, 500, 500),
        (429, "batch_expired", 429),
        (429, "missing", 429),
        (429, "batch_cancelled", 429),
        ("batch_expired", "missing", "batch_expired"),
        ("batch_expired", 200, 200),
        ("missing", "batch_expired", "batch_expired"),
        ("missing", "missing", "missing"),
    ],
)
def test_a_later_answer_is_the_final_one_unless_it_says_less(tmp_path, shard, earlier, later, kept):
    done = shard("ab")
    first = [answer("b", 200)] + [answer("a", earlier)] * (earlier != "missing")
    following = merge(tmp_path, done, answers(tmp_path, *first), again=True)
    merge(tmp_path, following, answers(tmp_path, *[answer("a", later)] * (later != "missing")), again=False)
    assert verdicts(tmp_path) == [("a", kept), ("b", 200)]
    assert following.missing == (kept == "missing")


def test_answers_to_nobody_and_second_answers_are_kept_apart(tmp_path, shard):
    done = shard("ab")
    stray, second, broken = answer("z", 200), answer("a", 400), b"not JSON\n"
    lines = [answer("a", 200), answer("a", 200), stray, second, answer("b", 200), broken]
    merge(tmp_path, done, answers(tmp_path, *lines), again=True)
    assert verdicts(tmp_path) == [("a", 200), ("b", 200)]
    kept = (tmp_path / "strays" / "00001-0.jsonl").read_bytes().splitlines(keepends=True)
    assert sorted(kept) == sorted([stray, second, broken])
    assert done.strays == 3


def test_a_shard_that_lost_requests_is_said_and_nothing_is_changed(tmp_path, shard):
    done = shard("abc")
    path = shard_path(tmp_path, 1, 0)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    before = files(tmp_path)
    with pytest.raises(StorageError, match=r"holds 2 requests instead of 3"):
        merge(tmp_path, done, [], again=True)
    assert files(tmp_path) == before
    with pytest.raises(StorageError, match="changed since it was spooled"):
        verify(tmp_path, done)


def test_results_that_lost_a_line_are_said(tmp_path, shard):
    following = merge(tmp_path, shard("abc"), [], again=True)
    path = results_path(tmp_path, 1)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(StorageError, match="does not hold the requests"):
        merge(tmp_path, following, [], again=True)


VERDICTS = st.sampled_from([200, 400, 429, 500, "batch_expired", "missing"])


@settings(max_examples=30, deadline=None)
@given(plan=st.lists(st.tuples(VERDICTS, VERDICTS, VERDICTS), min_size=1, max_size=8), seed=st.randoms())
def test_each_request_gets_its_one_verdict(tmp_path_factory, plan, seed):
    folder = tmp_path_factory.mktemp("settling")
    ids = [f"r{number}" for number in range(len(plan))]
    current, pending = (
        written(folder, [chat(each).to_line() for each in ids]),
        dict(zip(ids, plan, strict=True)),
    )
    expected, units = dict.fromkeys(ids, "missing"), []
    for generation in range(3):
        given_ = {each: verdict[generation] for each, verdict in pending.items()}
        lines = [answer(each, verdict) for each, verdict in given_.items() if verdict != "missing"]
        seed.shuffle(lines)
        following = merge(folder, current, answers(folder, *lines), again=generation < 2)
        units.append(current)
        for each, verdict in given_.items():
            if isinstance(verdict, int) or (expected[each] == "missing"):
                expected[each] = verdict
        pending = {each: plan_ for each, plan_ in pending.items() if given_[each] not in {200, 400}}
        assert (following.requests if following else 0) == (len(pending) if generation < 2 else 0)
        if following is None:
            break
        current = following
    assert verdicts(folder) == list(expected.items())
    assert sum(each.ok for each in units) == sum(verdict == 200 for verdict in expected.values())
    assert units[-1].missing == sum(verdict == "missing" for verdict in expected.values())
