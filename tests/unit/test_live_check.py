"""What `--check` finds before anything trades, and how the command answers; venues are loopback servers."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import live_node
from runtime.live.addresses import adapter_addresses
from runtime.live.check import Preflight, _guarded, exit_code_of, require_passed
from runtime.live.command import require_approved
from runtime.live.permissions import bybit_permissions
from runtime.live.plan import effective_config, plan_live
from runtime.settings import parse_settings
from tests.fake_binance import GOOD, KEY, SECRET, XRP, FakeBinance
from tests.local_server import local_server


@pytest.fixture
def binance(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBinance]:
    """Give a venue that is well, and set the keys of an account there."""
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    monkeypatch.delenv("SMCBOT_JOURNAL_URL", raising=False)
    fake = FakeBinance()
    with local_server(fake) as server:
        fake.address = server.address
        yield fake


def settings_file(folder: Path, address: str, **live: Any) -> Path:
    """Write the settings of a node on a local venue; nothing is tried twice."""
    content = {
        "journal": {"url": f"sqlite:///{folder}/journal.sqlite", "spool": str(folder / "spool")},
        "download": {"retries": 0, "timeout_secs": 5},
        "live": {
            "folder": str(folder / "live"),
            "min_disk_mb": 1,
            "venues": [{"venue": "binance", "market": "spot", "hosts": {"http": address}}],
            **live,
        },
        "strategies": [{"strategy": "ote", "instruments": ["XRPUSDT.BINANCE"]}],
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def findings(file: Path, mode: str = "live") -> dict[str, tuple[str, str]]:
    """Check a settings file; return verdict and words by name."""
    found = Preflight(plan_live(parse_settings(file.read_text()), mode)).run()
    return {one.name: (one.verdict, one.what) for one in found}


def test_a_sound_account_is_ready(tmp_path: Path, binance: FakeBinance) -> None:
    """Keys that trade and nothing else, a clock that agrees, an instrument that trades."""
    found = findings(settings_file(tmp_path, binance.address))
    assert {verdict for verdict, _words in found.values()} == {"ok"}
    assert found["keys BINANCE"][1] == "may trade and not withdraw, from listed addresses alone"
    assert found["instruments BINANCE"][1] == "XRPUSDT tick 0.0001 lot 0.1"
    assert found["limits"][1].startswith("ote: 1.0 % per trade")


def test_a_key_that_can_take_money_out_is_refused(tmp_path: Path, binance: FakeBinance) -> None:
    """Whoever gets at the program must not get at the money."""
    binance.restrictions = GOOD | {"enableWithdrawals": True}
    verdict, words = findings(settings_file(tmp_path, binance.address))["keys BINANCE"]
    assert (verdict, "may withdraw" in words) == ("refused", True)


@pytest.mark.parametrize(
    ("restrictions", "verdict", "words"),
    [
        (GOOD | {"enableSpotAndMarginTrading": False}, "refused", "may not trade on binance spot"),
        (GOOD | {"ipRestrict": False}, "warning", "from any address"),
        (GOOD | {"enableInternalTransfer": True}, "warning", "may move money to other accounts"),
        (GOOD | {"permitsUniversalTransfer": True}, "warning", "may move money to other accounts"),
        (None, "warning", "does not tell what a key may do"),
    ],
)
def test_what_a_key_may_do_is_judged(
    tmp_path: Path, binance: FakeBinance, restrictions: Any, verdict: str, words: str
) -> None:
    """It must trade, should be bound to addresses, and a venue that does not tell is said to be one."""
    binance.restrictions = restrictions
    found = findings(settings_file(tmp_path, binance.address))["keys BINANCE"]
    assert found[0] == verdict
    assert words in found[1]


@pytest.mark.parametrize(("environment", "verdict"), [("live", "refused"), ("testnet", "warning")])
def test_a_question_that_the_real_venue_does_not_know_opens_nothing(
    monkeypatch: pytest.MonkeyPatch, environment: str, verdict: str
) -> None:
    """404 of the venue's own host is no permission: an address that moved must not let a key pass."""
    for prefix in ("BINANCE", "BINANCE_SPOT_TESTNET", "BINANCE_TESTNET"):
        monkeypatch.setenv(f"{prefix}_API_KEY", KEY)
        monkeypatch.setenv(f"{prefix}_API_SECRET", SECRET)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(404, text="<html>")

    content = {
        "live": {"venues": [{"venue": "binance", "market": "spot", "environment": environment}]},
        "strategies": [{"strategy": "ote", "instruments": ["XRPUSDT.BINANCE"]}],
    }
    plan = plan_live(parse_settings(yaml.safe_dump(content)), "live")
    check = Preflight(plan, transport=httpx.MockTransport(answer))
    found = asyncio.run(_guarded("keys BINANCE", check._keys(plan.venues[0])))
    assert found.verdict == verdict
    assert asked[0].endswith("binance.com" if environment == "live" else "binance.vision")


def test_a_wrong_secret_is_told_by_the_venue(
    tmp_path: Path, binance: FakeBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue's own words, and neither key nor secret."""
    monkeypatch.setenv("BINANCE_API_SECRET", "another" * 9)
    verdict, words = findings(settings_file(tmp_path, binance.address))["keys BINANCE"]
    assert verdict == "refused"
    assert "-1022" in words
    assert KEY not in words
    assert "another" not in words


def test_a_key_that_the_venue_refuses_is_mended_by_a_person(
    tmp_path: Path, binance: FakeBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, as docs/how-to/live.md says: it does not pass by itself."""
    monkeypatch.setenv("BINANCE_API_SECRET", "another" * 9)
    plan = plan_live(parse_settings(settings_file(tmp_path, binance.address).read_text()), "live")
    found = Preflight(plan).run()
    assert [one.name for one in found if one.verdict == "refused"] == ["keys BINANCE"]
    assert exit_code_of(found) == 2


def test_permissions_of_a_recorded_bybit_key(shared_data: Path) -> None:
    """The vendor's own example is read-only, bound to addresses, and may not withdraw."""
    answer = json.loads((shared_data / "wire/bybit/http_get_user_query_api.json").read_text())["result"]
    assert not bybit_permissions(answer, "spot").may_trade
    assert bybit_permissions(answer | {"readOnly": 0}, "linear").may_trade
    assert bybit_permissions(answer, "spot").is_bound
    out = answer | {"permissions": answer["permissions"] | {"Wallet": ["AccountTransfer", "Withdraw"]}}
    assert bybit_permissions(out, "spot").may_withdraw
    assert bybit_permissions(out, "spot").may_transfer
    assert not bybit_permissions(answer | {"permissions": {"Spot": ["SpotTrade"]}}, "spot").may_transfer


@pytest.mark.parametrize(("skew_ms", "verdict"), [(1_900, "refused"), (-1_900, "refused"), (100, "ok")])
def test_a_clock_that_is_off_forbids_the_start(
    tmp_path: Path, binance: FakeBinance, skew_ms: int, verdict: str
) -> None:
    """Beyond a second a venue refuses orders, in either direction."""
    binance.skew_ms = skew_ms
    assert findings(settings_file(tmp_path, binance.address), "paper")["clock BINANCE"][0] == verdict


@pytest.mark.parametrize(
    ("symbol", "words"),
    [(XRP | {"symbol": "ADAUSDT"}, "lists no XRPUSDT"), (XRP | {"status": "BREAK"}, "does not trade it now")],
)
def test_an_instrument_must_exist_and_trade(
    tmp_path: Path, binance: FakeBinance, symbol: dict[str, Any], words: str
) -> None:
    """A delisted symbol would be found out by the first order."""
    binance.symbol = symbol
    verdict, told = findings(settings_file(tmp_path, binance.address), "paper")["instruments BINANCE"]
    assert verdict == "refused"
    assert words in told


def test_a_model_that_is_not_there_forbids_the_start(tmp_path: Path, binance: FakeBinance) -> None:
    """Models are loaded as the strategy will, while a person can still be told."""
    file = settings_file(tmp_path, binance.address)
    content = yaml.safe_load(file.read_text())
    content["strategies"][0]["model"] = str(tmp_path / "no-model")
    file.write_text(yaml.safe_dump(content))
    verdict, words = findings(file, "paper")["model ote"]
    assert verdict == "refused"
    assert "no-model" in words


def test_exit_code_is_the_gravest(tmp_path: Path, binance: FakeBinance) -> None:
    """What a person must set counts before what passes by itself."""
    file = settings_file(tmp_path, binance.address)
    plan = plan_live(parse_settings(file.read_text()), "live")
    binance.restrictions = GOOD | {"enableWithdrawals": True}
    assert exit_code_of(Preflight(plan).run()) == 2
    away = plan_live(parse_settings(settings_file(tmp_path, "http://127.0.0.1:9").read_text()), "paper")
    found = Preflight(away).run()
    assert exit_code_of(found) == 1
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9.*and 1 more: run --check"):
        require_passed(found)


def test_check_prints_the_settings_with_their_hash(
    tmp_path: Path, binance: FakeBinance, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object on stdout, and the hash is that of the settings in it; nothing is written."""
    file = settings_file(tmp_path, binance.address)
    assert live_node.main(["--mode", "live", "--config", str(file), "--check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = effective_config(plan_live(parse_settings(file.read_text()), "live"))
    assert told["config_sha256"] == told["config"]["config_sha256"] == expected["config_sha256"]
    assert told["verdict"] == "ready"
    assert KEY not in json.dumps(told)
    assert SECRET not in json.dumps(told)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_check_for_people_ends_with_the_hash(
    tmp_path: Path, binance: FakeBinance, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings as YAML on stdout, findings on stderr, and exit 2 where something refuses."""
    binance.symbol = XRP | {"symbol": "ADAUSDT"}
    file = settings_file(tmp_path, binance.address)
    assert live_node.main(["--config", str(file), "--check"]) == 2
    out, err = capsys.readouterr()
    config = yaml.safe_load(out)
    assert "refused  instruments BINANCE: XRPUSDT.BINANCE: binance spot lists no XRPUSDT" in err
    assert err.rstrip().endswith(config["config_sha256"])
    assert "Traceback" not in err


def test_live_needs_the_hash_of_exactly_these_settings(
    tmp_path: Path, binance: FakeBinance, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it, or with that of other settings, nothing is asked of the venue and nothing starts."""
    file = settings_file(tmp_path, binance.address)
    for words in ([], ["--live-approved", "0" * 64]):
        assert live_node.main(["--mode", "live", "--config", str(file), *words]) == 2
    told = capsys.readouterr().err
    assert "run it with --check" in told
    assert "is not the hash of these settings" in told
    approved = effective_config(plan_live(parse_settings(file.read_text()), "live"))["config_sha256"]
    assert approved not in told
    require_approved(approved, approved)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--config", "missing.yaml"], 2, "no such settings file"),
        (["--mode", "real"], 2, "invalid choice: 'real'"),
        (["--json"], 2, "--json belongs to --check"),
    ],
)
def test_misuse_is_one_line(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong and how to mend it, without a traceback."""
    assert live_node.main(words) == code
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_an_unreachable_venue_is_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may pass by itself: nothing in the settings is wrong."""
    monkeypatch.delenv("SMCBOT_JOURNAL_URL", raising=False)
    file = settings_file(tmp_path, "http://127.0.0.1:9")
    assert live_node.main(["--config", str(file)]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_the_default_is_paper_on_the_real_venue() -> None:
    """Without a mode nothing costs money, and without hosts the effective addresses are the venue's own."""
    text = "live: {venues: [{venue: binance, market: spot}]}\n"
    text += "strategies: [{strategy: ote, instruments: [XRPUSDT.BINANCE]}]"
    arguments = live_node.command_line().parse_args(["run"])
    assert arguments.mode == "paper"
    plan = plan_live(parse_settings(text), arguments.mode)
    assert effective_config(plan)["node"]["addresses"]["BINANCE"]["http"] == "https://api.binance.com"
    assert adapter_addresses(plan.venues[0]).http == "https://api.binance.com"
