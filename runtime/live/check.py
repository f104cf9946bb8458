"""`--check`: everything that can be known before a node trades, and nothing that trades."""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import msgspec
from msgspec import Struct

from runtime.errors import EXIT_DONE, EXIT_FAILED, EXIT_MISUSE, ConfigurationError, OperatorError, VenueError
from runtime.journal.place import URL_VARIABLE, journal_url
from runtime.live.clocks import NANOS, measured_offset
from runtime.live.keys import keys_of, require_keys, variable_names
from runtime.live.permissions import permissions_of
from runtime.live.plan import LivePlan, symbol_of
from runtime.live.rest import PublicRest
from runtime.live.settings import LiveVenue
from runtime.live.signed import NotToldError
from runtime.run_plan import require_model, require_signal_model
from runtime.venue_instruments import venue_instrument

type Verdict = Literal["ok", "warning", "refused"]
# A venue's name -> its instruments as the venue defines them, by id.
type Found = dict[str, Any]

MIB: Final = 1 << 20
# Of a limit that is switched off.
OFF: Final[tuple[Any, ...]] = (0, "0", [], (), {}, None)


class Finding(Struct, frozen=True, kw_only=True):
    """One answer of the check.

    Parameters
    ----------
    name
        What was looked at.
    verdict
        ``refused`` forbids the start.
    what
        What was found, with its figures; with ``refused`` also how to mend it.
    exit_code
        Of a refusal: 2 for what a person must set otherwise, 1 for what may pass.
    """

    name: str
    verdict: Verdict
    what: str
    exit_code: int = EXIT_DONE


class Preflight:
    """The checks of a plan.

    Parameters
    ----------
    plan
        What shall be traded.
    environment
        Instead of the process's.
    transport
        Replaces the network for signed questions in tests.
    """

    def __init__(
        self,
        plan: LivePlan,
        *,
        environment: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.plan = plan
        self._environment = os.environ if environment is None else environment
        self._transport = transport
        self._found: Found = {}

    def run(self) -> list[Finding]:
        """Look at everything, in a loop of its own; what refuses does not end the check."""
        return asyncio.run(self.findings())

    async def findings(self) -> list[Finding]:
        """Look at everything."""
        async with PublicRest(self.plan.settings) as rest:
            found = [await _guarded("journal", self._journal()), await _guarded("disk", self._disk())]
            for venue in self.plan.venues:
                name = venue.venue_name
                found.append(await _guarded(f"keys {name}", self._keys(venue)))
                found.append(await _guarded(f"clock {name}", self._clock(venue, rest)))
                found.append(await _guarded(f"instruments {name}", self._instruments(venue, rest)))
        found += [await _guarded(f"model {one.spec.name}", self._models(one)) for one in self.plan.strategies]
        found.append(await _guarded("limits", self._limits()))
        return found

    async def _journal(self) -> Finding:
        if not journal_url(self.plan.settings.journal):
            raise ConfigurationError(
                f"{URL_VARIABLE}=off: paper and live are always journaled; name a database or unset it"
            )
        return Finding(name="journal", verdict="ok", what=self.plan.settings.journal.spool)

    async def _disk(self) -> Finding:
        folder = Path(self.plan.settings.live.folder)
        place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        free = shutil.disk_usage(place).free // MIB
        least = self.plan.settings.live.min_disk_mb
        if free < least:
            raise ConfigurationError(
                f"{place}: {free:,} MiB are free, less than live.min_disk_mb ({least:,})"
            )
        return Finding(name="disk", verdict="ok", what=f"{free:,} MiB free at {place}")

    async def _keys(self, venue: LiveVenue) -> Finding:
        name = f"keys {venue.venue_name}"
        if self.plan.mode == "paper":
            return Finding(name=name, verdict="ok", what="paper needs none and uses none")
        keys = require_keys(venue, self._environment)
        try:
            allowed = await permissions_of(venue, keys, transport=self._transport)
        except NotToldError as error:
            if venue.environment == "live" and venue.hosts.http is None:
                raise VenueError(f"{error}: what this key may do is not known, try again later") from error
            words = "present; this venue does not tell what a key may do: make sure that it cannot withdraw"
            return Finding(name=name, verdict="warning", what=words)
        if allowed.may_withdraw:
            raise ConfigurationError(
                f"the key of {venue.venue_name} may withdraw: make one that may only trade "
                "(docs/how-to/live.md)"
            )
        if not allowed.may_trade:
            raise ConfigurationError(
                f"the key of {venue.venue_name} may not trade on {venue.venue} {venue.market}: allow it "
                "at the venue"
            )
        weak = []
        if not allowed.is_bound:
            weak.append("may trade, from any address: bind it to this machine's (docs/how-to/live.md)")
        if allowed.may_transfer:
            weak.append("may move money to other accounts: take that permission away at the venue")
        if weak:
            return Finding(name=name, verdict="warning", what="; ".join(weak))
        return Finding(
            name=name, verdict="ok", what="may trade and not withdraw, from listed addresses alone"
        )

    async def _clock(self, venue: LiveVenue, rest: PublicRest) -> Finding:
        offset = await measured_offset(rest.of(venue))
        secs, limit = -offset.offset_ns / NANOS, self.plan.settings.live.data.max_clock_offset_secs
        if offset.least_ns > limit * NANOS:
            raise ConfigurationError(
                f"the clock is {secs:+.3f} s off {venue.venue_name}, more than {limit:g} s: synchronise it "
                "(NTP)"
            )
        return Finding(name=f"clock {venue.venue_name}", verdict="ok", what=f"{secs:+.3f} s off")

    async def _instruments(self, venue: LiveVenue, rest: PublicRest) -> Finding:
        listed = {one.symbol: one for one in await rest.of(venue).symbols()}
        words = []
        for name in self.plan.instruments_of(venue):
            symbol = symbol_of(name, venue)
            if symbol not in listed:
                raise ConfigurationError(f"{name}: {venue.venue} {venue.market} lists no {symbol}")
            terms = listed[symbol]
            if not terms.is_trading:
                raise ConfigurationError(f"{name}: {venue.venue} {venue.market} does not trade it now")
            self._found[name] = venue_instrument(venue.venue, venue.market, terms, "exchange-info")
            words.append(f"{symbol} tick {terms.tick_size.normalize():f} lot {terms.lot_size.normalize():f}")
        shown = ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")
        return Finding(name=f"instruments {venue.venue_name}", verdict="ok", what=shown)

    async def _models(self, planned: Any) -> Finding:
        name = f"model {planned.spec.name}"
        folders = {str(one.config["model"]) for one in planned.configs if one.config.get("model")}
        if not folders:
            return Finding(name=name, verdict="ok", what="none is used")
        known = [self._found[one] for one in planned.instruments if one in self._found]
        if len(known) < len(planned.instruments):
            return Finding(name=name, verdict="warning", what="not looked at: instruments are missing")
        now_ns = time.time_ns()
        for config in planned.configs:
            own = config.config.get("instrument_id")
            if own is None:
                require_signal_model(planned.spec, config, known, now_ns)
            else:
                require_model(planned.spec, config, self._found[own], now_ns)
        return Finding(name=name, verdict="ok", what=f"{', '.join(sorted(folders))} may decide here")

    async def _limits(self) -> Finding:
        words = [
            f"{one.spec.name}: {one.configs[0].config['risk_per_trade_pct']} % per trade"
            for one in self.plan.strategies
            if "risk_per_trade_pct" in one.configs[0].config
        ]
        limits = msgspec.to_builtins(self.plan.settings.live.limits)
        words += [f"{name} {value}" for name, value in limits.items() if value not in OFF]
        return Finding(name="limits", verdict="ok", what="; ".join(words) or "none")


async def _guarded(name: str, look: Awaitable[Finding]) -> Finding:
    """Return a finding; an error of the operator's or of the venue's becomes a refusal."""
    try:
        return await look
    except OperatorError as error:
        return Finding(name=name, verdict="refused", what=str(error), exit_code=error.exit_code)


def exit_code_of(findings: Iterable[Finding]) -> int:
    """Return 0 where nothing refuses, 2 where a person must set something, else 1."""
    codes = {one.exit_code for one in findings if one.verdict == "refused"}
    return EXIT_MISUSE if EXIT_MISUSE in codes else EXIT_FAILED if codes else EXIT_DONE


def require_passed(findings: Sequence[Finding]) -> None:
    """Raise what refuses a start, the gravest first, as one line.

    Raises
    ------
    ConfigurationError, VenueError
        See `exit_code_of`.
    """
    refused = sorted((one for one in findings if one.verdict == "refused"), key=lambda one: -one.exit_code)
    if refused:
        more = f" (and {len(refused) - 1} more: run --check)" if len(refused) > 1 else ""
        kind = ConfigurationError if refused[0].exit_code == EXIT_MISUSE else VenueError
        raise kind(f"{refused[0].what}{more}")


def key_variables(plan: LivePlan) -> list[str]:
    """Return the environment variables that hold keys of the plan's accounts."""
    return [name for venue in plan.venues for pair in variable_names(venue) for name in pair]


__all__ = [
    "Finding",
    "Preflight",
    "exit_code_of",
    "key_variables",
    "keys_of",
    "require_passed",
]
