"""Where the journal is: settings, with the environment before them."""

import os
from typing import Final

from runtime.settings import JournalSettings

URL_VARIABLE: Final = "SMCBOT_JOURNAL_URL"

OFF: Final = "off"


def journal_url(settings: JournalSettings) -> str:
    """Return the database's URL: ``SMCBOT_JOURNAL_URL`` if it is set, else the settings'; empty for `off`."""
    url = os.environ.get(URL_VARIABLE) or settings.url
    return "" if url == OFF else url
