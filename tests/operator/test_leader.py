"""The election: its decision as a table, its steps against an API server in memory, whose faults no real one has on order."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.aio.client import Configuration
from prometheus_client import REGISTRY

from merp_kube.client import ApiError, Unreachable
from merp_operator.leader import (
    LEASE,
    RENEW_DEADLINE,
    RETRY,
    Alone,
    Elector,
    LeadersClient,
    Record,
    Step,
    decide,
    new_identity,
    read,
)

Json = dict[str, Any]


class Ended(Exception):
    """The process would have ended here."""


def end(reason: str) -> NoReturn:
    raise Ended(reason)


class Api:
    """One Lease in memory, a clock, and faults. Each call takes `before` seconds until it arrives and `after` back."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lease: Json | None = None
        self.calls: list[tuple[str, float]] = []
        self.unreachable = False
        self.answers_lost = False
        self.before = self.after = 0.0
        self.closed = 0
        self._version = 0

    async def call(self, method: str, path: str, *, body: Any = None, seconds: float, **_: Any) -> Json:
        self.calls.append((method, seconds))
        if self.unreachable:
            self.now += seconds
            raise Unreachable(f"{method} {path}: refused")
        self.now += self.before
        answer = self._answer(method, path, body)
        self.now += self.after
        if self.answers_lost:
            raise Unreachable(f"{method} {path}: cut off")
        return answer

    async def close(self) -> None:
        self.closed += 1

    def edit(self, **spec: Any) -> None:
        """By hand, or by another operator."""
        self._version += 1
        old = {} if self.lease is None else self.lease["spec"]
        self.lease = {"metadata": {"resourceVersion": str(self._version)}, "spec": old | spec}

    def _answer(self, method: str, path: str, body: Any) -> Json:
        if method == "POST":
            assert path == "/apis/coordination.k8s.io/v1/namespaces/merp/leases"
            if self.lease is not None:
                raise ApiError(409, {"reason": "AlreadyExists"})
            self.edit(**body["spec"])
        else:
            assert path == "/apis/coordination.k8s.io/v1/namespaces/merp/leases/merp-operator"
            if self.lease is None:
                raise ApiError(404, {"reason": "NotFound"})
            if method == "PATCH":
                if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                    raise ApiError(409, {"reason": "Conflict"})
                self.edit(**body["spec"])
        assert self.lease is not None
        return self.lease


@pytest.fixture
def api() -> Api:
    return Api()


def candidate(api: Api, name: str, clock: Callable[[], float] | None = None) -> Elector:
    return Elector(
        api,  # type: ignore[arg-type]
        namespace="merp",
        name="merp-operator",
        identity=name,
        clock=clock or (lambda: api.now),
        end=end,
    )


async def run_for(api: Api, seconds: float, *electors: Elector) -> None:
    """Let every candidate go its steps, in the order of their times."""
    until = api.now + seconds
    due = dict.fromkeys(electors, api.now)
    while min(due.values()) <= until:
        elector = min(due, key=lambda one: due[one])
        api.now = max(api.now, due[elector])
        due[elector] = api.now + await elector.step()
    api.now = max(api.now, until)


def record(holder: str = "other", seconds: float = LEASE) -> Record:
    return Record(holder=holder, seconds=seconds, transitions=3, version="7")


class TestDecision:
    @pytest.mark.parametrize(
        ("seen", "unchanged", "renewed_ago", "expected"),
        [
            pytest.param(record(), 0, None, Step.WAIT, id="does-nothing-while-another-leads"),
            pytest.param(record(), 8.9, None, Step.WAIT, id="does-nothing-just-before-the-lease-runs-out"),
            pytest.param(record(), 9.0, None, Step.TAKE, id="the-lease-ran-out"),
            pytest.param(record(seconds=30), 29.9, None, Step.WAIT, id="the-holder-believes-in-a-longer-lease"),
            pytest.param(record(seconds=30), 30.0, None, Step.TAKE, id="the-longer-lease-ran-out"),
            pytest.param(record(seconds=1), 5.0, None, Step.WAIT, id="a-shorter-lease-is-as-long-as-ours"),
            pytest.param(record(seconds=0), 9.0, None, Step.TAKE, id="a-lease-that-says-no-duration"),
            pytest.param(None, 0, None, Step.CREATE, id="no-lease"),
            pytest.param(record(""), 0, None, Step.TAKE, id="given-up"),
            pytest.param(record("me"), 0, None, Step.TAKE, id="our-write-arrived-without-an-answer"),
            pytest.param(record("me"), 1.5, 1.5, Step.RENEW, id="renew"),
            pytest.param(record("me"), 5.9, 5.9, Step.RENEW, id="renew-just-in-time"),
            pytest.param(record("me"), 6.0, 6.0, Step.LOST, id="not-renewed-in-time"),
            pytest.param(record("me"), 3600, 3600, Step.LOST, id="stopped-for-an-hour"),
            pytest.param(record(), 0, 1.5, Step.LOST, id="another-took-it"),
            pytest.param(record(""), 0, 1.5, Step.LOST, id="somebody-emptied-it"),
            pytest.param(None, 0, 1.5, Step.LOST, id="somebody-deleted-it"),
        ],
    )
    def test_what_to_do(self, seen: Record | None, unchanged: float, renewed_ago: float | None, expected: Step) -> None:
        now = 100_000.0
        renewed_at = None if renewed_ago is None else now - renewed_ago
        assert decide(seen, now - unchanged, now, identity="me", renewed_at=renewed_at) is expected

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            pytest.param(
                {"holderIdentity": "a", "leaseDurationSeconds": 9, "leaseTransitions": 2}, ("a", 9.0, 2), id="full"
            ),
            pytest.param({"leaseDurationSeconds": 9}, ("", 9.0, 0), id="given-up"),
            pytest.param({}, ("", 0.0, 0), id="made-by-hand"),
        ],
    )
    def test_reading(self, spec: Json, expected: tuple[str, float, int]) -> None:
        found = read({"metadata": {"resourceVersion": "5"}, "spec": spec})
        assert (found.holder, found.seconds, found.transitions) == expected

    def test_a_process_that_starts_again_is_another_holder(self) -> None:
        assert new_identity("pod-1") != new_identity("pod-1")


class TestTakingOver:
    async def test_the_first_one_leads_at_once(self, api: Api) -> None:
        first = candidate(api, "a")
        assert not first.holds()
        assert await first.step() == RETRY
        assert first.holds()
        assert first.won.is_set()
        assert api.lease is not None
        spec = api.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 9, 0)
        assert spec["renewTime"] == spec["acquireTime"]
        assert REGISTRY.get_sample_value("merp_leader") == 1

    async def test_a_holder_renews_without_reading_and_a_second_one_stands_by(self, api: Api) -> None:
        first, second = candidate(api, "a"), candidate(api, "b")
        await first.step()
        before = len(api.calls)
        await run_for(api, 60, first)
        assert {method for method, _ in api.calls[before:]} == {"PATCH"}
        assert not second.stands_by
        await run_for(api, 60, first, second)
        assert (first.holds(), second.holds(), second.won.is_set(), second.stands_by) == (True, False, False, True)

    async def test_who_dies_is_followed_when_the_lease_has_run_out_and_not_before(self, api: Api) -> None:
        first, second = candidate(api, "a"), candidate(api, "b")
        await run_for(api, 20, first, second)
        died = api.now
        while not second.holds():
            api.now += await second.step()
        assert LEASE - RETRY <= api.now - died <= LEASE + RETRY
        assert api.lease is not None
        assert (api.lease["spec"]["holderIdentity"], api.lease["spec"]["leaseTransitions"]) == ("b", 1)

    async def test_times_of_other_machines_are_not_compared(self, api: Api) -> None:
        api.edit(holderIdentity="a", leaseDurationSeconds=9, renewTime="2001-01-01T00:00:00.000000Z")
        second = candidate(api, "b")
        await run_for(api, LEASE - 0.1, second)
        assert not second.holds()
        await run_for(api, 0.2, second)
        assert second.holds()

    async def test_who_ends_in_order_is_followed_at_once(self, api: Api) -> None:
        first, second = candidate(api, "a"), candidate(api, "b")
        await run_for(api, 10, first, second)
        await first.release()
        assert (first.holds(), api.closed) == (False, 1)
        assert api.lease is not None
        assert api.lease["spec"]["holderIdentity"] is None
        await run_for(api, RETRY, second)
        assert second.holds()
        assert api.lease["spec"]["leaseTransitions"] == 1

    async def test_a_standby_that_ends_gives_nothing_up(self, api: Api) -> None:
        first, second = candidate(api, "a"), candidate(api, "b")
        await run_for(api, 10, first, second)
        await second.release()
        assert first.holds()
        assert api.lease is not None
        assert api.lease["spec"]["holderIdentity"] == "a"

    async def test_of_two_that_reach_for_it_one_leads(self, api: Api) -> None:
        api.edit(holderIdentity="dead", leaseDurationSeconds=9)
        first, second = candidate(api, "a"), candidate(api, "b")
        await run_for(api, 30, first, second)
        assert [first.holds(), second.holds()] == [True, False]

    async def test_an_unreachable_server_is_waited_for_by_a_candidate(self, api: Api) -> None:
        first = candidate(api, "a")
        api.unreachable = True
        await run_for(api, 300, first)
        assert len(api.calls) <= 300 / RETRY
        assert not first.stands_by
        api.unreachable = False
        await first.step()
        assert first.holds()


class TestLosing:
    async def test_the_process_ends_at_the_deadline_and_leads_until_then(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        sent = api.now
        api.unreachable = True
        with pytest.raises(Ended, match=r"could not be renewed for 6\.0 s"):
            await run_for(api, 60, first)
        assert api.now - sent == pytest.approx(RENEW_DEADLINE, abs=0.2)
        assert not first.holds()

    async def test_no_request_lasts_beyond_the_deadline(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        api.now += RENEW_DEADLINE - 0.5
        await first.step()
        assert api.calls[-1][1] == pytest.approx(0.5)

    async def test_a_short_outage_changes_nothing(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        api.unreachable = True
        api.now += await first.step()
        api.unreachable = False
        await run_for(api, 30, first)
        assert first.holds()

    async def test_a_renewal_counts_from_when_it_was_sent(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        api.before, api.after = 2.0, 3.9
        await first.step()
        assert first.holds()
        api.now += 0.2
        assert not first.holds()

    async def test_a_candidate_whose_write_arrived_without_an_answer_finds_itself(self, api: Api) -> None:
        first = candidate(api, "a")
        api.answers_lost = True
        await first.step()
        assert api.lease is not None
        assert (api.lease["spec"]["holderIdentity"], first.holds()) == ("a", False)
        api.answers_lost = False
        await first.step()
        assert (api.lease["spec"]["leaseTransitions"], first.holds()) == (0, True)

    async def test_a_holder_whose_renewal_arrived_without_an_answer_goes_on(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        api.answers_lost = True
        api.now += await first.step()
        api.answers_lost = False
        await run_for(api, 30, first)
        assert first.holds()

    @pytest.mark.parametrize(
        ("meddle", "said"),
        [
            pytest.param(lambda api: api.edit(holderIdentity="b"), "b holds the lease now", id="another-holder"),
            pytest.param(lambda api: api.edit(holderIdentity=None), "nobody holds the lease now", id="emptied"),
            pytest.param(lambda api: setattr(api, "lease", None), "the Lease is gone", id="deleted"),
        ],
    )
    async def test_a_hand_that_takes_the_lease_ends_the_process(
        self, api: Api, meddle: Callable[[Api], None], said: str
    ) -> None:
        first = candidate(api, "a")
        await first.step()
        meddle(api)
        with pytest.raises(Ended, match=said):
            await run_for(api, RETRY, first)

    async def test_a_hand_that_labels_the_lease_changes_nothing(self, api: Api) -> None:
        first = candidate(api, "a")
        await first.step()
        api.edit()
        assert await first.step() == 0.0, "it looks again at once"
        await run_for(api, 30, first)
        assert first.holds()

    async def test_who_was_stopped_for_too_long_does_nothing_more(self, api: Api) -> None:
        first, second = candidate(api, "a"), candidate(api, "b")
        await run_for(api, 10, first, second)
        await run_for(api, 20, second)
        assert (first.holds(), second.holds()) == (False, True)
        before = len(api.calls)
        with pytest.raises(Ended, match="a write was to follow"):
            first.hold_or_end()
        with pytest.raises(Ended, match="could not be renewed"):
            await first.step()
        await first.release()
        assert len(api.calls) == before

    async def test_a_release_that_does_not_arrive_is_told_and_ends(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = candidate(api, "a")
        await first.step()
        api.unreachable = True
        await first.release()
        assert "could not be given up" in caplog.text
        assert not first.holds()


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["step", "step", "step", "no-answer", "unreachable", "release", "new"]),
            st.floats(0, 12),
            st.floats(0, 4),
            st.floats(0, 4),
        ),
        max_size=40,
    )
)
@settings(max_examples=300)
def test_whatever_happens_never_two_lead(moves: list[tuple[str, str, float, float, float]]) -> None:
    """Three candidates whose clocks agree on nothing but a second's length, slow and lost answers, sudden deaths."""
    api = Api()
    offsets = {"a": 0.0, "b": 1e6, "c": -500.0}
    count = 0

    def new(name: str) -> Elector:
        return candidate(api, f"{name}{count}", lambda: api.now + offsets[name])

    async def play() -> None:
        nonlocal count
        electors = {name: new(name) for name in "abc"}
        for name, move, pause, before, after in moves:
            count += 1
            api.now += pause
            api.before, api.after = before, after
            api.answers_lost, api.unreachable = move == "no-answer", move == "unreachable"
            try:
                if move == "release":
                    await electors[name].release()
                elif move != "new":
                    await electors[name].step()
            except Ended:
                move = "new"
            if move in ("release", "new"):
                electors[name] = new(name)
            assert sum(elector.holds() for elector in electors.values()) <= 1

    asyncio.run(play())


class TestWrites:
    async def test_a_write_is_guarded_and_a_read_is_not(self) -> None:
        def guard() -> None:
            raise Ended

        # Nothing listens on port 1.
        async with LeadersClient(Configuration(host="http://127.0.0.1:1"), guard) as client:
            for method in ("POST", "PATCH", "PUT", "DELETE"):
                with pytest.raises(Ended):
                    await client.call(method, "/api/v1/namespaces/x/events", body={})
            with pytest.raises(Unreachable):
                await client.call("GET", "/version")

    async def test_alone_it_leads_for_ever(self) -> None:
        alone = Alone()
        assert alone.won.is_set()
        assert alone.holds()
        alone.hold_or_end()
        await alone.release()
        assert alone.holds()
        assert REGISTRY.get_sample_value("merp_leader") == 1
