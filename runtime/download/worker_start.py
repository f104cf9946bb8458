"""What the server of worker processes imports before it forks the first one; nothing else imports this.

Ctrl-C reaches the whole process group: the parent decides, so its workers ignore it from their first moment.
"""

import signal

from runtime.download import workers

signal.signal(signal.SIGINT, signal.SIG_IGN)

__all__ = ["workers"]
