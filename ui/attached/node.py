"""The node's command socket as the server's `Node`."""

from pathlib import Path

from runtime.live.commands import Command, CommandError, check_command
from runtime.live.ctl import NodeUnreachable, send_command, socket_path
from ui.server.ports import Order, Reply


class NodeSocket:
    """Sends commands to the node of a mode.

    Parameters
    ----------
    folder
        ``live.folder`` of the settings.
    mode
        ``paper`` or ``live``.
    """

    def __init__(self, folder: Path, mode: str) -> None:
        self._path = socket_path(folder, mode)

    def execute(self, order: Order) -> Reply:
        """Send a command and wait for its outcome."""
        command = Command(
            id=order.id,
            who=order.who,
            action=order.action,
            args=dict(order.args),
            nonce=order.nonce,
            expires_at_ns=order.expires_at_ns,
        )
        try:
            check_command(command)
            answer = send_command(self._path, command)
        except CommandError as error:
            return Reply("refused", str(error))
        except NodeUnreachable as error:
            return Reply("failed", str(error))
        return Reply(answer.outcome, answer.reason, answer.detail)
