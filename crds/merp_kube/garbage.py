"""Python's collection of garbage without its long pauses.

A full collection looks at all that a process holds. With thousands of objects of the cluster in memory nothing else
runs for a tenth of a second and more each time, and what was due meanwhile is late. Nearly all of it is held for long
and dies by its reference count, as JSON refers to nothing in circles, so there is nothing to find.
"""

import gc
import time
from collections.abc import Callable
from typing import Final, Literal

# By then circles that were still in use when they were set aside may have become garbage. They are few: what was under
# way at the moment of a full collection.
_THOROUGH_SECONDS: Final = 600.0
# The oldest of Python's three generations, whose collection is a full one.
_OLDEST: Final = 2

AfterCollection = Callable[[Literal["start", "stop"], dict[str, int]], None]


def shorten_pauses(clock: Callable[[], float] = time.monotonic) -> AfterCollection:
    """Set aside what is there now, and later what outlives a full collection, but look at all every ten minutes.

    `clock` is monotonic, in seconds. Returns what was added to gc.callbacks.
    """
    began = clock()

    def after_collection(phase: Literal["start", "stop"], details: dict[str, int]) -> None:
        nonlocal began
        if phase == "start" or details["generation"] < _OLDEST:
            return
        if clock() - began < _THOROUGH_SECONDS:
            gc.freeze()
        else:
            # The next full collection, which follows soon, finds all of it among the oldest.
            gc.unfreeze()
            began = clock()

    gc.callbacks.append(after_collection)
    gc.freeze()
    return after_collection
