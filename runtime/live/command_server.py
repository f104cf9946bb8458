"""The command socket of a node: one JSON command per line in, one JSON answer per line out.

It has a thread and an event loop of its own. Many clients may talk at once; one that does not read its
answers, sends endless lines, or nonsense, is cut off and delays nobody else. All of them together are heard
so often a second and no oftener: this thread shares the interpreter with the one that trades.
"""

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.live.command_runner import CommandRunner
from runtime.live.command_socket import listen
from runtime.live.commands import MAX_LINE_BYTES, READING, Answer, Command, CommandError, read_command
from runtime.live.kill_switch import user_name

MAX_CLIENTS: Final = 32
MAX_WAITING: Final = 256  # lines of one client that wait for their answers; further ones wait in its buffer
LINES_PER_SEC: Final = 200.0  # of all clients; whoever sends more waits, each in turn
LINES_AT_ONCE: Final = 50
# Questions wait for the next of these moments and are answered together: one look at the node for all.
QUESTION_SECS: Final = 0.05
MAX_MISTAKES: Final = 20  # refused lines, then the client is cut off
WRITE_SECS: Final = 5.0
DISMISS_SECS: Final = 1.0
STOP_SECS: Final = 5.0
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


class CommandServer:
    """Serves a `CommandRunner` on a socket until it is stopped.

    Parameters
    ----------
    path
        Of the socket.
    make_runner
        Called once in the server's thread.
    may_connect
        Tells by user id who may; the default is the node's own user and root.
    """

    def __init__(
        self,
        path: Path,
        make_runner: Callable[[], CommandRunner],
        may_connect: Callable[[int], bool] = lambda uid: uid in (0, os.getuid()),
    ) -> None:
        self._path, self._make_runner, self._may_connect = path, make_runner, may_connect
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._stopped: asyncio.Event
        self._clients = 0
        self._pace = _Pace()
        self._worker: asyncio.Task[None]
        self.runner: CommandRunner

    def start(self) -> None:
        """Listen; raises `ConfigurationError` when another node does."""
        sock = listen(self._path)
        is_up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(sock, is_up), name="commands", daemon=True)
        self._thread.start()
        is_up.result(STOP_SECS)

    def stop(self) -> None:
        """Listen no more; commands under way are answered by a closed connection."""
        if self._thread is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(STOP_SECS)
        self._thread = None
        self._path.unlink(missing_ok=True)

    def submit(self, command: Command, origin: str) -> Future[Answer]:
        """Take a command of this process (a signal, the kill file) from any thread."""
        return asyncio.run_coroutine_threadsafe(self.runner.submit(command, origin), self._loop)

    # -- the server's thread ------------------------------------------------------------------------------

    def _run(self, sock: socket.socket, is_up: "Future[None]") -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(sock, is_up))
        finally:
            self._loop.close()

    async def _serve(self, sock: socket.socket, is_up: "Future[None]") -> None:
        try:
            self._stopped = asyncio.Event()
            self.runner = self._make_runner()
            server = await asyncio.start_unix_server(self._on_client, sock=sock, limit=MAX_LINE_BYTES)
        except BaseException as error:
            is_up.set_exception(error)
            sock.close()
            return
        self._worker = asyncio.create_task(self.runner.run())
        is_up.set_result(None)
        await self._stopped.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            await self._talk(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._clients -= 1
            # Not `close`: what a client does not read would be waited for.
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, uid = _peer(writer)
        origin = f"socket {user_name(uid)} pid {pid}"
        client = _Client(writer)
        if not self._may_connect(uid):
            await client.send(await self.runner.refuse("", f"user {user_name(uid)} may not", origin))
            await client.dismiss(reader)
            return
        if self._clients > MAX_CLIENTS:
            await client.send(_refusal("", f"{MAX_CLIENTS} clients are connected already"))
            await client.dismiss(reader)
            return
        try:
            while not client.is_gone:
                try:
                    line = await reader.readuntil(b"\n")
                except asyncio.LimitOverrunError:
                    reason = f"the line is longer than {MAX_LINE_BYTES} bytes"
                    await client.send(await self.runner.refuse("", reason, origin))
                    await client.dismiss(reader)
                    return
                except asyncio.IncompleteReadError:
                    return  # the client has said all it wanted
                await self._pace.wait()
                await client.places.acquire()
                client.start(self._answer(client, line, origin))
        finally:
            await client.finish()

    async def _answer(self, client: "_Client", line: bytes, origin: str) -> None:
        try:
            command = read_command(line)
        except CommandError as error:
            client.mistakes += 1
            answer = await self.runner.refuse(error.command_id, str(error), origin)
        else:
            if command.action in READING:
                await asyncio.sleep(QUESTION_SECS - self._loop.time() % QUESTION_SECS)
            answer = await self.runner.submit(command, origin)
            client.mistakes += answer.outcome == "refused"
        await client.send(answer)
        if client.mistakes >= MAX_MISTAKES:
            client.leave()


class _Pace:
    """Lets so many lines a second pass, those who wait one after the other."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._left = float(LINES_AT_ONCE)
        self._since_s = time.monotonic()

    async def wait(self) -> None:
        async with self._turn:
            now_s = time.monotonic()
            self._left = min(LINES_AT_ONCE, self._left + (now_s - self._since_s) * LINES_PER_SEC) - 1
            self._since_s = now_s
            if self._left < 0:
                await asyncio.sleep(-self._left / LINES_PER_SEC)


class _Client:
    """One connection: its answers go out one after the other, whatever order they come in."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.places = asyncio.Semaphore(MAX_WAITING)
        self.mistakes = 0
        self.is_gone = False

    def start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.places.release()
        if not task.cancelled() and task.exception() is not None:
            self.leave()  # it reads too slowly, or has gone

    async def send(self, answer: Answer) -> None:
        async with self._lock:
            if not self.is_gone:
                self._writer.write(msgspec.json.encode(answer) + b"\n")
                await asyncio.wait_for(self._writer.drain(), WRITE_SECS)

    def leave(self) -> None:
        self.is_gone = True
        self._writer.transport.abort()

    async def dismiss(self, reader: asyncio.StreamReader) -> None:
        """Let the client read its refusal: closing before it has said its say would reset the connection."""
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.write_eof()
            async with asyncio.timeout(DISMISS_SECS):
                while await reader.read(MAX_LINE_BYTES):
                    pass

    async def finish(self) -> None:
        """Send the answers that are still to come."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if not self.is_gone:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._writer.wait_closed(), WRITE_SECS)


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return process and user id of a client, as the system knows them."""
    if not hasattr(socket, "SO_PEERCRED"):  # not Linux: the rights of the file are the check
        return 0, os.getuid()
    sock = writer.get_extra_info("socket")
    pid, uid, _gid = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return pid, uid


def _refusal(command_id: str, reason: str) -> Answer:
    return Answer(id=command_id, outcome="refused", reason=reason)
