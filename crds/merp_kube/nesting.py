"""How deep JSON may be that is read in this process."""

import sys
from typing import Final

# The API server stores objects of up to ten thousand levels, from whoever may write one, and Python's reader gives up
# at a thousand: one object of that kind would end every list that it is in. To copy one, as kopf does, takes two calls
# a level. What is deeper still, in a text, ends at this with an error: the eight megabytes of a thread's stack hold
# 40,000 levels of a repr, which takes the most of what is done with JSON.
_LEVELS: Final = 24_000


def read_all_that_kubernetes_stores() -> None:
    """Let JSON be read as deep as the API server stores it. Once, when a process starts."""
    sys.setrecursionlimit(_LEVELS)
