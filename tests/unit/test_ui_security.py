"""Every line of the terminal's security: each test fails when its protection is taken away."""

import re
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ui_server import (
    CSRF,
    HOST,
    OPERATOR_TOKEN,
    ORIGIN,
    SECRET,
    VIEWER_TOKEN,
    Server,
    command,
    environment,
    make_server,
    person,
)
from ui import protocol as p
from ui.__main__ import main
from ui.server.access import _PUBLIC
from ui.server.accounts import Accounts
from ui.server.addresses import network
from ui.server.frames import Window
from ui.server.guard import ROLE, SOCKET_PATH, Environ, Guard, Start
from ui.server.hub import Hub
from ui.server.sessions import Sessions
from ui.server.settings import ServerSettings, persisted_secret, why_not_bind
from ui.terminal_state import TerminalState

COMMANDS = "/api/v1/commands"
COOKIE = ServerSettings().cookie
# What needs no login; everything else does.
PUBLIC = {
    "/", "/<name>", "/assets/<path:name>", "/pages/<name>", "/docs", "/login", "/health",
    "/api/v1/health", "/openapi.json",
}  # fmt: skip


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with a 32nd of the work: dozens of real ones would take the tests half a minute."""
    monkeypatch.setattr("ui.server.accounts.METHOD", "scrypt:1024:8:1")
    monkeypatch.setattr("ui.server.accounts._NOBODY", [])


@pytest.fixture
def server(cheap_hashes: None) -> Server:
    """Give a server with an operator's, a viewer's token and a shared secret."""
    return make_server()


class TestAddress:
    """127.0.0.1 unless somebody insists, with accounts and TLS."""

    def test_it_listens_on_loopback_by_default(self) -> None:
        """Who wants more says so."""
        assert ServerSettings().host == "127.0.0.1"

    @pytest.mark.parametrize(
        ("host", "accounts", "tls", "plain", "may"),
        [
            ("127.0.0.1", False, False, False, True),
            ("localhost", False, False, False, True),
            ("::1", False, False, False, True),
            ("0.0.0.0", False, False, False, False),
            ("0.0.0.0", True, False, False, False),
            ("0.0.0.0", False, True, False, False),
            ("0.0.0.0", False, False, True, False),
            ("192.168.1.5", True, True, False, True),
            ("192.168.1.5", True, False, True, True),
        ],
    )
    def test_elsewhere_needs_accounts_and_tls_or_an_explicit_word(
        self, host: str, accounts: bool, tls: bool, plain: bool, may: bool
    ) -> None:
        """Accounts in any case: a token that was made up is shown on a screen."""
        reason = why_not_bind(host, has_accounts=accounts, is_encrypted=tls, accepts_plain=plain)
        assert (reason is None) == may

    def test_the_command_refuses_with_exit_2(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """One line that says what to do."""
        monkeypatch.chdir(tmp_path)
        assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
        assert "configure accounts" in capsys.readouterr().err
        for name, value in environment().items():
            monkeypatch.setenv(name, value)
        assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
        assert "plain text" in capsys.readouterr().err


class TestProxies:
    """What a proxy says of others is believed, and of nobody else."""

    def test_only_the_proxy_is_answered(self) -> None:
        """On this machine, unless an address is given; the refusal names who really asked."""
        server = make_server(is_proxied=True)
        assert server.client().get("/health").status_code == 200
        assert server.client(REMOTE_ADDR="::1").get("/health").status_code == 200
        for path in ("/health", "/login", "/socket.io/?EIO=4&transport=websocket"):
            refused = server.client(REMOTE_ADDR="192.168.1.9").get(
                path, headers={"X-Forwarded-For": "10.9.9.9"}
            )
            assert (refused.status_code, refused.headers["X-Frame-Options"]) == (403, "DENY")
        assert {note[1:] for note in server.audit.notes} == {
            ("rest 192.168.1.9", "request", "refused", "not by the proxy")
        }
        given = make_server(is_proxied=True, proxies=(network("192.168.1.0/24"),))
        assert given.client(REMOTE_ADDR="192.168.1.9").get("/health").status_code == 200
        assert given.client(REMOTE_ADDR="::ffff:192.168.1.9").get("/health").status_code == 200
        assert given.client().get("/health").status_code == 403

    @pytest.mark.usefixtures("cheap_hashes")
    def test_an_address_of_the_proxy_is_counted_and_audited(self) -> None:
        """The last one that stands in the header: what the asker wrote himself stands before it."""
        server = make_server(is_proxied=True)
        for number in range(6):
            headers = {"X-Forwarded-For": f"10.0.0.{number}, 10.9.9.9"}
            answer = server.client().post("/login", json={"password": "x"}, headers=headers)
        assert answer.status_code == 429
        assert {note[1] for note in server.audit.notes} == {"rest 10.9.9.9"}

    @pytest.mark.usefixtures("cheap_hashes")
    def test_without_a_proxy_the_header_means_nothing(self, server: Server) -> None:
        """Neither for limits nor for the audit."""
        for number in range(6):
            headers = {"X-Forwarded-For": f"10.0.0.{number}"}
            answer = server.client().post("/login", json={"password": "x"}, headers=headers)
        assert answer.status_code == 429
        assert {note[1] for note in server.audit.notes} == {"rest 127.0.0.1"}

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--proxy", "10.0.0.1"], "give both"),
            (["--behind-proxy", "--proxy", "proxy.example"], "expected"),
        ],
    )
    def test_a_proxy_that_makes_no_sense_ends_the_start(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
        words: list[str], says: str,
    ) -> None:  # fmt: skip
        """Exit 2 and one line."""
        monkeypatch.chdir(tmp_path)
        assert main(["serve", "--port", "0", *words]) == 2
        assert says in capsys.readouterr().err


class TestAccounts:
    """Passwords as hashes, tokens and roles from the environment."""

    def test_a_password_is_kept_as_a_salted_hash_only(self) -> None:
        """Twice the same password is twice something else."""
        one, other = person(), person()
        assert "correct horse" not in one
        assert one != other
        assert one.startswith("anna,operator,scrypt:32768:8:1$")

    @pytest.mark.usefixtures("cheap_hashes")
    def test_only_the_right_password_logs_in(self) -> None:
        """With the role of the entry."""
        accounts = Accounts.of(
            {"SMCBOT_TERMINAL_USERS": f"{person()} {person('bob', 'viewer', 'battery staple')}"}
        )
        anna, bob = accounts.log_in("anna", "correct horse"), accounts.log_in("bob", "battery staple")
        assert (anna and anna.role, bob and bob.role) == ("operator", "viewer")
        for name, password in [("anna", "battery staple"), ("anna", ""), ("eve", "correct horse"), ("", "x")]:
            assert accounts.log_in(name, password) is None

    def test_an_unknown_name_costs_a_hash_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else its answer comes sooner, and names can be guessed."""
        from ui.server import accounts as module

        checked: list[str] = []
        monkeypatch.setattr(module, "check_password_hash", lambda known, _: checked.append(known) or False)
        accounts = Accounts.of({"SMCBOT_TERMINAL_USERS": person()})
        for name in ("anna", "eve"):
            assert accounts.log_in(name, "x") is None
        assert [one.split("$")[0] for one in checked] == ["scrypt:32768:8:1"] * 2

    def test_without_any_account_a_token_is_made_up_anew(self) -> None:
        """There is no default password."""
        one, other = Accounts.of({}), Accounts.of({})
        assert one.is_made_up
        assert one.tokens["operator"] != other.tokens["operator"]
        assert len(one.tokens["operator"]) >= 32

    @pytest.mark.parametrize(
        "variables",
        [
            {"SMCBOT_TERMINAL_TOKEN": "weak-token"},
            {"SMCBOT_TERMINAL_SHARED_SECRET": "weak-secret"},
            {"SMCBOT_TERMINAL_USERS": "anna,operator,plaintext"},
            {"SMCBOT_TERMINAL_USERS": "anna,admin,scrypt:1$a$b"},
            {"SMCBOT_TERMINAL_TOKEN": OPERATOR_TOKEN, "SMCBOT_TERMINAL_VIEWER_TOKEN": OPERATOR_TOKEN},
        ],
    )
    def test_weak_accounts_are_refused_without_saying_their_value(self, variables: dict[str, str]) -> None:
        """The message names the variable."""
        with pytest.raises(ValueError, match="SMCBOT_TERMINAL") as caught:
            Accounts.of(variables)
        assert not any(value in str(caught.value) for value in variables.values())

    def test_secrets_are_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Over digests: not even the length can be told."""
        from ui.server import accounts as module

        compared: list[tuple[int, int]] = []

        def compare(known: bytes, given: bytes) -> bool:
            compared.append((len(known), len(given)))
            return known == given

        monkeypatch.setattr(module.hmac, "compare_digest", compare)
        accounts = Accounts.of(environment())
        assert accounts.machine(SECRET) is not None
        assert accounts.machine("x") is None
        assert accounts.log_in("", "x") is None
        assert set(compared) == {(32, 32)}
        assert len(compared) >= 4

    def test_the_command_line_makes_an_entry(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """That logs in."""
        import io

        monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
        assert main(["password", "--name", "anna", "--role", "operator"]) == 0
        accounts = Accounts.of({"SMCBOT_TERMINAL_USERS": capsys.readouterr().out.strip()})
        assert accounts.log_in("anna", "correct horse") is not None


class TestSessions:
    """Signed cookies of one's own site, that end."""

    def test_the_cookie_is_for_this_site_and_no_script(self, server: Server) -> None:
        """Secure too, where the browser speaks TLS."""
        cookie = server.client().post("/login", json={"password": OPERATOR_TOKEN}).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        safe = make_server(is_encrypted=True)
        assert (
            "Secure" in safe.client().post("/login", json={"password": OPERATOR_TOKEN}).headers["Set-Cookie"]
        )

    def test_a_cookie_that_was_changed_is_none(self, server: Server) -> None:
        """It is signed with this server's secret."""
        browser, _ = server.browser()
        cookie = browser.get_cookie(COOKIE, domain="127.0.0.1")
        assert cookie is not None
        other, _ = make_server().browser()
        foreign = other.get_cookie(COOKIE, domain="127.0.0.1")
        assert foreign is not None
        for value, status in [(cookie.value, 200), (cookie.value[:-2] + "AA", 401), (foreign.value, 401)]:
            asked = server.client()
            asked.set_cookie(COOKIE, value, domain="127.0.0.1")
            assert asked.get("/api/v1/session").status_code == status

    def test_terminals_of_a_host_do_not_log_each_other_out(self) -> None:
        """A browser sends a host's cookies to all of its ports, and keeps one of a name."""
        names = set()
        for port in (8790, 8791):
            server, host = make_server(port=port), f"http://127.0.0.1:{port}"
            answer = server.client().post("/login", json={"password": OPERATOR_TOKEN}, base_url=host)
            names.add(answer.headers["Set-Cookie"].partition("=")[0])
        assert names == {"smcbot_session_8790", "smcbot_session_8791"}

    def test_each_mode_has_secrets_of_its_own(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Else a login at the terminal of a paper node would be one at that of a live node."""
        folders: list[str] = []

        def serve(_: Any, __: Any, ___: Any, place: Any, *____: Any) -> int:
            with place as folder:
                folders.append(str(folder))
            return 0

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("ui.serve_command.serve", serve)
        monkeypatch.setattr("ui.replay_command.serve", serve)
        monkeypatch.setattr("ui.replay_command.open_recording", lambda *_: None)
        for words in (["serve", "--mode", "paper"], ["serve", "--mode", "live"], ["replay", "last"]):
            assert main(words) == 0
            assert main([*words, "--folder", "elsewhere"]) == 0
        assert folders[::2] == [f"var/terminal/{name}" for name in ("paper", "live", "replay")]
        assert folders[1::2] == ["elsewhere"] * 3

    def test_it_ends_after_its_time_and_by_log_out_also_as_a_copy(self, tmp_path: Path) -> None:
        """And stays ended over a restart."""
        now, accounts, file = [1000.0], Accounts.of(environment()), tmp_path / "ended.json"
        sessions = Sessions(accounts, 60.0, file, lambda: now[0])
        anna = accounts.log_in("", OPERATOR_TOKEN)
        assert anna is not None
        first, second = sessions.begin({}, anna), sessions.begin({}, anna)
        sessions.end(first)
        assert (sessions.holds(first), sessions.holds(second)) == (False, True)
        assert not Sessions(accounts, 60.0, file, lambda: now[0]).holds(first)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        now[0] += 60.0
        assert not sessions.holds(second)

    @pytest.mark.parametrize("token", [OPERATOR_TOKEN, VIEWER_TOKEN])
    def test_log_out_ends_the_session_of_a_copied_cookie(self, server: Server, token: str) -> None:
        """Over HTTP, whatever the role."""
        browser, headers = server.browser(token)
        cookie = browser.get_cookie(COOKIE, domain="127.0.0.1")
        assert cookie is not None
        assert browser.post("/logout", headers=headers).status_code == 200
        thief = server.client()
        thief.set_cookie(COOKIE, cookie.value, domain="127.0.0.1")
        assert thief.get("/api/v1/session").status_code == 401

    @pytest.mark.usefixtures("cheap_hashes")
    def test_who_lost_the_role_is_logged_out(self) -> None:
        """The cookie says who it was, the environment who it is."""
        anna = Accounts.of({"SMCBOT_TERMINAL_USERS": person()})
        cookie: dict[str, Any] = {}
        known = anna.log_in("anna", "correct horse")
        assert known is not None
        Sessions(anna, 60.0).begin(cookie, known)
        assert Sessions(anna, 60.0).read(cookie) is not None
        demoted = Accounts.of({"SMCBOT_TERMINAL_USERS": person(role="viewer")})
        assert Sessions(demoted, 60.0).read(cookie) is None

    @pytest.mark.usefixtures("cheap_hashes")
    def test_a_new_token_or_password_ends_the_logins_of_the_old_one(self) -> None:
        """Who changes one that leaked wants nobody in who has it; the signing secret outlives a restart."""
        for name, password, old, new in (
            ("", OPERATOR_TOKEN, environment(), environment(SMCBOT_TERMINAL_TOKEN="another-token-of-tests")),
            (
                "anna",
                "correct horse",
                {"SMCBOT_TERMINAL_USERS": person()},
                {"SMCBOT_TERMINAL_USERS": person(password="battery staple")},
            ),
        ):
            before, after = Accounts.of(old), Accounts.of(new)
            known = before.log_in(name, password)
            assert known is not None
            cookie: dict[str, Any] = {}
            Sessions(before, 60.0, key=b"k").begin(cookie, known)
            assert password not in str(cookie)
            assert Sessions(before, 60.0, key=b"k").read(cookie) is not None
            assert Sessions(after, 60.0, key=b"k").read(cookie) is None

    def test_the_secret_is_kept_for_its_owner_alone(self, tmp_path: Path) -> None:
        """And refused where others may read it."""
        file = tmp_path / "deep" / "secret"
        secret = persisted_secret(file)
        assert persisted_secret(file) == secret
        assert len(secret) == 32
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.chmod(0o644)
        with pytest.raises(PermissionError, match="chmod 600"):
            persisted_secret(file)

    def test_the_command_refuses_a_secret_that_others_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit 2."""
        monkeypatch.chdir(tmp_path)
        persisted_secret(tmp_path / "t" / "secret")
        (tmp_path / "t" / "secret").chmod(0o640)
        assert main(["serve", "--folder", "t", "--port", "0"]) == 2


class TestWhoMay:
    """Nobody without a login, viewers nothing but look."""

    def test_every_address_but_the_public_ones_asks_for_a_login(self, server: Server) -> None:
        """Also those that somebody adds tomorrow."""
        rules = list(server.made.app.url_map.iter_rules())
        shown = {rule.rule for rule in rules
                 if getattr(server.made.app.view_functions[rule.endpoint], _PUBLIC, False)}  # fmt: skip
        assert shown == PUBLIC
        asked = 0
        for rule in rules:
            if rule.rule in PUBLIC:
                continue
            path = re.sub(r"<[^>]+>", "x", rule.rule)
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                answer = server.client().open(path, method=method, json={})
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
                asked += 1
        assert asked > 25

    def test_the_public_ones_say_nothing_of_the_account(self, server: Server) -> None:
        """Health says that it is up."""
        assert set(server.client().get("/health").json) == {"status", "uptime_s"}

    def test_a_viewer_may_look_and_not_act(self, server: Server) -> None:
        """By cookie; each attempt is written down."""
        browser, headers = server.browser(VIEWER_TOKEN)
        assert browser.get("/api/v1/positions").status_code == 200
        for path, body in [
            (COMMANDS, command("kill", word="KILL")),
            ("/api/v1/backtests", {"strategy": "ote"}),
            ("/api/v1/paper/reset", {"word": "RESET"}),
        ]:
            assert browser.post(path, json=body, headers=headers).status_code == 403
        assert browser.get("/api/v1/audit").status_code == 403
        assert server.node.orders == []
        assert sum(note[0].startswith("viewer") and note[3] == "refused" for note in server.audit.notes) == 4

    def test_a_viewer_may_ask_for_the_status(self, server: Server) -> None:
        """It changes nothing."""
        browser, headers = server.browser(VIEWER_TOKEN)
        assert browser.post(COMMANDS, json=command("status"), headers=headers).status_code == 200

    def test_commands_are_never_asked_by_get(self, server: Server) -> None:
        """A link or picture could do that."""
        browser, headers = server.browser()
        assert browser.get(COMMANDS, headers=headers).status_code == 405
        assert browser.get("/logout").status_code == 404
        assert browser.get("/api/v1/paper/reset").status_code == 405


class TestForgery:
    """Pages of others."""

    @pytest.mark.parametrize("given", [None, "", "wrong", "\udcff"])
    def test_a_command_without_the_csrf_value_is_refused(self, server: Server, given: str | None) -> None:
        """And written down; the cookie alone is not enough."""
        browser, headers = server.browser()
        headers = (
            {"Origin": ORIGIN}
            if given is None
            else {**headers, CSRF: given.encode("utf-8", "replace").decode()}
        )
        for path in (COMMANDS, "/logout"):
            answer = browser.post(path, json=command(), headers=headers)
            assert (answer.status_code, answer.json["error"]["code"]) == (403, "csrf")
        assert server.node.orders == []
        assert ("operator", "rest 127.0.0.1", COMMANDS, "refused", "csrf") in server.audit.notes

    def test_the_csrf_value_of_another_session_does_not_do(self, server: Server) -> None:
        """It belongs to one login."""
        browser, _ = server.browser()
        _, others = server.browser()
        assert browser.post(COMMANDS, json=command(), headers=others).status_code == 403

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "http://127.0.0.1:1", f"https://{HOST}"]
    )
    def test_a_page_of_another_origin_is_refused_with_everything_else_right(
        self, server: Server, origin: str
    ) -> None:
        """Also when it logs somebody in."""
        browser, headers = server.browser()
        answer = browser.post(COMMANDS, json=command(), headers={**headers, "Origin": origin})
        assert answer.status_code == 403
        login = server.client().post("/login", json={"password": OPERATOR_TOKEN}, headers={"Origin": origin})
        assert login.status_code == 403
        assert server.node.orders == []

    def test_a_browser_that_says_another_site_asks_is_believed(self, server: Server) -> None:
        """Sec-Fetch-Site cannot be set by a page."""
        browser, headers = server.browser()
        for site in ("cross-site", "same-site"):
            answer = browser.post(COMMANDS, json=command(), headers={**headers, "Sec-Fetch-Site": site})
            assert answer.status_code == 403

    @pytest.mark.parametrize("host", ["evil.example:8790", "127.0.0.1:1", "127.0.0.1", ""])
    def test_a_name_that_is_not_ours_is_not_answered(self, server: Server, host: str) -> None:
        """A page that rebinds its own name to this address has that name as host and origin."""
        client = server.client()
        for path in ("/", "/health", "/api/v1/session", "/socket.io/?EIO=4&transport=websocket"):
            assert client.get(path, headers={"Host": host, "Origin": f"http://{host}"}).status_code == 421

    def test_a_further_name_is_answered_when_it_is_configured(self) -> None:
        """Of a proxy, for example."""
        server = make_server(names=("terminal.example",))
        assert server.client().get("/health", headers={"Host": "terminal.example"}).status_code == 200


class TestMachines:
    """X-Shared-Secret."""

    def test_the_secret_needs_no_cookie_and_no_csrf_value(self, server: Server) -> None:
        """A program is no browser."""
        answer = server.client().post(COMMANDS, json=command(), headers={"X-Shared-Secret": SECRET})
        assert answer.status_code == 200
        assert [order.who for order in server.node.orders] == ["machine@127.0.0.1"]

    def test_a_wrong_one_is_refused_also_with_a_good_cookie(self, server: Server) -> None:
        """And written down."""
        browser, headers = server.browser()
        answer = browser.post(COMMANDS, json=command(), headers={**headers, "X-Shared-Secret": "wrong"})
        assert answer.status_code == 401
        assert server.node.orders == []
        assert ("unknown", "rest 127.0.0.1", "secret", "refused", "wrong shared secret") in server.audit.notes

    def test_without_one_configured_none_is_right(self) -> None:
        """Not even an empty one."""
        server = make_server(accounts=Accounts.of({"SMCBOT_TERMINAL_TOKEN": OPERATOR_TOKEN}))
        for given in ("", SECRET):
            answer = server.client().get("/api/v1/positions", headers={"X-Shared-Secret": given})
            assert answer.status_code == 401

    def test_guessing_it_is_slowed(self, server: Server) -> None:
        """After five wrong ones the right one has to wait as well."""
        for _ in range(5):
            assert server.client().get("/api/v1/pairs", headers={"X-Shared-Secret": "x"}).status_code == 401
        assert server.client().get("/api/v1/pairs", headers={"X-Shared-Secret": SECRET}).status_code == 429


class TestRates:
    """Brute force is slowed, floods are cut."""

    def test_the_sixth_login_of_a_minute_is_refused_though_it_is_right(self, server: Server) -> None:
        """Also when names change; another address is not held up."""
        for number in range(5):
            assert (
                server.client().post("/login", json={"name": f"n{number}", "password": "x"}).status_code
                == 401
            )
        refused = server.client().post("/login", json={"password": OPERATOR_TOKEN})
        assert (refused.status_code, "Set-Cookie" in refused.headers) == (429, False)
        assert (
            server.client(REMOTE_ADDR="10.0.0.9")
            .post("/login", json={"password": OPERATOR_TOKEN})
            .status_code
            == 200
        )
        assert any(note[2:5] == ("login", "refused", "too many attempts") for note in server.audit.notes)

    def test_all_addresses_of_a_subscriber_are_one(self, server: Server) -> None:
        """Whoever has a /64 of IPv6 has 2^64 addresses; the next /64 is another's."""
        statuses = [
            server.client(REMOTE_ADDR=f"2001:db8:1:2:{number:x}::9").post("/login", json={"password": "x"})
            for number in range(6)
        ]
        assert [one.status_code for one in statuses] == [401] * 5 + [429]
        assert {note[1] for note in server.audit.notes} >= {
            "rest 2001:db8:1:2:1::9",
            "rest 2001:db8:1:2:5::9",
        }
        other = server.client(REMOTE_ADDR="2001:db8:1:3::9")
        assert other.post("/login", json={"password": "x"}).status_code == 401
        for number in range(5):
            headers = {"X-Shared-Secret": "x"}
            server.client(REMOTE_ADDR=f"2001:db8:5::{number}").get("/api/v1/pairs", headers=headers)
        guess = server.client(REMOTE_ADDR="2001:db8:5::77").get(
            "/api/v1/pairs", headers={"X-Shared-Secret": SECRET}
        )
        assert guess.status_code == 429

    def test_sockets_and_refusals_are_counted_so_as_well(self, server: Server) -> None:
        """Each refusal is a write to the disk."""
        for number in range(100):
            asker = server.client(REMOTE_ADDR=f"2001:db8::{number:x}")
            asker.get("/health", headers={"Origin": "http://evil.example"})
        assert len(server.audit.notes) == 60
        few = make_server(connects="3/minute")
        statuses = [
            few.client(REMOTE_ADDR=f"2001:db8::{number}")
            .get("/socket.io/?EIO=4&transport=websocket", headers={"Origin": ORIGIN})
            .status_code
            for number in range(5)
        ]
        assert statuses == [401] * 3 + [429] * 2

    def test_a_name_that_is_guessed_from_everywhere_is_guessed_slowly(self, cheap_hashes: None) -> None:
        """One attempt of each address from then on; its owner gets in all the same, and others as ever."""
        people = f"{person()} {person('bob', 'operator', 'battery staple')}"
        accounts = Accounts.of({"SMCBOT_TERMINAL_USERS": people})
        server = make_server(accounts=accounts, failures="10/hour")

        def log_in(address: str, name: str, password: str) -> int:
            given = {"name": name, "password": password}
            return server.client(REMOTE_ADDR=address).post("/login", json=given).status_code

        assert {log_in(f"10.0.0.{number}", "anna", "x") for number in range(10)} == {401}
        assert [log_in("10.0.1.1", "anna", "x") for _ in range(2)] == [401, 429]
        assert log_in("10.0.2.1", "anna", "correct horse") == 200
        assert [log_in("10.0.3.1", "bob", "x") for _ in range(2)] == [401, 401]
        assert log_in("10.0.3.1", "bob", "battery staple") == 200

    def test_the_eleventh_command_within_ten_seconds_is_refused_and_kill_is_not(self, server: Server) -> None:
        """It must get through whatever else goes on."""
        browser, headers = server.browser()
        outcomes = [
            browser.post(COMMANDS, json=command("pause", n), headers=headers).status_code for n in range(11)
        ]
        assert outcomes == [200] * 10 + [429]
        kill = browser.post(COMMANDS, json=command("kill", 99, word="KILL"), headers=headers)
        assert kill.status_code == 200

    def test_requests_without_end_are_refused(self) -> None:
        """Of one address."""
        server = make_server(requests="20/minute")
        statuses = [server.client().get("/health").status_code for _ in range(25)]
        assert statuses == [200] * 20 + [429] * 5

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_a_page_of_others_uses_up_no_count(self, site: str) -> None:
        """Its pictures are refused; the links that it opens are counted by themselves."""
        server = make_server(requests="20/minute")
        browser, headers = server.browser()
        for more in (
            {"Sec-Fetch-Mode": "no-cors"},
            {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        ):
            for path in ("/health", "/api/v1/session"):
                picture = server.client().get(path, headers={"Sec-Fetch-Site": site, **more})
                assert picture.status_code == 403
        visit = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        statuses = [server.client().get("/login", headers=visit).status_code for _ in range(25)]
        assert statuses == [200] * 20 + [429] * 5
        assert server.client().post("/login", json={"password": OPERATOR_TOKEN}).status_code == 200
        session = browser.get("/api/v1/session")
        assert (session.status_code, session.json["protocol"]) == (200, p.VERSION)  # that of sockets
        assert browser.post(COMMANDS, json=command(), headers=headers).status_code == 200

    def test_a_flood_keeps_no_command_back(self) -> None:
        """Neither one of the address without a login, nor one of the same person; kill has its own limit."""
        server = make_server(requests="20/minute")
        browser, headers = server.browser()
        for client in (server.client(), browser):
            assert [client.get("/health").status_code for _ in range(25)][-1] == 429
        kill = browser.post(COMMANDS, json=command("kill", word="KILL"), headers=headers)
        assert kill.status_code == 200
        program = {"X-Shared-Secret": SECRET}
        assert server.client().post(COMMANDS, json=command("pause", 2), headers=program).status_code == 200
        assert server.client().post(COMMANDS, json=command("pause", 3)).status_code == 429

    def test_refusals_without_end_do_not_fill_the_audit(self, server: Server) -> None:
        """Each is a write to the disk."""
        for _ in range(100):
            server.client().get("/health", headers={"Origin": "http://evil.example"})
        assert len(server.audit.notes) == 60

    def test_a_body_without_end_is_refused(self, server: Server) -> None:
        """Before it is read."""
        browser, headers = server.browser()
        answer = browser.post(COMMANDS, data=b"x" * 300_000, headers=headers, content_type="application/json")
        assert answer.status_code in (400, 413)

    @pytest.mark.parametrize(
        "body", ["[" * 100_000, '{"a":' * 20_000, "\x00", '"' + "\\ud800" + '"', "NaN", "1e999"]
    )
    def test_a_body_made_to_break_the_reader_is_refused(self, server: Server, body: str) -> None:
        """No error of the server, whatever it says."""
        for path in (COMMANDS, "/api/v1/backtests", "/api/v1/paper/reset", "/login"):
            answer = server.client().post(
                path, data=body, headers={"X-Shared-Secret": SECRET}, content_type="application/json"
            )
            assert 400 <= answer.status_code < 500

    def test_half_a_character_is_refused(self, server: Server) -> None:
        """Nothing could write it down."""
        half = '"' + chr(92) + 'ud800"'
        for path, name in ((COMMANDS, "id"), ("/login", "password"), ("/api/v1/backtests", "strategy")):
            answer = server.client().post(
                path, data=f'{{"{name}": {half}}}', headers={"X-Shared-Secret": SECRET},
                content_type="application/json",
            )  # fmt: skip
            assert answer.status_code == 400


class TestPlaces:
    """Who watches keeps nobody out who acts."""

    @staticmethod
    def admitted(hub: Hub, who: list[tuple[str, str]]) -> list[bool]:
        """Return who of names and roles gets a place, in turn."""
        return [
            hub.admit(f"{number} {name}", Window(None, role, name=name))
            for number, (name, role) in enumerate(who)
        ]

    def test_a_tenth_of_the_places_is_kept_for_operators(self) -> None:
        """Viewers get the others."""
        hub = Hub(max_clients=50)
        viewers = [(f"v{number}", "viewer") for number in range(46)]
        assert self.admitted(hub, viewers) == [True] * 45 + [False]
        operators = [(f"o{number}", "operator") for number in range(6)]
        assert self.admitted(hub, operators) == [True] * 5 + [False]

    def test_nobody_gets_more_than_ten(self) -> None:
        """Until one of them is closed; others are not held up."""
        hub = Hub(max_clients=50)
        assert self.admitted(hub, [("anna", "operator")] * 11) == [True] * 10 + [False]
        assert self.admitted(hub, [("bob", "viewer")]) == [True]
        hub.leave("3 anna")
        assert self.admitted(hub, [("anna", "operator")]) == [True]

    def test_sockets_that_say_nothing_keep_no_operator_out(self, server: Server) -> None:
        """A viewer may hold as many as there are places, and a few more; an operator's still opens."""
        inside, opened = threading.Event(), threading.Semaphore(0)

        def stay(environ: Environ, start: Start) -> list[bytes]:
            opened.release()
            assert inside.wait(60)
            return []

        settings = ServerSettings(max_clients=10)
        (host,) = {one for one in settings.hosts if one.startswith("127")}
        base = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}", "PATH_INFO": SOCKET_PATH}

        def may_open(environ: Environ) -> None:
            environ[ROLE] = environ["role"]

        guard, said = Guard(stay, settings, may_open, lambda *_: None), []

        def knock(role: str) -> None:
            guard({**base, "role": role}, lambda status, _headers: said.append(status))

        threads = [threading.Thread(target=knock, args=("viewer",)) for _ in range(9 + 8)]
        for one in threads:
            one.start()
            assert opened.acquire(timeout=60)
        knock("viewer")
        assert said == ["503 Service Unavailable"]
        threads.append(threading.Thread(target=knock, args=("operator",)))
        threads[-1].start()
        assert opened.acquire(timeout=60)
        inside.set()
        for one in threads:
            one.join()
        assert len(said) == 1


class TestHeaders:
    """What a browser is told to forbid."""

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/health", 200), ("/login", 200), ("/docs", 200), ("/api/v1/session", 401), ("/nothing/here", 404)],
    )
    def test_every_answer_has_them(self, server: Server, path: str, status: int) -> None:
        """Refusals too."""
        answer = server.client().get(path)
        assert answer.status_code == status
        self.check(answer.headers)

    def test_the_outermost_refusals_have_them(self, server: Server) -> None:
        """Those that never reach the application."""
        self.check(server.client().get("/health", headers={"Host": "evil.example"}).headers)

    def test_over_tls_the_browser_stays_with_it(self, server: Server) -> None:
        """And without it is not told so."""
        assert "Strict-Transport-Security" not in server.client().get("/health").headers
        assert "Strict-Transport-Security" in make_server(is_encrypted=True).client().get("/health").headers

    @pytest.mark.parametrize("path", ["/login", "/docs", "/"])
    def test_pages_have_no_script_or_style_of_their_own(self, server: Server, path: str) -> None:
        """The policy forbids them, so a page that had one would be broken; and no other site is asked."""
        browser, _ = server.browser()
        text = browser.get(path).text
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)

    @staticmethod
    def check(headers: Any) -> None:
        """Check the headers of an answer."""
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


class TestCommands:
    """Expired, replayed, unconfirmed ones."""

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"life_secs": -1.0}, "expires_at"),
            ({"life_secs": 3600.0}, "expires_at"),
            ({"expires_at": "yesterday"}, "expires_at"),
            ({"action": "sell everything"}, "action"),
            ({"nonce": 5}, "nonce"),
            ({"args": []}, "args"),
            ({"more": 1}, "more"),
            ({"id": "x" * 65}, "id"),
            ({"nonce": "x" * 65}, "nonce"),
            ({"word": "x" * 65}, "word"),
            ({"args": {"reason": "x" * 200_000}}, "args"),
            ({"args": {"deep": [["x" * 100] * 100] * 10}}, "args"),
            ({"args": {f"n{number}": 1 for number in range(9)}}, "args"),
            ({"args": {"x" * 2_000: 1}}, "args"),
        ],
    )
    def test_what_is_expired_or_nonsense_is_refused_with_its_field(
        self, server: Server, changed: dict[str, Any], field: str
    ) -> None:
        """Before the node hears of it, and is written down."""
        browser, headers = server.browser()
        answer = browser.post(COMMANDS, json=command(**changed), headers=headers)
        assert (answer.status_code, answer.json["field"], answer.json["outcome"]) == (422, field, "refused")
        assert server.node.orders == []
        assert server.audit.notes[-1][3] == "refused"

    def test_refused_commands_do_not_fill_the_audit(self, server: Server) -> None:
        """Neither by their number nor by what they carry: each is a write to the disk."""
        browser, headers = server.browser(VIEWER_TOKEN)
        carried: list[Any] = []
        note = server.audit.command

        def noted(order: Any, *words: Any) -> None:
            carried.append(order.args)
            note(order, *words)

        server.audit.command = noted  # type: ignore[method-assign, assignment]
        for number in range(100):
            asked = command("close", number, args={"instrument": "XRPUSDT.BINANCE"})
            assert browser.post(COMMANDS, json=asked, headers=headers).status_code == 403
        assert carried == [{}] * 60

    def test_a_nonce_counts_once(self, server: Server) -> None:
        """With another id it is a replay, also of another person."""
        browser, headers = server.browser()
        assert browser.post(COMMANDS, json=command(), headers=headers).status_code == 200
        for again in (command(id="other"), command(id="other", action="resume")):
            answer = browser.post(COMMANDS, json=again, headers=headers)
            assert (answer.status_code, answer.json["field"]) == (422, "nonce")
        machine = server.client().post(COMMANDS, json=command(), headers={"X-Shared-Secret": SECRET})
        assert machine.json["field"] == "nonce"
        assert len(server.node.orders) == 1

    @pytest.mark.parametrize("word", ["", "kill", "YES"])
    def test_kill_needs_the_word(self, server: Server, word: str) -> None:
        """In capitals."""
        browser, headers = server.browser()
        answer = browser.post(COMMANDS, json=command("kill", word=word), headers=headers)
        assert (answer.status_code, answer.json["field"]) == (422, "word")
        assert server.node.orders == []

    @pytest.mark.parametrize(
        ("mode", "words", "statuses"),
        [
            ("live", ("KILL", "FLATTEN", "KILL FLATTEN"), [422, 422, 200]),
            ("paper", ("", "KILL"), [422, 200]),
        ],
    )
    def test_a_kill_that_flattens_needs_the_words_of_both(
        self, mode: Any, words: tuple[str, ...], statuses: list[int], cheap_hashes: None
    ) -> None:
        """On a live node, whose flatten has a word of its own; on paper the kill's is enough."""
        hub, state = Hub(), TerminalState()
        state.apply("st", p.NodeState(mode=mode, session="s"))
        hub.take([p.Message("e", 1, time.time_ns(), p.SNAP, state.snapshot())])
        server = make_server(hub)
        browser, headers = server.browser()
        asked = [
            command("kill", id=f"k{at}", args={"flatten": True}, word=one) for at, one in enumerate(words)
        ]
        answers = [browser.post(COMMANDS, json=one, headers=headers) for one in asked]
        assert [one.status_code for one in answers] == statuses
        assert [one.args for one in server.node.orders] == [{"flatten": True}]

    def test_every_command_is_written_down_before_and_after(self, server: Server) -> None:
        """With who, from where, and the outcome."""
        browser, headers = server.browser()
        browser.post(COMMANDS, json=command(), headers=headers)
        assert server.audit.notes[-2:] == [
            ("operator@127.0.0.1", "rest 127.0.0.1", "pause", "received", ""),
            ("operator@127.0.0.1", "rest 127.0.0.1", "pause", "done", "pause done"),
        ]

    def test_logins_good_and_bad_and_log_outs_are_written_down(self, server: Server) -> None:
        """With who and from where; a password that was typed as a name is not."""
        server.client().post("/login", json={"name": "my pass-word!", "password": "wrong"})
        browser, headers = server.browser()
        browser.post("/logout", headers=headers)
        assert server.audit.notes == [
            ("-", "rest 127.0.0.1", "login", "refused", "wrong name or password"),
            ("operator", "rest 127.0.0.1", "login", "done", ""),
            ("operator", "rest 127.0.0.1", "logout", "done", ""),
        ]
