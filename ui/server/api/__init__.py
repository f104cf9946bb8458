"""The REST API, one module per resource."""

from types import ModuleType


def modules() -> tuple[ModuleType, ...]:
    """Return the modules, each with a blueprint ``api``."""
    from ui.server.api import backtests, health, market, metrics, openapi, records, terminal

    return (health, metrics, terminal, market, records, backtests, openapi)
