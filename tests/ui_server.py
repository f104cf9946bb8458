"""A terminal's server for tests: made-up audit and node, a real listener, browsers' sockets."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import socketio
from flask.testing import FlaskClient

from ui.protocol import VERSION
from ui.server.accounts import Accounts, new_entry
from ui.server.app import Application, create_app
from ui.server.hub import FrameThread, Hub
from ui.server.listening import Listener
from ui.server.ports import Order, Plain, Reply
from ui.server.settings import ServerSettings

OPERATOR_TOKEN: Final = "operator-token-of-tests"
VIEWER_TOKEN: Final = "viewer-token-of-tests"
SECRET: Final = "shared-secret-of-tests"
HOST: Final = "127.0.0.1:8790"
ORIGIN: Final = f"http://{HOST}"
CSRF: Final = "X-CSRF-Token"


class Browser(FlaskClient):
    """Asks at the server's own address."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Ask."""
        kwargs.setdefault("base_url", ORIGIN)
        return super().open(*args, **kwargs)


class MemoryAudit:
    """Keeps what happened."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, ...]] = []
        self.refused: str | None = None

    def access(self, actor: str, origin: str, action: str, outcome: str, reason: str = "") -> None:
        """Note a login or the like."""
        self.notes.append((actor, origin, action, outcome, reason))

    def command(self, order: Order, origin: str, outcome: str, reason: str = "") -> None:
        """Note a command."""
        self.notes.append((order.who, origin, order.action, outcome, reason))

    def recent(self, limit: int) -> list[Plain]:
        """Return the newest."""
        return [{"note": list(one)} for one in self.notes[: -limit - 1 : -1]]

    def trouble(self) -> str | None:
        """Return what a test put there."""
        return self.refused


@dataclass
class MemoryNode:
    """Executes nothing, and remembers what it was asked for."""

    orders: list[Order] = field(default_factory=list)

    def execute(self, order: Order) -> Reply:
        """Note an order."""
        self.orders.append(order)
        return Reply("done", f"{order.action} done")


@dataclass
class Server:
    """An application with what it is made of."""

    made: Application
    audit: MemoryAudit
    node: MemoryNode
    address: str = ORIGIN

    def client(self, **environ: Any) -> FlaskClient:
        """Return a browser that is not logged in."""
        self.made.app.test_client_class = Browser
        client = self.made.app.test_client()
        client.environ_base.update({"REMOTE_ADDR": "127.0.0.1", **environ})
        return client

    def browser(self, token: str = OPERATOR_TOKEN, **environ: Any) -> tuple[FlaskClient, dict[str, str]]:
        """Return a browser that is logged in, and the headers that its pages send with commands."""
        client = self.client(**environ)
        answer = client.post("/login", json={"password": token})
        assert answer.status_code == 200, answer.text
        return client, {CSRF: answer.json["csrf"], "Origin": ORIGIN}


def make_server(
    hub: Hub | None = None, accounts: Accounts | None = None, ports: Plain | None = None, **settings: Any
) -> Server:
    """Return a server that listens nowhere."""
    audit, node = MemoryAudit(), MemoryNode()
    made = create_app(
        ServerSettings(**settings),
        accounts or Accounts.of(environment()),
        audit,
        hub=hub,
        node=node,
        ports=ports,
    )
    return Server(made, audit, node)


def environment(**more: str) -> dict[str, str]:
    """Return the variables of two tokens and a shared secret."""
    return {
        "SMCBOT_TERMINAL_TOKEN": OPERATOR_TOKEN,
        "SMCBOT_TERMINAL_VIEWER_TOKEN": VIEWER_TOKEN,
        "SMCBOT_TERMINAL_SHARED_SECRET": SECRET,
        **more,
    }


def person(name: str = "anna", role: Any = "operator", password: str = "correct horse") -> str:
    """Return an entry of the variable of people."""
    return new_entry(name, role, password)


def command(action: str = "pause", number: int = 1, life_secs: float = 5.0, **more: Any) -> Plain:
    """Return a command as a browser sends it."""
    return {
        "id": f"c{number}",
        "action": action,
        "args": {},
        "nonce": f"nonce-of-the-tests-{number:04d}",
        "expires_at": int((time.time() + life_secs) * 1e3),
        **more,
    }


@contextmanager
def listening(
    hub: Hub | None = None, node: Any = None, replay: Any = None, ports: Plain | None = None, **settings: Any
) -> Iterator[Server]:
    """Serve on a free port while the block runs."""
    listener = Listener("127.0.0.1", 0)
    hub, audit = hub or Hub(max_clients=settings.get("max_clients", 50)), MemoryAudit()
    memory = MemoryNode()
    made = create_app(
        ServerSettings(port=listener.port, **settings),
        Accounts.of(environment()),
        audit,
        hub=hub,
        node=node or memory,
        replay=replay,
        ports=ports,
    )
    frames = FrameThread(hub, made.sockets)
    frames.start()
    listener.start(made.app)
    try:
        yield Server(made, audit, memory, f"http://127.0.0.1:{listener.port}")
    finally:
        frames.stop()
        listener.stop()


class Tab:
    """A browser's tab on a server that listens: logs in by HTTP, then opens a socket.

    Parameters
    ----------
    server
        That listens.
    token
        To log in with.
    """

    def __init__(self, server: Server, token: str = OPERATOR_TOKEN) -> None:
        self._address = server.address
        self.frames: list[Plain] = []
        self.cookie, self.csrf = log_in(server.address, token)
        self.io = socketio.Client(reconnection=False)
        self.io.on("f", self._take)
        self.refusal: Any = None
        self.io.on("connect_error", self._refused)

    def connect(self, **auth: Any) -> "Tab":
        """Open the socket; raises when it is refused."""
        self.io.connect(
            self._address,
            headers={"Cookie": self.cookie},
            auth={"csrf": self.csrf, "proto": VERSION, **auth},
            transports=["websocket"],
        )
        return self

    def call(self, event: str, value: Any) -> Any:
        """Send an event and return its answer."""
        return self.io.call(event, value, timeout=10)

    def close(self) -> None:
        """Close the tab."""
        self.io.disconnect()

    def _take(self, frame: Plain) -> None:
        self.frames.append(frame)

    def _refused(self, data: Any) -> None:
        self.refusal = data


def log_in(address: str, token: str = OPERATOR_TOKEN, name: str = "") -> tuple[str, str]:
    """Return cookie and CSRF value of a new login; with a name, the token is its password."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    body = f'{{"name": "{name}", "password": "{token}"}}'
    connection.request("POST", "/login", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read().decode()
    assert answer.status == 200, body
    connection.close()
    return str(answer.headers["Set-Cookie"]).partition(";")[0], body.split('"csrf":"')[1].split('"')[0]


def upgrade(address: str, **headers: str) -> int:
    """Ask for a socket like a browser, with headers of one's own; return the status."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/socket.io/?EIO=4&transport=websocket", skip_host="Host" in headers)
    for name, value in {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def wait_for(is_so: Callable[[], Any], secs: float = 10.0) -> None:
    """Wait until something is so; fail when it is not in time."""
    until_s = time.monotonic() + secs
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.02)
