"""Column types that mean the same on SQLite and PostgreSQL."""

import math
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Dialect, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

# Written out, 1E+100000000 is 100 MB of text.
MAX_EXPONENT: Final = 1000
_JSON: Final = msgspec.json.Encoder(order="sorted", enc_hook=str)


class Exact(TypeDecorator[Decimal]):
    """An exact decimal: NUMERIC on PostgreSQL; on SQLite text, because its NUMERIC turns into a float."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return what the database stores."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return what is sent."""
        if value is None or dialect.name == "postgresql":
            return value
        return format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return what came back as a Decimal."""
        return None if value is None else Decimal(value)


def exact(amount: Any) -> str | None:
    """Return a decimal as text without exponent and without minus zero, None for empty text.

    Raises
    ------
    decimal.InvalidOperation
        When it is no number.
    ValueError
        When it is not finite, or of more digits before or behind the point than :data:`MAX_EXPONENT`.

    Examples
    --------
    >>> exact("1.50"), exact("1E+3"), exact("-0.0"), exact("")
    ('1.50', '1000', '0.0', None)
    """
    if amount is None or amount == "":
        return None
    value = Decimal(amount)
    if not value.is_finite() or abs(value.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"{amount[:40] if isinstance(amount, str) else value} is no amount")
    return format(value or value.copy_abs(), "f")


def real(value: float | None) -> float | None:
    """Return a float that both databases give back, None for NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def text(words: str) -> str:
    """Return text without NUL, which PostgreSQL refuses."""
    return words.replace("\x00", "\ufffd") if "\x00" in words else words


def to_json(value: Any) -> str:
    """Return canonical JSON: keys sorted, NaN as null."""
    return _JSON.encode(value).decode()


def from_json(value: str | bytes) -> Any:
    """Return what canonical JSON says."""
    return msgspec.json.decode(value)
