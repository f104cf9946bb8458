"""A password in a database URL is shown nowhere, wherever in the URL it stands."""

import pytest
from sqlalchemy.exc import OperationalError

from runtime.errors import ConfigurationError
from runtime.journal.database import masked, parse_url, short
from runtime.secret_urls import masked_url, url_secrets
from runtime.settings import parse_settings

SECRET = "hunter2xyz"
ADDRESSES = [
    f"postgresql://bot:{SECRET}@db.example/journal",
    f"postgresql://:{SECRET}@db.example/journal",
    f"postgresql://bot:a@{SECRET}@db.example/journal",
    f"postgresql://bot:a/{SECRET}@db.example/journal",
    f"postgresql://bot:a?{SECRET}@db.example/journal",
    f"postgresql://bot:a:b@c:{SECRET}@db.example/journal",
    f"postgresql://bot@db.example/journal?password={SECRET}",
    f"postgresql://bot@db.example/journal?sslmode=require&sslpassword={SECRET}&user=x",
    f"postgresql://bot@db.example/journal?sslkey=/keys/{SECRET}",
    f"postgresql://bot@db.example/journal?PassFile=/keys/{SECRET}",
    f"postgresql://bot@db.example/journal?pass%77ord={SECRET}",
    f"postgresql://bot@db.example/journal?password=a@{SECRET}",
    f"postgresql:///journal?host=/run&password={SECRET}",
    f"postgresql://db.example:5432/journal?password=a@{SECRET}",
    f"postgresql://bot:pw@db.example/journal?password=a@{SECRET}",
    f"postgresql://bot:a@b?{SECRET}@db.example/journal",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_a_password_is_neither_shown_nor_taken_from_settings(url: str) -> None:
    """Masked for messages, refused in the file, without the secret in the refusal."""
    assert SECRET not in masked_url(url)
    assert SECRET not in masked(url)
    with pytest.raises(ConfigurationError, match="SMCBOT_JOURNAL_URL") as refused:
        parse_settings(f"journal: {{url: '{url}'}}")
    assert SECRET not in str(refused.value)
    try:
        assert SECRET not in masked(parse_url(url))
    except ConfigurationError as error:
        assert SECRET not in str(error)  # noqa: PT017 - not every one of them is a valid URL


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/journal.sqlite",
        "sqlite:////srv/a:b@c.sqlite",
        "postgresql://bot@db.example:5432/journal?sslmode=require&keepalives=1",
        "postgresql://bot@db.example/journal?application_name=a@b",
    ],
)
def test_addresses_without_a_secret_stay_readable(url: str) -> None:
    """They are accepted, and shown as they are."""
    assert url_secrets(url) == frozenset()
    assert masked_url(url) == url
    assert parse_settings(f"journal: {{url: '{url}'}}").journal.url == url


def test_a_second_at_sign_is_explained() -> None:
    """The driver would take the rest of the password for the host, and say it in its errors."""
    with pytest.raises(ConfigurationError, match="%40"):
        parse_url(f"postgresql://bot:a@{SECRET}@db.example/journal")


def test_errors_of_the_driver_pass_the_redactor() -> None:
    """Whatever the driver quotes of the URL, encoded or not."""
    url = f"postgresql://bot:{SECRET}%2B@db.example/journal"
    told = short(OperationalError("select 1", {}, Exception(f"no login with {SECRET}+ on db\nmore")), url)
    assert told == "no login with [redacted] on db"
