"""Where the journal is: settings, with the environment before them."""

import os
from typing import Final

from runtime.settings import JournalSettings

URL_VARIABLE: Final = "SMCBOT_JOURNAL_URL"


def journal_url(settings: JournalSettings) -> str:
    """Return the database's URL: ``SMCBOT_JOURNAL_URL`` if it is set, else the settings'."""
    return os.environ.get(URL_VARIABLE) or settings.url
