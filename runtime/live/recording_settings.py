"""Section `live.recording` of the settings: what is kept of a session for its replay."""

from typing import Annotated

from msgspec import Meta, Struct


class RecordingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section ``live.recording``: whether and how sessions are recorded.

    Parameters
    ----------
    enabled
        Record every session, in ``recordings/<session>`` of the node's folder.
    rotate_secs, rotate_rows
        A file is finished after so many seconds or rows; what a killed process had not finished is lost
        (the journal is not: it is written at once).
    reserve_mb
        Free disk space below which recording ends for the session, long before the journal's own reserve.
    """

    enabled: bool = True
    rotate_secs: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    rotate_rows: Annotated[int, Meta(ge=100, le=10_000_000)] = 200_000
    reserve_mb: Annotated[int, Meta(ge=1, le=10_000_000)] = 5_000
