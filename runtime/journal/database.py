"""The journal's database by one URL: SQLite (WAL) by default, PostgreSQL by name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from runtime.errors import ConfigurationError, DataError
from runtime.journal.binding import Binding, digest_of, new_nonce
from runtime.journal.columns import from_json, to_json
from runtime.redact import Redactor, secret_values
from runtime.secret_urls import is_ambiguous, masked_url, url_secrets

DEFAULT_URL: Final = "sqlite:///var/journal.sqlite"
LOCK_TIMEOUT_SECS: Final = 5
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_POSTGRES: Final = "postgresql+psycopg"


def parse_url(url: str) -> URL:
    """Return a database URL with our driver filled in.

    Raises
    ------
    ConfigurationError
        When it is no URL of SQLite or PostgreSQL.
    """
    if is_ambiguous(url):
        raise ConfigurationError(
            "journal URL: it is not clear where the password ends; write its @ as %40, / as %2F, ? as %3F"
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the text of a ValueError may be a piece of the password
        raise ConfigurationError(f"journal URL is no database URL; expected {DEFAULT_URL} or "
                                 "postgresql://user@host/name") from None  # fmt: skip
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername=_POSTGRES)
    if parsed.drivername not in ("sqlite", _POSTGRES):
        raise ConfigurationError(
            f"journal URL {masked(parsed)}: {parsed.drivername} is not supported; "
            f"use {DEFAULT_URL} or postgresql://user@host/name"
        )
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            f"journal URL {masked(parsed)}: a journal in memory is no journal; name a file"
        )
    return parsed


def masked(url: URL | str) -> str:
    """Return a URL for messages: without its password, wherever in it that stands."""
    return masked_url(_text(url))


def _text(url: URL | str) -> str:
    return url if isinstance(url, str) else url.render_as_string(hide_password=False)


def binding_of(url: str) -> Binding:
    """Return what a new session folder says so that only writers of this database feed it."""
    shown = parse_url(url).difference_update_query(["password"])
    return Binding(nonce=new_nonce(), database=identity(url), url=masked(shown))


def identity(url: str) -> str:
    """Return what names a database whatever the password, the working folder and the driver's options are.

    Returns
    -------
    str
        16 hex digits of the SHA-256 of kind, user, host, port and name. The user belongs to it: hosted
        PostgreSQL tells projects apart by it.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        facts = ["sqlite", str(Path(str(parsed.database)).resolve())]
    else:
        place = [str(parsed.query.get(name, "")) for name in ("host", "port", "user", "dbname", "service")]
        facts = ["postgresql", parsed.username or "", parsed.host or "", str(parsed.port or 5432)]
        facts += [parsed.database or "", *place]
    return digest_of(facts)


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine for the journal; nothing is connected yet.

    Parameters
    ----------
    url
        ``sqlite:///var/journal.sqlite`` or ``postgresql://user:password@host/name``.
    read_only
        For verify and reports: a SQLite file is neither made nor changed.

    Raises
    ------
    ConfigurationError
        When the URL is wrong, the driver is not installed, or (read only) there is no such file.
    """
    parsed = parse_url(url)
    options: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json}
    if parsed.drivername == "sqlite":
        path = Path(parsed.database or "")
        if read_only and not path.exists():
            raise ConfigurationError(
                f"{path}: no such journal; run a backtest with `journal` on, or give --url"
            )
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": LOCK_TIMEOUT_SECS}, **options)
        _teach_sqlite(engine, read_only=read_only)
        return engine
    try:
        return create_engine(
            parsed,
            connect_args={
                "connect_timeout": LOCK_TIMEOUT_SECS,
                "application_name": "smcbot-journal",
                "options": "-c statement_timeout=60000 -c lock_timeout=5000 -c timezone=UTC",
            },
            pool_pre_ping=True,
            **options,
        )
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(
            f"journal URL {masked(parsed)}: the driver is missing; `pip install 'smcbot[postgres]'`"
        ) from error


def _teach_sqlite(engine: Engine, *, read_only: bool) -> None:
    """Use WAL with a sync at every commit, and transactions that take the write lock at once."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        if read_only:
            connection.execute("PRAGMA query_only=ON")
            return
        # FULL: a segment of the spool is removed after the commit, so the commit must be on the disk.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={LOCK_TIMEOUT_SECS * 1000}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees the journal as it is now, however long it reads and whoever writes.

    On SQLite a read transaction is that; PostgreSQL would show every statement the newest rows.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to a revision: from nothing, or from any earlier one, keeping every row.

    Raises
    ------
    DataError
        When the schema is newer than this program.
    """
    config = migration_config()
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            raise DataError(
                f"journal {masked(engine.url)}: its schema {current} is newer than this program: update it"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def schema_revision(engine: Engine) -> str | None:
    """Return the schema's revision, None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_schema(engine: Engine) -> None:
    """Refuse a database that is no journal of this program's version.

    Raises
    ------
    DataError
        When it is empty, older or newer, or cannot be read.
    """
    where = masked(engine.url)
    try:
        current = schema_revision(engine)
    except SQLAlchemyError as error:
        raise DataError(f"journal {where} cannot be read: {short(error, engine.url)}") from error
    scripts = ScriptDirectory.from_config(migration_config())
    head = scripts.get_current_head()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise DataError(f"journal {where}: its schema {current} is newer than this program: update it")
    if current != head:
        raise DataError(
            f"journal {where}: schema {current or 'none'}, expected {head}; "
            "`python -m runtime.journal migrate --url URL` brings it up to date"
        )


def migration_config() -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def short(error: BaseException, url: URL | str = "") -> str:
    """Return the first line of a database error, without SQL, parameters, and secrets of the URL."""
    cause = getattr(error, "orig", None) or error
    redact = Redactor({*secret_values(os.environ), *url_secrets(_text(url))})
    return redact(str(cause).strip().split("\n", 1)[0])
