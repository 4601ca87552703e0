"""Which JobRun asks for which execution."""

from merp_api.mirrors import Key
from merp_api.translate import Json
from merp_api.views import asked_execution


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
        wanted = None if after is None else asked_execution(after)
        if after is not None and wanted is not None:
            self._ids[key] = wanted
            self._runs[wanted] = after

    def get(self, namespace: str | None, execution_id: str) -> Json | None:
        """The JobRun that asks for an execution, of a namespace or of any (None); None where there is none."""
        found = self._runs.get(execution_id)
        return found if found is not None and namespace in (None, found["metadata"]["namespace"]) else None
