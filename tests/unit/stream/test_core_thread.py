from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.waiting import HANGING_S
from tokentide.stream.core_thread import CoreThread


def test_work_is_done_in_one_other_thread_in_the_order_in_which_it_was_asked() -> None:
    async def scenario() -> None:
        core = CoreThread()
        done: list[tuple[int, int]] = []

        def work(number: int) -> int:
            done.append((number, threading.get_ident()))
            return 2 * number

        results = await asyncio.gather(*(core.run("work", lambda n=n: work(n)) for n in range(50)))
        assert results == [2 * n for n in range(50)]
        assert [number for number, _ in done] == list(range(50))
        assert len({thread for _, thread in done} - {threading.get_ident()}) == 1
        assert core.begun == 50
        assert core.close(patience_s=10)

    asyncio.run(scenario())


def test_an_error_is_raised_where_the_work_was_asked_and_the_next_is_done() -> None:
    async def scenario() -> None:
        core = CoreThread()
        with pytest.raises(ZeroDivisionError):
            await core.run("work", lambda: 1 // 0)
        assert await core.run("work", lambda: 7) == 7
        assert core.close(patience_s=10)

    asyncio.run(scenario())


def test_while_work_is_done_the_event_loop_turns_and_tells_what_is_done() -> None:
    async def scenario() -> None:
        core = CoreThread()
        assert core.doing is None
        begun, go_on = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert go_on.wait(HANGING_S)

        working = asyncio.create_task(core.run("folding", work))
        while not begun.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.001)
        doing = core.doing
        assert doing is not None
        assert (doing.number, doing.name) == (1, "folding")
        assert doing.cpu_s >= 0
        assert not core.close(patience_s=0.01)
        go_on.set()
        await working
        assert core.doing is None
        assert core.close(patience_s=10)

    asyncio.run(scenario())


def test_who_is_cancelled_leaves_work_that_has_begun_to_its_end_and_takes_back_the_rest() -> None:
    async def scenario() -> None:
        core = CoreThread()
        begun, go_on = threading.Event(), threading.Event()
        done: list[str] = []

        def first() -> None:
            begun.set()
            assert go_on.wait(HANGING_S)
            done.append("first")

        tasks = [
            asyncio.create_task(core.run("first", first)),
            asyncio.create_task(core.run("second", lambda: done.append("second"))),
        ]
        while not begun.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        go_on.set()
        await core.run("third", lambda: done.append("third"))
        assert done == ["first", "third"]
        assert core.close(patience_s=10)

    asyncio.run(scenario())
