"""What goes wrong on command: one `Faults` per venue, asked at every request and every stream message."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

type When = Literal["before", "after", "lost"]
type StreamAction = Literal["drop", "duplicate", "reorder", "delay"]


@dataclass(slots=True)
class EndpointFault:
    """The next `count` calls of matching endpoints are answered with an error.

    Parameters
    ----------
    endpoint
        Pattern over "POST /api/v3/order" (or "WS order.create"), with `*`.
    status, code, text
        The answer: HTTP status, the venue's code and words.
    when
        "before": nothing is done; "after": the work is done, the answer says otherwise; "lost": the work is
        done and the connection closes without an answer.
    """

    endpoint: str
    count: int
    status: int = 503
    code: int = -1
    text: str = "Unknown error, please check your request or try again later."
    when: When = "before"


@dataclass(slots=True)
class StreamFault:
    """The next `count` stream messages of matching kinds are dropped, sent twice, swapped, or late.

    `kind` is a pattern over "public.trade", "private.order", "reply", ...; with "reorder" each message waits
    until the next one of its connection has gone.
    """

    action: StreamAction
    kind: str
    count: int
    secs: float = 0.0


class Faults:
    """The scripted troubles of one venue; everything ends by itself or with `clear`.

    Parameters
    ----------
    drop_connections
        Called when a cut begins; closes every stream of the venue.
    """

    def __init__(self, drop_connections: Callable[[], None] = lambda: None) -> None:
        self._drop_connections = drop_connections
        self._cut_until = 0.0
        self._frozen_until = 0.0
        self.delay_secs = 0.0
        self.endpoint_faults: list[EndpointFault] = []
        self.stream_faults: list[StreamFault] = []

    def clear(self) -> None:
        """End every fault now."""
        self._cut_until = self._frozen_until = self.delay_secs = 0.0
        self.endpoint_faults.clear()
        self.stream_faults.clear()

    def cut(self, secs: float) -> None:
        """Drop all connections and refuse new ones for so long."""
        self._cut_until = _now() + secs
        self._drop_connections()

    def freeze(self, secs: float) -> None:
        """Keep connections open and say nothing for so long; then answer what has waited."""
        self._frozen_until = _now() + secs

    @property
    def is_cut(self) -> bool:
        """Whether connections are refused now."""
        return _now() < self._cut_until

    @property
    def frozen_secs(self) -> float:
        """How long the venue will still be silent; 0 when it is not."""
        return max(0.0, self._frozen_until - _now())

    def take_endpoint_fault(self, endpoint: str) -> EndpointFault | None:
        """Return the fault that this call meets, and count it."""
        for fault in self.endpoint_faults:
            if fnmatchcase(endpoint, fault.endpoint):
                fault.count -= 1
                if fault.count <= 0:
                    self.endpoint_faults.remove(fault)
                return fault
        return None

    def take_stream_fault(self, kind: str) -> StreamFault | None:
        """Return the fault that this message meets, and count it."""
        for fault in self.stream_faults:
            if fnmatchcase(kind, fault.kind):
                fault.count -= 1
                if fault.count <= 0:
                    self.stream_faults.remove(fault)
                return fault
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
