"""How a node stops when an engine of it has ended by itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.errors import VenueError
from runtime.live.shutdown import Shutdown
from strategies.entry_halt import HOLD_TOPIC

TASKS = ("data_cmd", "data", "risk", "exec_cmd", "exec_evt")


class Node:
    """A node of five tasks, one of which ends at once; it notes what it is told."""

    def __init__(self, ending: str) -> None:
        self.steps: list[str] = []
        loop = asyncio.get_running_loop()
        self.tasks = {
            name: loop.create_task(asyncio.sleep(0 if name == ending else 60), name=name) for name in TASKS
        }
        self.kernel: Any = SimpleNamespace(
            clock=SimpleNamespace(timestamp_ns=lambda: 0),
            msgbus=SimpleNamespace(publish=lambda topic, msg: self.steps.append(f"{topic} {msg.source}")),
            data_engine=self.engine("data_cmd", "data"),
            risk_engine=self.engine("risk", "risk"),
            exec_engine=self.engine("exec_cmd", "exec_evt"),
        )

    def engine(self, commands: str, events: str) -> Any:
        """Return an engine with these tasks."""
        return SimpleNamespace(
            get_cmd_queue_task=lambda: self.tasks[commands],
            get_data_queue_task=lambda: self.tasks[events],
            get_evt_queue_task=lambda: self.tasks[events],
        )

    def is_running(self) -> bool:
        """Tell that it does."""
        return True

    async def stop_async(self) -> None:
        """Note it."""
        self.steps.append("stop")


def steps_after_the_end_of(name: str) -> list[str]:
    """Return what a node was told when one of its tasks has ended."""

    async def main() -> list[str]:
        node = Node(name)
        context: Any = SimpleNamespace(node=node, strategies=list)
        with pytest.raises(VenueError, match="ended by itself"):
            await Shutdown(node, asyncio.get_running_loop()).wait(context)
        for task in node.tasks.values():
            task.cancel()
        return node.steps

    return asyncio.run(main())


@pytest.mark.parametrize("name", ["data_cmd", "data"])
def test_entries_are_taken_back_while_orders_still_go_out(name: str) -> None:
    """No process is there after it: what rests at the venue would be nobody's."""
    assert steps_after_the_end_of(name) == [f"{HOLD_TOPIC} stop", "stop"]


@pytest.mark.parametrize("name", ["risk", "exec_cmd", "exec_evt"])
def test_nothing_is_tried_where_orders_cannot_go_out(name: str) -> None:
    """The node ends at once; stops rest at the venue."""
    assert steps_after_the_end_of(name) == ["stop"]
