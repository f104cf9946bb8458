"""Who hears of what, and when: the rules of notifications, without a thread."""

from typing import Any

import pytest

from runtime.errors import ConfigurationError
from runtime.notify.channels import check_tags, open_channels, parse_addresses
from runtime.notify.events import TERMS, Event, EventKind, Severity
from runtime.notify.outbox import LINES, Inbox, Message, Outbox
from runtime.notify.routing import NANOS, Route, Router, TokenBucket, is_quiet, is_wanted
from runtime.notify.settings import EventRule, EventRules, NotifySettings, QuietHours
from runtime.settings import parse_settings

SECOND, MINUTE, HOUR = NANOS, 60 * NANOS, 3600 * NANOS
MIDNIGHT = 20_531 * 24 * HOUR  # 2026-03-19, Berlin is an hour ahead
OPS = frozenset({"ops"})


def event(kind: EventKind = EventKind.FILL, text: str = "XRPUSDT.BINANCE filled", **more: Any) -> Event:
    """Return an event at midnight."""
    return Event(kind=kind, ts_ns=MIDNIGHT, text=text, **more)


def outbox(settings: NotifySettings) -> Outbox:
    """Return the box of a channel with the tag ops."""
    return Outbox(Router(settings, "paper", OPS), settings, "smcbot paper")


def sent(message: Message | None) -> list[str]:
    """Return the lines of a message."""
    assert message is not None
    return message.body.splitlines()


def test_every_kind_has_terms_and_a_rule() -> None:
    """Enum, defaults and settings name the same events."""
    assert list(TERMS) == list(EventKind)
    assert set(EventRules.__struct_fields__) == {one.value for one in EventKind}


def test_signals_are_off_by_default_and_a_backtest_tells_its_end_only() -> None:
    """Signals are many; a backtest has nobody at the screen for each fill."""
    plain = NotifySettings()
    told = {one for one in EventKind if is_wanted(event(one), OPS, plain, "live")}
    assert set(EventKind) - told == {EventKind.SIGNAL, EventKind.SIGNAL_SKIPPED}
    told = {one for one in EventKind if is_wanted(event(one), OPS, plain, "backtest")}
    assert told == {EventKind.BACKTEST_FINISHED, EventKind.TEST}


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        (EventRule(), True),
        (EventRule(enabled=False), False),
        (EventRule(minimum=Severity.WARNING), False),
        (EventRule(channels=("ops",)), True),
        (EventRule(channels=("night", "mail")), False),
    ],
)
def test_rules_choose_by_switch_severity_and_tag(rule: EventRule, is_told: bool) -> None:
    """A rule can switch off, ask for more severity, or name other channels."""
    settings = NotifySettings(events=EventRules(fill=rule))
    assert is_wanted(event(), OPS, settings, "paper") is is_told


@pytest.mark.parametrize(
    ("hours", "ts_ns", "quiet"),
    [
        (QuietHours(start="22:00", end="07:00"), MIDNIGHT, True),
        (QuietHours(start="22:00", end="07:00"), MIDNIGHT + 7 * HOUR - 1_000, True),
        (QuietHours(start="22:00", end="07:00"), MIDNIGHT + 7 * HOUR, False),
        (QuietHours(start="22:00", end="07:00"), MIDNIGHT + 22 * HOUR, True),
        (QuietHours(start="00:30", end="01:30"), MIDNIGHT, False),
        (QuietHours(start="00:30", end="01:30", timezone="Europe/Berlin"), MIDNIGHT, True),
        (None, MIDNIGHT, False),
    ],
)
def test_quiet_hours_go_over_midnight_and_know_time_zones(
    hours: QuietHours | None, ts_ns: int, quiet: bool
) -> None:
    """Start belongs to them, end does not."""
    assert is_quiet(hours, ts_ns) is quiet


def test_quiet_hours_hold_back_all_but_critical_and_sum_up_after_them() -> None:
    """What was held is told as counts in the morning."""
    settings = NotifySettings(quiet_hours=QuietHours(start="22:00", end="07:00"), batch_secs=0)
    box = outbox(settings)
    box.take(event(), MIDNIGHT)
    box.take(event(), MIDNIGHT)
    box.take(event(EventKind.START), MIDNIGHT)
    assert box.due(MIDNIGHT + HOUR) is None
    box.take(event(EventKind.HALT, "XRPUSDT.BINANCE halted"), MIDNIGHT + HOUR)
    assert sent(box.due(MIDNIGHT + HOUR)) == ["CRITICAL XRPUSDT.BINANCE halted"]
    assert sent(box.due(MIDNIGHT + 7 * HOUR)) == ["held back: 2 fill, 1 start"]
    assert box.due(MIDNIGHT + 8 * HOUR) is None
    assert box.held_total == 3


def test_a_token_bucket_allows_a_burst_and_then_its_rate() -> None:
    """Two at once, then one each 30 seconds; time that goes back breaks nothing."""
    bucket = TokenBucket(burst=2, per_minute=2.0)
    taken = [
        bucket.take(MIDNIGHT + second * SECOND) for second in (0, 0, 0, 29, 30, 31, 60, 5, 600, 600, 600)
    ]
    assert taken == [True, True, False, False, True, False, True, False, True, True, False]
    assert bucket.next_ns(MIDNIGHT + 600 * SECOND) == MIDNIGHT + 630 * SECOND
    assert all(TokenBucket(burst=1, per_minute=0).take(MIDNIGHT) for _ in range(9))


def test_a_flood_is_counted_and_summed_up_and_leaves_other_kinds_alone() -> None:
    """Each kind has its own rate; when it has a token again the rest is told as a count."""
    box = outbox(NotifySettings(burst=2, per_minute=1, batch_secs=0))
    for number in range(50):
        box.take(event(text=f"fill {number}"), MIDNIGHT)
    box.take(event(EventKind.TARGET_HIT, "target"), MIDNIGHT)
    assert sent(box.due(MIDNIGHT)) == ["fill 0", "fill 1", "target"]
    assert box.due(MIDNIGHT + 59 * SECOND) is None
    assert sent(box.due(MIDNIGHT + MINUTE)) == ["held back: 48 fill"]


def test_events_of_one_batch_become_one_message_and_critical_does_not_wait() -> None:
    """Within three seconds one message; a halt takes along what waits, and comes first."""
    box = outbox(NotifySettings(batch_secs=3, burst=100))
    box.take(event(text="one"), MIDNIGHT)
    box.take(event(text="two"), MIDNIGHT + 2 * SECOND)
    assert box.due(MIDNIGHT + 3 * SECOND - 1) is None
    message = box.due(MIDNIGHT + 3 * SECOND)
    assert sent(message) == ["one", "two"]
    assert message is not None
    assert message.title == "smcbot paper: fill and 1 more"
    box.take(event(text="three"), MIDNIGHT + 4 * SECOND)
    box.take(event(EventKind.HALT, "halted"), MIDNIGHT + 4 * SECOND)
    assert sent(box.due(MIDNIGHT + 4 * SECOND)) == ["CRITICAL halted", "three"]


def test_a_long_batch_is_told_in_several_messages() -> None:
    """Chats limit the length of a message; nothing is cut off."""
    box = outbox(NotifySettings(batch_secs=0, burst=100))
    for number in range(LINES + 4):
        box.take(event(text=str(number)), MIDNIGHT)
    lines = sent(box.due(MIDNIGHT)) + sent(box.due(MIDNIGHT))
    assert lines == [str(number) for number in range(LINES + 4)]


def test_a_full_box_drops_its_oldest_that_is_not_critical() -> None:
    """Critical events stay as long as there is another to drop."""
    box = Inbox(3)
    for one in (event(EventKind.HALT, "halt"), event(text="1"), event(text="2"), event(text="3")):
        box.put(one)
    assert box.dropped == 1
    assert [one.text for one in box.take_all()] == ["halt", "2", "3"]
    for number in range(4):
        box.put(event(EventKind.HALT, str(number)))
    box.put(event(text="late"))
    assert [one.text for one in box.take_all()] == ["1", "2", "3"]
    assert box.dropped == 3


def test_lost_events_are_admitted_once() -> None:
    """What could not be delivered is counted in the next message that can."""
    box = outbox(NotifySettings(batch_secs=0))
    box.take(event(), MIDNIGHT)
    message = box.due(MIDNIGHT)
    assert message is not None
    box.give_up(message)
    admitted = box.due(MIDNIGHT)
    assert sent(admitted) == ["1 events were lost: this channel was too slow or did not answer"]
    assert admitted is not None
    box.give_up(admitted)
    assert sent(box.due(MIDNIGHT))[0].startswith("1 events were lost")
    assert box.due(MIDNIGHT) is None
    assert box.dropped == 1


def test_a_rule_routes_before_it_takes_a_token() -> None:
    """Events that a channel does not want do not use up its rate."""
    settings = NotifySettings(burst=1, per_minute=1, events=EventRules(fill=EventRule(channels=("mail",))))
    router = Router(settings, "paper", OPS)
    assert [router.route(event(), MIDNIGHT) for _ in range(3)] == [Route.IGNORE] * 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "notifications: {events: {fil: {enabled: false}}}",
            "events.fil, did you mean fill?",
        ),
        ("notifications: {urls: [x]}", "unknown setting $.notifications.urls"),
        ("notifications: {quiet_hours: {start: 1, end: '07:00'}}", "$.notifications.quiet_hours.start"),
        ("notifications: {quiet_hours: {start: '7:00', end: '08:00'}}", "'7:00' is not a time of day"),
        (
            "notifications: {quiet_hours: {start: '07:00', end: '08:00', timezone: Europe/Berln}}",
            "timezone 'Europe/Berln' is not known",
        ),
        ("notifications: {minimum: loud}", "$.notifications.minimum"),
        ("notifications: {backoff_secs: 9, backoff_max_secs: 2}", "must not be below backoff_secs"),
        ("notifications: {events: {fill: {channels: ['My Phone']}}}", "channel tag 'My Phone'"),
    ],
)
def test_settings_are_refused_with_their_path(text: str, part: str) -> None:
    """Wrong settings name the file, the path and the way out."""
    with pytest.raises(ConfigurationError) as refusal:
        parse_settings(text)
    assert part in str(refusal.value)


def test_addresses_have_tags_and_are_never_shown() -> None:
    """Entries are separated by white space; neither the text form nor an error shows an address."""
    one, two = parse_addresses("ops,night=json://canarycanary@127.0.0.1/x\n tgram://123:canarycanary/9")
    assert (one.tags, two.tags) == (frozenset({"ops", "night"}), frozenset())
    assert "canary" not in repr([one, two])
    with pytest.raises(ConfigurationError) as refusal:
        parse_addresses("json://127.0.0.1 ops=canarycanary")
    assert "entry 2" in str(refusal.value)
    assert "canary" not in str(refusal.value)
    with pytest.raises(ConfigurationError) as refusal:
        open_channels(1.0, console=False, environment={"TRADING_NOTIFY_URLS": "nothing://canarycanary"})
    assert "1:nothing" in str(refusal.value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "urls", "tags"),
    [
        ("json://a,json://b", ["json://a", "json://b"], ["", ""]),
        ("json://a, json://b,", ["json://a", "json://b"], ["", ""]),
        ("ops,x=json://a,y,z=tgram://b/c", ["json://a", "tgram://b/c"], ["ops,x", "y,z"]),
        ("mailto://u:p@h?to=m@x.y,n@x.y,json://b", ["mailto://u:p@h?to=m@x.y,n@x.y", "json://b"], ["", ""]),
    ],
)
def test_commas_separate_addresses_too(text: str, urls: list[str], tags: list[str]) -> None:
    """Where an entry begins behind them; those of tags and of an address stay."""
    found = parse_addresses(text)
    assert [one.url for one in found] == urls
    assert [one.tags for one in found] == [frozenset(one.split(",")) - {""} for one in tags]


def test_a_rule_about_a_channel_that_does_not_exist_is_refused() -> None:
    """Nobody would hear that event."""
    channels = open_channels(1.0, console=True, environment={"TRADING_NOTIFY_URLS": "ops=json://127.0.0.1"})
    check_tags({"halt": ("ops", "console")}, channels)
    with pytest.raises(ConfigurationError, match=r"no channel has the tag 'phone' - at .*events\.halt"):
        check_tags({"halt": ("phone",)}, channels)


def test_data_are_the_last_lines_where_the_rule_asks() -> None:
    """One line per event of that kind, never cut, each value either a word or JSON; others tell text only."""
    settings = NotifySettings(batch_secs=0, events=EventRules(fill=EventRule(with_data=True)))
    box = outbox(settings)
    data = {"qty": "100.0", "why": 'said "no"', "note": "x" * 200, "price": 0.5, "none": None}
    box.take(event(data=data), MIDNIGHT)
    box.take(event(EventKind.ENTRY, "XRPUSDT.BINANCE entry", data={"qty": "1"}), MIDNIGHT)
    *texts, last = sent(box.due(MIDNIGHT))
    assert texts == ["XRPUSDT.BINANCE filled", "XRPUSDT.BINANCE entry"]
    head, _, rest = last.partition(" qty=")
    assert head == f"kind=fill ts_ns={MIDNIGHT}"
    assert rest == f'100.0 why="said \\"no\\"" note={"x" * 200} price=0.5 none=null'
