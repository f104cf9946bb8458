"""One attempt to deliver, with a deadline that holds whatever the channel does."""

import threading

from runtime.notify.channels import Channel, ChannelError
from runtime.notify.outbox import Message


class Courier:
    """Sends to one channel, each time in a thread that it can leave behind.

    A thread cannot be ended, so there is at most one that hangs per channel; until it returns, every further
    attempt has failed.

    Parameters
    ----------
    channel
        Where to.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._attempt: threading.Thread | None = None

    def deliver(self, message: Message, timeout_secs: float) -> str:
        """Make one attempt; return what went wrong, empty when the message arrived."""
        if self._attempt is not None:
            self._attempt.join(timeout_secs)
            if self._attempt.is_alive():
                return "still hangs in an earlier attempt"
        outcome: list[str] = []
        self._attempt = threading.Thread(
            target=self._send,
            args=(message, timeout_secs, outcome),
            name=f"send-{self._channel.name}",
            daemon=True,
        )
        self._attempt.start()
        self._attempt.join(timeout_secs)
        return outcome[0] if outcome else f"no answer within {timeout_secs:.3g} s"

    def _send(self, message: Message, timeout_secs: float, outcome: list[str]) -> None:
        try:
            self._channel.send(message, timeout_secs)
        except ChannelError as error:
            outcome.append(str(error) or "failed")
        except Exception as error:  # a bug of a channel must not end the channel's thread
            outcome.append(f"internal error: {type(error).__name__}")
        else:
            outcome.append("")
