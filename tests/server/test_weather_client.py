"""Our own client in each weather: what it does right today, and nothing of what it does not."""

from collections import Counter
from contextlib import contextmanager, suppress

import pytest
from support.calling import TOKEN, FakeClock, advancing, calling, create, started
from support.job_steps import chats

from overlay import Limits as JobLimits, OverlayError, UnclaimedAnswersError, write_requests
from overlay.server import (
    Accept,
    ByteOrderMark,
    Cut,
    EmptyPages,
    Endless,
    Limits,
    ManualClock,
    Miscount,
    Odd,
    Oldest,
    OtherIds,
    Overlap,
    Overwrite,
    Pace,
    Pending,
    Repeat,
    Reset,
    Service,
    Stale,
    Traits,
)

REQUESTS = 8
LISTS = [
    Oldest(),
    Stale(30),
    Odd(),
    Odd(last=True),
    Repeat(),
    Overlap(),
    EmptyPages(),
    EmptyPages(3),
    Endless(),
]


def named(effect):
    return type(effect).__name__


class Weather:
    """A service, a client of it, and an account of the requests that were answered, which is what costs money."""

    def __init__(self, tmp_path, pace=None, **options):
        self.asked = Counter()
        pace = pace or Pace(in_progress=100)
        self.service = Service(self._answer, clock=ManualClock(), pace=pace, **options)
        self.path = tmp_path / "requests.jsonl"
        self._home = tmp_path / "home"
        write_requests(self.path, chats(REQUESTS))

    def _answer(self, line):
        if not line["custom_id"].startswith("theirs"):
            self.asked[line["custom_id"]] += 1
        return {"choices": [{"message": {"content": f"answer to {line['custom_id']}"}}]}

    @contextmanager
    def client(self):
        options = {"token": TOKEN, "home": self._home}
        with self.service as service, calling("blocking", base_url=service.base_url, **options) as api:
            api.settings.clock = FakeClock(advancing(service))
            yield service, api

    def submit(self, api):
        """A job of four batches."""
        return api.jobs.submit(chats(REQUESTS), id="j", limits=JobLimits(requests=2))

    def check_job(self, api):
        """Every request was answered once, is paid for once, and has its own answer."""
        api.jobs.wait("j", timeout=86400)
        check_all(api.jobs.results("j"))
        assert self.asked == Counter({f"r{number}": 1 for number in range(REQUESTS)})


@pytest.fixture
def weather(tmp_path):
    return Weather(tmp_path)


def check_all(results):
    answers = {result.custom_id: result.text for result in results}
    assert answers == {f"r{number}": f"answer to r{number}" for number in range(REQUESTS)}


def check_none_is_wrong(results):
    """One result for each request, and its own answer or none."""
    found = list(results)
    assert sorted(result.custom_id for result in found) == [f"r{number}" for number in range(REQUESTS)]
    good = {result.custom_id for result in found if result.ok}
    assert all(result.text == f"answer to {result.custom_id}" for result in found if result.ok)
    return good


@pytest.mark.parametrize("effect", LISTS, ids=named)
def test_a_job_ends_well_in_any_weather_of_the_list(weather, effect):
    with weather.client() as (service, api):
        service.neighbour_creates()
        service.faults.add("GET /batches", effect, times=None)
        weather.submit(api)
        weather.check_job(api)
        assert service.count("POST", "/batches") == 4


@pytest.mark.parametrize("effect", [Oldest(), Repeat(), Overlap(), Endless()], ids=named)
def test_a_list_shows_all_there_is_and_ends(weather, effect):
    with weather.client() as (service, api):
        theirs = [service.neighbour_creates() for _ in range(5)]
        service.faults.add("GET /batches", effect, times=None)
        service.faults.add("GET /files", effect, times=None)
        assert {batch.id for batch in api.batches.list(limit=2)} == {each["id"] for each in theirs}
        assert {file.id for file in api.files.list(limit=2)} == {each["input_file_id"] for each in theirs}


@pytest.mark.parametrize("effect", [EmptyPages(), Odd(), Stale(1)], ids=named)
def test_no_list_is_asked_for_ever(weather, effect):
    with weather.client() as (service, api):
        for _ in range(5):
            service.neighbour_creates()
        service.faults.add("GET /batches", effect, times=None)
        with suppress(OverlayError):
            list(api.batches.list(limit=2))
        # Twice as many as pages, and as often again as a read is tried.
        assert service.count("GET", "/batches") <= 36


@pytest.mark.parametrize("effect", [Oldest(), Stale(30), Repeat(), Overlap(), Endless()], ids=named)
def test_a_lost_create_is_found_in_the_list(weather, effect):
    with weather.client() as (service, api):
        file = api.files.upload(weather.path)
        service.faults.add("GET /batches", effect, times=None)
        service.faults.add("POST /batches", Accept(then=Reset()))
        batch = create(api, file.id)
        assert [batch.id] == [each["id"] for each in service.batches()]
        assert service.count("POST", "/batches") == 1


def test_waiting_does_not_go_by_the_list(weather):
    with weather.client() as (service, api):
        service.faults.add("GET /batches", Stale(86400), times=None)
        batch = api.batches.wait(started(api, weather.path).id)
        assert batch.succeeded
        check_all(api.batches.results(batch.id))


@pytest.mark.parametrize(
    "effect",
    [
        Miscount(completed=-REQUESTS, failed=REQUESTS),
        Miscount(total=5, completed=1),
        Overwrite({"request_counts": None}),
        Overwrite({"usage": None}, absent=["request_counts", "errors", "error_file_id", "metadata"]),
    ],
    ids=named,
)
def test_results_do_not_go_by_the_counts(weather, effect):
    with weather.client() as (service, api):
        service.faults.add("GET /batches**", effect, times=None)
        batch = api.batches.wait(started(api, weather.path).id)
        check_all(api.batches.results(batch.id, requests=weather.path))
        weather.asked.clear()
        weather.submit(api)
        weather.check_job(api)


@pytest.mark.parametrize("refused", [True, False])
def test_a_pending_file(weather, refused):
    with weather.client() as (service, api):
        service.faults.add("POST /files", Pending(30, refused=refused), times=None)
        file = api.files.upload(weather.path)
        assert api.files.retrieve(file.id).status == "pending"
        try:
            batch = create(api, file.id)
        except OverlayError:
            assert refused
            assert service.batches() == []
            service.advance(31)
            batch = create(api, file.id)
        api.batches.wait(batch.id)
        check_all(api.batches.results(batch.id))
        assert len(service.batches()) == 1
        assert api.files.retrieve(file.id).status == "processed"


def test_partial_results_are_not_taken_for_the_results(tmp_path):
    weather = Weather(tmp_path, traits=Traits(partial_results=True))
    with weather.client() as (service, api):
        batch = started(api, weather.path)
        service.advance(50)
        running = api.batches.retrieve(batch.id)
        assert (running.status, running.progress) == ("in_progress", 0.5)
        part = api.files.download(running.output_file_id, tmp_path / "part.jsonl")
        assert part.read_bytes().count(b"\n") == REQUESTS // 2
        with pytest.raises(OverlayError):
            list(api.batches.results(batch.id))
        api.batches.wait(batch.id)
        check_all(api.batches.results(batch.id))
        weather.asked.clear()
        weather.submit(api)
        weather.check_job(api)


@pytest.mark.parametrize("to", ["null", "number", "text", "absent"])
@pytest.mark.parametrize("every", [1, 2])
def test_an_answer_under_another_id_goes_to_nobody_else(weather, to, every):
    with weather.client() as (service, api):
        batch = api.batches.wait(started(api, weather.path).id)
        service.faults.add("GET /files/*/content", OtherIds(to, every), times=None)
        if every == 1:
            with pytest.raises(UnclaimedAnswersError):
                list(api.batches.results(batch.id))
            return
        assert len(check_none_is_wrong(api.batches.results(batch.id))) == REQUESTS // 2


def test_a_byte_order_mark_harms_no_line_but_the_first(weather):
    with weather.client() as (service, api):
        batch = api.batches.wait(started(api, weather.path).id)
        service.faults.add("GET /files/*/content", ByteOrderMark(), times=None)
        assert len(check_none_is_wrong(api.batches.results(batch.id))) >= REQUESTS - 1


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_file_that_is_cut_at_a_line_is_fetched_to_its_end(weather, framing, ordered):
    with weather.client() as (service, api):
        batch = api.batches.wait(started(api, weather.path).id)
        service.faults.add("GET /files/*/content", Cut(lines=3, framing=framing), times=2)
        check_all(api.batches.results(batch.id, requests=weather.path, ordered=ordered))


def test_a_cap_on_tokens_is_waited_out(tmp_path):
    # Of some 35 tokens a request, two, and not four, may be waiting.
    weather = Weather(tmp_path, limits=Limits(enqueued_tokens=100))
    with weather.client() as (service, api):
        weather.submit(api)
        weather.check_job(api)
        assert {each["status"] for each in service.batches()} == {"completed", "failed"}


@pytest.mark.parametrize("cap", [{"enqueued_tokens": 100}, {"live_batches": 1}])
@pytest.mark.parametrize("refuse", ["later", 400, 429])
def test_over_a_cap_nothing_is_paid_for_twice(tmp_path, cap, refuse):
    weather = Weather(tmp_path, limits=Limits(**cap, caps_refuse=refuse))
    with weather.client() as (_, api):
        with suppress(OverlayError):
            weather.submit(api)
        with suppress(OverlayError):
            api.jobs.wait("j", timeout=86400)
        assert max(weather.asked.values(), default=0) <= 1


@pytest.mark.parametrize("ids", ["openai", "uuid", "dashed"])
def test_ids_of_other_spellings(tmp_path, ids):
    weather = Weather(tmp_path, traits=Traits(ids=ids))
    with weather.client() as (_, api):
        batch = api.batches.wait(started(api, weather.path).id)
        check_all(api.batches.results(batch.id))
        assert [each.id for each in api.batches.list(after=None)] == [batch.id]
        weather.asked.clear()
        weather.submit(api)
        weather.check_job(api)


def test_a_job_leaves_its_neighbours_alone(weather):
    with weather.client() as (service, api):
        weather.submit(api)
        ours = [each["id"] for each in service.batches()]
        theirs = [service.neighbour_creates(like=each) for each in ours]
        files = [service.neighbour_uploads(like=each)["id"] for each in ours]
        api.jobs.wait("j", timeout=86400)
        check_all(api.jobs.results("j"))
        assert service.count("POST", "/batches") == 4
        assert not [each for each in service.requests if each.path.endswith("/cancel")]
        assert {api.batches.retrieve(each["id"]).status for each in theirs} == {"completed"}
        left = {file.id for file in api.files.list(purpose="batch")}
        assert left >= {*files, *(each["input_file_id"] for each in theirs)}
