"""Time zones as the cluster takes them: IANA names, with their letter case."""

import functools
import zoneinfo
from zoneinfo import ZoneInfo


@functools.cache
def zone_names() -> frozenset[str]:
    """Every IANA name that the bundled zone database knows."""
    # A file of the machine's own, that is in some of them, is whatever zone it happens to have.
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


@functools.lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises ValueError that names timeZone and, where it can, the spelling that works."""
    if name in zone_names():
        return ZoneInfo(name)
    if not name.strip():
        raise ValueError("timeZone: is empty: write an IANA name such as Asia/Shanghai, or leave the field out")
    if name.casefold() == "local":
        raise ValueError("timeZone: Local is whatever zone a server happens to have: write an IANA name")
    same = [known for known in zone_names() if known.casefold() == name.casefold()]
    if same:
        raise ValueError(f"timeZone: {name!r} is no zone: letter case counts, write {same[0]}")
    raise ValueError(f"timeZone: {name!r} is no IANA zone: write a name such as Asia/Shanghai or UTC, not an offset")
