"""The journal's queries as the server's `Journal`."""

from collections.abc import Callable, Mapping
from typing import Any

from runtime.errors import OperatorError
from runtime.journal.queries import JournalQueries
from ui.server.ports import Plain, Unavailable


class JournalReader:
    """Asks the journal; what it refuses becomes an answer in words.

    Parameters
    ----------
    url
        Of the database; empty where the journal is off.
    """

    def __init__(self, url: str) -> None:
        self._queries = JournalQueries(url) if url else None

    def rows(
        self,
        name: str,
        equal: Mapping[str, Any],
        from_ns: int = 0,
        to_ns: int | None = None,
        before: tuple[int, str, int] | None = None,
        limit: int = 1_000,
    ) -> list[Plain]:
        """Return rows of a table, newest first."""
        return self._ask(lambda queries: queries.rows(name, equal, from_ns, to_ns, before, limit))

    def signal_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Plain:
        """Return how many signals there were, were taken, and why not."""
        return self._ask(lambda queries: queries.signal_stats(equal, from_ns, to_ns))

    def signal_summary(self, equal: Mapping[str, Any], now_ns: int) -> list[Plain]:
        """Return each instrument's signals in short."""
        return self._ask(lambda queries: queries.signal_summary(equal, now_ns))

    def trade_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Plain:
        """Return how many trades there were, won, and what they earned."""
        return self._ask(lambda queries: queries.trade_stats(equal, from_ns, to_ns))

    def explain(self, setup_id: str, session_id: str | None = None) -> Any:
        """Return how a trade came about."""
        return self._ask(lambda queries: queries.explain(setup_id, session_id))

    def _ask[T](self, question: Callable[[JournalQueries], T]) -> T:
        if self._queries is None:
            raise Unavailable("the journal is off")
        try:
            return question(self._queries)
        except OperatorError as error:
            raise Unavailable(str(error), names_paths=True) from error
