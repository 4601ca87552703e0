"""A proxy before a MySQL or MariaDB server that sees every write of a client, and can cut the client off at any of them.

As `cutting_proxy`, whose plans it takes: the method of a write is the first word of its statement (INSERT, UPDATE,
DELETE, REPLACE or COMMIT), its body the statement. It reads the protocol without TLS, in which each command of a client is
one packet: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
"""

import asyncio
from collections.abc import Callable
from typing import Final

from cutting_proxy import Moment, Plan, Write, let_pass
from threaded_proxy import ThreadedProxy

WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT"})
_HEADER: Final = 4
_COM_QUERY: Final = 3
_PIECE: Final = 65_536


class CuttingDatabase(ThreadedProxy):
    """The proxy, on a port of the loopback, as a context manager with a thread of its own.

    `server` is the port of the server. `anew` ends the client, and may start the next one.
    """

    def __init__(self, server: int, *, anew: Callable[[], object]) -> None:
        super().__init__("cutting-database")
        self.plan: Plan = let_pass
        # Those that the server has answered.
        self.writes: list[Write] = []
        # The writes at which the client was cut off.
        self.cuts: list[tuple[Write, Moment]] = []
        self.port = 0
        self._server = server
        self._anew = anew
        self._turn = asyncio.Lock()
        self._connections: set[asyncio.Task[None]] = set()

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._listener.close()
        while self._connections:
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
        # What was aborted is gone by the loop's next turn.
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs each connection as a task"
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # One of the two has hung up, as those do that are killed; or this proxy ends, and nobody else cancels.
            return
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._server)
        link = _Link(writer, self.writes)
        back = asyncio.create_task(link.pump(answers))
        try:
            while True:
                header = await reader.readexactly(_HEADER)
                payload = await reader.readexactly(int.from_bytes(header[:3], "little"))
                write = _write(header, payload)
                if write is None:
                    requests.write(header + payload)
                elif await self._pass(write, header + payload, requests, link):
                    return
        finally:
            # Before anything is waited for: the end of the proxy may come meanwhile.
            requests.transport.abort()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _pass(self, write: Write, packet: bytes, requests: asyncio.StreamWriter, link: "_Link") -> bool:
        """Let a write through, or cut the client off. Returns whether it was."""
        async with self._turn:
            moment = self.plan(write)
            if moment is not Moment.BEFORE:
                link.held = moment is Moment.AFTER
                link.expected = write
                link.answered.clear()
                requests.write(packet)
                await link.answered.wait()
            if moment is None:
                return False
            await asyncio.to_thread(self._anew)
            self.cuts.append((write, moment))
            return True


class _Link:
    """What the server says on one connection; while it is held the client does not hear it.

    An expected write is among `writes` before the client hears that it is done.
    """

    def __init__(self, client: asyncio.StreamWriter, writes: list[Write]) -> None:
        self.held = False
        self.expected: Write | None = None
        self.answered = asyncio.Event()
        self._client = client
        self._writes = writes

    async def pump(self, answers: asyncio.StreamReader) -> None:
        while piece := await answers.read(_PIECE):
            if self.expected is not None:
                self._writes.append(self.expected)
                self.expected = None
            self.answered.set()
            if not self.held:
                self._client.write(piece)
                await self._client.drain()
        self._client.close()


def _write(header: bytes, payload: bytes) -> Write | None:
    """A statement that writes; None for all else, the packets of a login among them."""
    if header[3] != 0 or payload[:1] != bytes([_COM_QUERY]):
        return None
    statement = payload[1:]
    words = statement.split(maxsplit=3)
    method = words[0].decode("ascii", "replace").upper() if words else ""
    return Write(method, "", "", statement) if method in WRITES else None
