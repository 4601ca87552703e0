"""Which JobRun asks for which execution."""

from merp_api.mirrors import Key
from merp_api.translate import Json
from merp_api.views import owner_uid, run_execution_id


class RunIndex:
    """The newest version of each JobRun, by the id of its execution."""

    def __init__(self) -> None:
        self._ids: dict[Key, str] = {}
        self._runs: dict[str, Json] = {}

    def changed(self, before: Json | None, after: Json | None) -> None:
        """Another version of a JobRun; None before is a new one, None after is one that went away."""
        item = after if after is not None else before
        assert item is not None
        key = item["metadata"]["namespace"], item["metadata"]["name"]
        self._runs.pop(self._ids.pop(key, ""), None)
        uid = None if after is None else owner_uid(after)
        if after is not None and uid is not None:
            self._ids[key] = run_execution_id(uid, after)
            self._runs[self._ids[key]] = after

    def get(self, namespace: str | None, execution_id: str) -> Json | None:
        """The JobRun that asks for an execution, of a namespace or of any (None); None where there is none."""
        found = self._runs.get(execution_id)
        return found if found is not None and namespace in (None, found["metadata"]["namespace"]) else None
