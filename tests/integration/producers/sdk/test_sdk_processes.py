"""How processes end and multiply: exit without closing, SIGKILL, SIGTERM, fork, multiprocessing.

Each program is a process of its own, as an application would be.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S

pytestmark = pytest.mark.embedded

BEGINNING = """
    import os, sys, time
    from pathlib import Path
    from tokentide import Producer, ProducerOptions
    address, topic, spool = sys.argv[1:4]
    # Where nobody is there it is soon given up; where a broker is, it may take its time.
    is_away = address == "127.0.0.1:9"
    times = dict(away_after_s=0.5, delivery_timeout_s=4.0) if is_away else dict(away_after_s=300, delivery_timeout_s=300, close_timeout_s=300)
    options = ProducerOptions(spool_folder=Path(spool), **times)
    producer = Producer(address, service="shop", topic=topic, options=options)

    def emit(first, last):
        for number in range(first, last):
            producer.emit({"input_tokens": number})
"""
NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens there."""


@pytest.fixture
def target(embedded_broker, tmp_path: Path):
    topic = embedded_broker.create_topic(partitions=2)
    return embedded_broker, (embedded_broker.bootstrap_servers, topic, str(tmp_path / "spool"))


def segments(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").rglob("*.seg"))


def test_a_program_that_ends_without_closing_has_sent_everything(target, script, arrived):
    broker, arguments = target
    script(BEGINNING + "\n    emit(0, 1000)", *arguments).end()
    assert arrived(broker, arguments[1]) == list(range(1000))


def test_a_program_that_ends_by_an_exception_has_sent_everything(target, script, arrived):
    broker, arguments = target
    program = script(BEGINNING + "\n    emit(0, 100)\n    raise SystemExit('enough')", *arguments)
    program.process.communicate(timeout=HANGING_S)
    assert program.process.returncode == 1
    assert arrived(broker, arguments[1]) == list(range(100))


@pytest.mark.parametrize("before", [0, 10])
def test_what_exit_handlers_emit_is_sent_too(target, script, arrived, before):
    broker, arguments = target
    code = f"""
    import atexit
    atexit.register(emit, {before}, {before + 5})
    emit(0, {before})
    """
    script(BEGINNING + code, *arguments).end()
    assert arrived(broker, arguments[1]) == list(range(before + 5))


def test_a_program_that_ends_while_kafka_is_away_leaves_its_events_to_the_next(
    target, script, arrived, tmp_path
):
    broker, arguments = target
    script(BEGINNING + "\n    emit(0, 100)", NOBODY, *arguments[1:]).end()
    assert segments(tmp_path)
    script(BEGINNING + "\n    emit(100, 110)", *arguments).end()
    assert arrived(broker, arguments[1]) == list(range(110))
    assert segments(tmp_path) == []


def test_what_was_spooled_or_acknowledged_survives_sigkill(target, script, arrived, tmp_path):
    broker, arguments = target
    code = """
    emit(0, 500)
    while producer.stats().in_spool < 500: time.sleep(0.01)
    print("spooled", flush=True)
    time.sleep(600)
    """
    killed = script(BEGINNING + code, NOBODY, *arguments[1:])
    assert killed.line() == "spooled"
    killed.kill()
    code = """
    emit(500, 600)
    assert producer.flush(300)
    print("acknowledged", flush=True)
    time.sleep(600)
    """
    killed = script(BEGINNING + code, *arguments)
    assert killed.line() == "acknowledged"
    killed.kill()
    assert arrived(broker, arguments[1]) == list(range(600))
    assert segments(tmp_path) == []


def test_of_two_successors_one_sends_what_a_killed_process_left(target, script, arrived, tmp_path):
    broker, arguments = target
    code = """
    emit(0, 300)
    while producer.stats().in_spool < 300: time.sleep(0.01)
    print("spooled", flush=True)
    time.sleep(600)
    """
    killed = script(BEGINNING + code, NOBODY, *arguments[1:])
    assert killed.line() == "spooled"
    killed.kill()
    successors = [script(BEGINNING + f"\n    emit({n}, {n + 10})", *arguments) for n in (300, 310, 320)]
    for successor in successors:
        successor.end()
    assert arrived(broker, arguments[1]) == list(range(330))
    assert segments(tmp_path) == []


def test_sigterm_turned_into_an_exit_as_documented_sends_everything(target, script, arrived):
    broker, arguments = target
    code = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    emit(0, 200)
    print("emitted", flush=True)
    time.sleep(600)
    """
    program = script(BEGINNING + code, *arguments)
    assert program.line() == "emitted"
    program.process.send_signal(signal.SIGTERM)
    program.end()
    assert arrived(broker, arguments[1]) == list(range(200))


def test_a_signal_handler_may_emit_and_close(target, script, arrived):
    broker, arguments = target
    code = """
    import signal

    def last_words(*_):
        emit(1_000_000, 1_000_001)
        producer.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, last_words)
    print("ready", flush=True)
    number = 0
    while True:
        emit(number, number + 1)
        number += 1
        time.sleep(0.0001)
    """
    program = script(BEGINNING + code, *arguments)
    assert program.line() == "ready"
    program.process.send_signal(signal.SIGTERM)
    program.end()
    received = arrived(broker, arguments[1])
    assert received == [*range(len(received) - 1), 1_000_000]


def test_connecting_and_checking_load_no_module_at_which_a_forked_child_could_hang(target, script):
    """A module that is being loaded while a process forks is locked in the child for ever; these two are loaded while none can."""
    code = """
    from tokentide.producers.kafka_transport import load_client
    from tokentide.producers.inspector import _load
    load_client()
    _load()
    before = set(sys.modules)
    emit(0, 1)
    assert producer.flush(300)
    print(sorted(set(sys.modules) - before), flush=True)
    """
    program = script(BEGINNING + code, *target[1])
    assert program.line() == "[]"
    program.end()


def test_forked_children_and_their_parent_send_each_their_own_and_once(target, script, arrived):
    broker, arguments = target
    code = """
    emit(0, 100)            # some of it is still in the queue when the children begin
    children = []
    for child in range(1, 4):
        pid = os.fork()
        if pid == 0:
            assert producer.stats().emitted == 0
            emit(child * 1000, child * 1000 + 100)
            sys.exit(0)     # as gunicorn's workers end: with atexit
        children.append(pid)
    emit(100, 200)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    emit(200, 300)
    """
    told = script(BEGINNING + code, *arguments).end()
    expected = [*range(300), *(n for child in (1, 2, 3) for n in range(child * 1000, child * 1000 + 100))]
    assert arrived(broker, arguments[1]) == expected, told


def test_a_child_forked_while_the_parent_emits_in_other_threads_is_not_stuck(target, script, arrived):
    broker, arguments = target
    code = """
    import threading
    counts = [0] * 4

    def busy(index):
        for number in range(500):
            emit(index * 10_000 + number, index * 10_000 + number + 1)

    threads = [threading.Thread(target=busy, args=(index,)) for index in range(4)]
    for thread in threads: thread.start()
    for child in range(10):
        pid = os.fork()
        if pid == 0:
            emit(100_000 + child, 100_001 + child)
            assert producer.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    for thread in threads: thread.join()
    """
    script(BEGINNING + code, *arguments).end()
    expected = [index * 10_000 + number for index in range(4) for number in range(500)]
    assert arrived(broker, arguments[1]) == [*expected, *range(100_000, 100_010)]


def test_children_of_multiprocessing_send_everything_although_they_leave_past_atexit(target, script, arrived):
    broker, arguments = target
    code = """
    import multiprocessing

    emit(0, 10)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=emit, args=(n * 1000, n * 1000 + 100)) for n in (1, 2)]
    for child in children: child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    """
    script(BEGINNING + code, *arguments).end()
    assert arrived(broker, arguments[1]) == [*range(10), *range(1000, 1100), *range(2000, 2100)]


def test_a_child_takes_nothing_of_its_parent_s_spool(target, script, arrived, tmp_path):
    broker, arguments = target
    code = """
    emit(0, 50)
    while producer.stats().in_spool < 50: time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        emit(1000, 1050)
        while producer.stats().in_spool < 50: time.sleep(0.01)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert producer.stats().in_spool == 50
    """
    script(BEGINNING + code, NOBODY, *arguments[1:]).end()
    script(BEGINNING + "\n    emit(2000, 2001)", *arguments).end()
    assert arrived(broker, arguments[1]) == [*range(50), *range(1000, 1050), 2000]
    assert segments(tmp_path) == []


def test_a_producer_closed_before_the_fork_stays_closed(target, script, arrived):
    broker, arguments = target
    code = """
    emit(0, 5)
    assert producer.close()
    pid = os.fork()
    emit(5, 10)
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
    """
    script(BEGINNING + code, *arguments).end()
    assert arrived(broker, arguments[1]) == list(range(5))


@pytest.mark.parametrize("flags", [(), ("-W", "error")])
def test_no_prompt_reaches_a_log_even_at_debug_and_the_client_is_quiet(target, script, arrived, flags):
    broker, arguments = target
    code = """
    import logging
    logging.basicConfig(level=logging.DEBUG)
    for number in range(20):
        producer.emit({"input_tokens": number, "input": "prompt-canary", "user_id": "user-canary"})
    """
    written = script(BEGINNING + code, *arguments, flags=flags).end()
    assert "canary" not in written
    assert "Traceback" not in written
    assert "DEBUG:kafka" not in written
    assert arrived(broker, arguments[1]) == list(range(20))


def test_while_kafka_is_away_the_log_has_a_line_and_not_hundreds(script, tmp_path):
    code = """
    import logging
    logging.basicConfig(level=logging.DEBUG)
    emit(0, 10)
    time.sleep(4)
    """
    written = script(BEGINNING + code, NOBODY, "llm.events", str(tmp_path / "spool")).end()
    assert [line for line in written.splitlines() if "WARNING" in line or "ERROR" in line] == [
        line for line in written.splitlines() if "does not answer" in line
    ]
    assert written.count("does not answer") == 1
