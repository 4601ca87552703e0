"""What the user sees while something takes long: one line at its start, one every 15 seconds, one at its end."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REPEAT_SECONDS = 15.0


def say(text: str) -> None:
    """One line to standard error: standard output carries results only (`$(merp_cluster images)`)."""
    print(f"[cluster] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Tells that `text` has begun, goes on, and has ended, each time with the seconds so far."""
    began = time.monotonic()
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(REPEAT_SECONDS):
            say(f"still {text} {time.monotonic() - began:.0f} s")

    reporter = threading.Thread(target=repeat, daemon=True)
    say(text)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()
    say(f"{text}: done in {time.monotonic() - began:.1f} s")
