"""Which look at a job came after which: a Job goes only after every job that waits for it has seen its end."""

from collections.abc import Iterable

from merp_operator.own import Key


class Looks:
    """Numbers of looks, in the order in which they began. A new process knows of none."""

    def __init__(self) -> None:
        self._newest = 0
        self._done: dict[Key, int] = {}
        # By UID, the last look that may not have seen that a Job has ended.
        self._ended: dict[str, int] = {}

    def begin(self) -> int:
        """A look begins. Returns its number."""
        self._newest += 1
        return self._newest

    def done(self, key: Key, number: int) -> None:
        """All that a look found is written."""
        self._done[key] = number

    def ended(self, uid: str, number: int) -> None:
        """A look sees as it begins that a Job has ended; whatever look begins after it sees that too."""
        self._ended.setdefault(uid, number - 1)

    def are_past(self, uid: str, keys: Iterable[Key]) -> bool:
        """Whether each of those jobs was looked at since that Job was seen to have ended."""
        ended = self._ended.get(uid, self._newest)
        return all(self._done.get(key, 0) > ended for key in keys)

    def forget_run(self, uid: str) -> None:
        """A Job is gone."""
        self._ended.pop(uid, None)

    def forget_job(self, key: Key) -> None:
        """A ScheduledJob is gone."""
        self._done.pop(key, None)
