"""A call's tasks end with it."""

import asyncio

import pytest

from voicecore.call_tasks import CallTasks


async def slow(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append("task")


async def life(tasks: CallTasks, ended: list[str], error: Exception | None) -> None:
    tasks.spawn(slow(ended))
    await asyncio.sleep(0)
    try:
        if error is not None:
            raise error
        await asyncio.Event().wait()
    finally:
        tasks.cancel()
        ended.append("life")


async def test_tasks_are_waited_for_when_a_life_fails() -> None:
    tasks, ended = CallTasks(lambda error: None), list[str]()
    with pytest.raises(ZeroDivisionError):
        await tasks.around(life(tasks, ended, ZeroDivisionError()), 5.0)
    assert ended == ["life", "task"]


async def test_and_when_it_is_cancelled() -> None:
    tasks, ended = CallTasks(lambda error: None), list[str]()
    around = asyncio.create_task(tasks.around(life(tasks, ended, None), 5.0))
    for _ in range(3):
        await asyncio.sleep(0)
    around.cancel()
    with pytest.raises(asyncio.CancelledError):
        await around
    assert ended == ["life", "task"]
