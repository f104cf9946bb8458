"""The endpoint that Prometheus scrapes: loopback only, a registry of its own."""

import ipaddress
import threading
from types import TracebackType
from typing import Final, Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from runtime.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"


class MetricsServer:
    """Serves ``/metrics`` while it is open; use it as a context manager.

    Parameters
    ----------
    collector
        What to serve.
    port
        1 to 65535; 0 takes a free one.
    host
        A loopback address: figures of an account are nobody else's business.

    Raises
    ------
    ConfigurationError
        When the address is not loopback, or the port is taken or out of range.
    """

    def __init__(self, collector: Collector, port: int, host: str = LOOPBACK) -> None:
        if not _is_loopback(host):
            raise ConfigurationError(
                f"metrics on {host}: only loopback (127.0.0.1) is allowed; let a proxy or an SSH tunnel "
                "carry them further"
            )
        if not 0 <= port <= 65535:
            raise ConfigurationError(f"metrics port {port} is not between 0 and 65535")
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigurationError(
                f"metrics port {port} on {host} cannot be opened: {error.strerror or error}; choose another "
                "port (0 takes a free one) or end the program that has it"
            ) from error
        self._server: WSGIServer = server
        self._thread: threading.Thread = thread
        self.port: int = server.server_port
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the endpoint; a second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
