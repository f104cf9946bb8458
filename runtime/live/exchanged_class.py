"""Let a factory of Nautilus make a subclass of the client that it names."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def exchanged(module: ModuleType, client: type, ours: type) -> Iterator[None]:
    """Give a client's name in a factories' module to our subclass of it while the block runs.

    The factories of Nautilus' adapters name the class that they make in their module and offer no other way
    to have another made.

    Parameters
    ----------
    module
        That of the factories.
    client
        Nautilus' class, by whose name the factory makes it.
    ours
        Its subclass.

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
