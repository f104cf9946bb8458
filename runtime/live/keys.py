"""API keys of the accounts: from the environment alone, and refused wherever else they are found."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from runtime.errors import ConfigurationError
from runtime.live.settings import LiveVenue

# Shapes of the venues' keys and secrets: Binance 64 letters and digits, Bybit 18 and 36; PEM of Ed25519.
KEY_SHAPES: Final = (
    re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9]{64}"),
    re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Z])(?=[^\s]*[a-z])[A-Za-z0-9]{18}"),
    re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Z])(?=[^\s]*[a-z])[A-Za-z0-9]{36}"),
    re.compile(r"(?s).*-----BEGIN [A-Z ]*PRIVATE KEY-----.*"),
)
# A digest of a file is 64 hexadecimal digits, and no key of Binance is.
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Keys(Struct, frozen=True, kw_only=True):
    """Key and secret of one account; shown nowhere."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(***)"


def variable_names(venue: LiveVenue) -> tuple[tuple[str, str], ...]:
    """Return the environment variables of an account's key and secret, the first pair that is set counts.

    Examples
    --------
    >>> variable_names(LiveVenue(venue="binance", market="usdm", environment="testnet"))[0]
    ('BINANCE_USDM_TESTNET_API_KEY', 'BINANCE_USDM_TESTNET_API_SECRET')
    """
    middle = "" if venue.environment == "live" else f"_{venue.environment.upper()}"
    prefixes = [f"{venue.venue.upper()}{middle}"]
    if venue.market == "usdm":
        prefixes.insert(0, f"BINANCE_USDM{middle}")
    return tuple((f"{prefix}_API_KEY", f"{prefix}_API_SECRET") for prefix in prefixes)


def keys_of(venue: LiveVenue, environment: Mapping[str, str] | None = None) -> Keys | None:
    """Return the keys of an account, None where the environment has none.

    Raises
    ------
    ConfigurationError
        When one of the two is missing.
    """
    found = os.environ if environment is None else environment
    for key_name, secret_name in variable_names(venue):
        key, secret = found.get(key_name, "").strip(), found.get(secret_name, "").strip()
        if key and secret:
            return Keys(key=key, secret=secret)
        if key or secret:
            missing = secret_name if key else key_name
            raise ConfigurationError(f"{missing} is not set, but its other half is: set both or none")
    return None


def require_keys(venue: LiveVenue, environment: Mapping[str, str] | None = None) -> Keys:
    """Return the keys of an account.

    Raises
    ------
    ConfigurationError
        When the environment has none, with the variables to set.
    """
    keys = keys_of(venue, environment)
    if keys is None:
        names = variable_names(venue)[-1]
        raise ConfigurationError(
            f"{venue.venue_name}: trading on {venue.venue} {venue.market} ({venue.environment}) needs keys: "
            f"set {names[0]} and {names[1]} (docs/how-to/live.md)"
        )
    return keys


def refuse_keys_in(plain: Mapping[str, Any], source: str) -> None:
    """Refuse settings that hold something shaped like a key.

    Raises
    ------
    ConfigurationError
        With the path of the value, never with the value.
    """
    for path, text in _texts(plain, "$"):
        if not DIGEST.fullmatch(text) and any(shape.fullmatch(text) for shape in KEY_SHAPES):
            raise ConfigurationError(
                f"{source}: this looks like an API key, and keys come from the environment alone: remove it, "
                f"and replace the key at the venue if the file was shared - at {path}"
            )


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value.strip()
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield f"{path} (a name)", str(key)
            yield from _texts(one, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _texts(one, f"{path}[{index}]")
