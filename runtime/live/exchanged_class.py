"""Let a factory of Nautilus make a subclass of the client that it names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def exchanged(module: ModuleType, client: type, ours: Callable[..., Any]) -> Iterator[None]:
    """Give a class's name in a module to what we make instead while the block runs.

    The factories of Nautilus' adapters name the class that they make in their module and offer no other way
    to have another made.

    Parameters
    ----------
    module
        That of the factories.
    client
        Nautilus' class, by whose name the factory makes it.
    ours
        Its subclass, or another way to make one.

    Raises
    ------
    AttributeError
        Where the module has no such name: the adapter has changed.
    """
    original = getattr(module, client.__name__)
    setattr(module, client.__name__, ours)
    try:
        yield
    finally:
        setattr(module, client.__name__, original)


__all__ = ["exchanged"]
