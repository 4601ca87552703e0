"""The checker of pools finds what it is to find."""

from pool_order import admissions, most_at_once


def test_two_runs_that_overlap_are_two_at_once_and_room_is_read_in_the_order_it_was_given() -> None:
    jobs = [
        {"metadata": {"name": name}, "spec": {"suspend": suspend}, "status": {"conditions": ended}}
        for name, suspend, ended in (
            ("a", True, []),
            ("a", False, []),
            ("b", False, []),
            ("a", False, [{"type": "Complete"}]),
            ("c", False, []),
        )
    ]
    assert most_at_once(jobs) == 2
    pools = [{"status": {"admitted": [{"run": run} for run in runs]}} for runs in ("a", "ab", "bc")]
    assert admissions(pools) == ["a", "b", "c"]
