"""SIGTERM: the task gets the chance to clean up, and the run is never a success."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Callable


class Stopped(BaseException):
    """Raised in the main thread by SIGTERM. Not an Exception, so that `except Exception` does not swallow it."""


class Stop:
    """Whether the run was asked to stop.

    The first SIGTERM raises Stopped in the main thread, or, while an async task runs, cancels it. Further ones change
    nothing, so that they do not break the clean-up; what does not end is ended by SIGKILL after the grace period.
    A task that handles SIGTERM itself gets it, and the stop is known all the same.
    """

    def __init__(self) -> None:
        self.requested = False
        self._armed = True
        self._pid = os.getpid()
        self._cancel: Callable[[], object] | None = None

    def install(self) -> None:
        """Before anything slow: the kernel drops signals for which a container's first process has no handler."""
        register = signal.signal
        register(signal.SIGTERM, self._on_signal)

        def signal_and_note(signalnum: int, handler: Any) -> Any:
            # Frameworks that stop gracefully put their handler here and return in peace: that would be a success.
            # SIG_IGN and SIG_DFL are left alone: the task then ends by itself, or by the signal.
            if signalnum == signal.SIGTERM and callable(handler) and handler != self._on_signal:
                handler = self._noting(handler)
            return register(signalnum, handler)

        signal.signal = signal_and_note
        os.register_at_fork(after_in_child=self._forget)

    def redirect(self, cancel: Callable[[], object] | None) -> None:
        """Call `cancel` instead of raising: an event loop may swallow an exception that a signal raises inside it."""
        self._cancel = cancel

    def disarm(self) -> None:
        """The task has ended: what it did stands, and a SIGTERM from now on comes too late to change it."""
        self._armed = False

    def _forget(self) -> None:
        # A handler in Python waits for the interpreter, and a worker may sit in a call that never returns to it.
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _noting(self, handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        def note(number: int, frame: FrameType | None) -> Any:
            # A child of the task has its own life, and a task that has ended its result.
            if self._armed and os.getpid() == self._pid:
                self.requested = True
            return handler(number, frame)

        return note

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            # A child that the task forked, by means that tell Python nothing: it dies as it would without a runner.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if not self._armed or self.requested:
            return
        self.requested = True
        if self._cancel is not None:
            self._cancel()
            return
        raise Stopped("stopped by SIGTERM")
