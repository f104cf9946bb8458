"""A factory of Nautilus makes our subclass while the exchange lasts, and its own class again afterwards."""

from types import ModuleType

import pytest

from runtime.live.exchanged_class import exchanged


class Client:
    """What the factory names."""


class Ours(Client):
    """What it is to make."""


def make_module() -> ModuleType:
    """Return a module of factories."""
    module = ModuleType("factories")
    module.Client = Client  # type: ignore[attr-defined]
    return module


def test_the_name_means_ours_only_while_the_block_runs() -> None:
    """Other factories of the same process get Nautilus' own class."""
    module = make_module()
    with exchanged(module, Client, Ours):
        assert type(module.Client()) is Ours
    assert type(module.Client()) is Client


def test_the_name_comes_back_after_an_error() -> None:
    """A client that cannot be made must not leave its class behind."""
    module = make_module()
    with pytest.raises(ValueError, match="no key"), exchanged(module, Client, Ours):
        raise ValueError("no key")
    assert module.Client is Client


def test_an_adapter_without_the_name_is_refused() -> None:
    """An update of Nautilus that renames its class would otherwise trade with the unrepaired one."""
    with pytest.raises(AttributeError, match="Client"), exchanged(ModuleType("other"), Client, Ours):
        pass
