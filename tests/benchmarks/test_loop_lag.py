import time

from control.loop_lag import EVERY_S, LoopLag
from tests.support.virtual_loop import VirtualLoop


def test_every_tick_is_observed_with_its_lateness():
    loop = VirtualLoop()
    seen: list[float] = []
    lag = LoopLag(loop, seen.append, clock=loop.time)
    lag.start()
    loop.call_later(10.5 * EVERY_S, lag.stop)
    loop.call_later(20 * EVERY_S, loop.stop)
    loop.run_forever()
    loop.close()
    assert len(seen) == 10
    assert max(seen) < 1e-6


def test_a_callback_that_blocks_shows():
    loop = VirtualLoop()
    seen: list[float] = []

    def block() -> None:
        loop.jumping.now_s += 0.25

    lag = LoopLag(loop, seen.append, clock=loop.time)
    lag.start()
    loop.call_later(2.5 * EVERY_S, block)
    loop.call_later(6 * EVERY_S + 0.25, loop.stop)
    loop.run_forever()
    lag.stop()
    loop.close()
    assert [round(value, 3) for value in seen[:4]] == [0, 0, 0.245, 0]


def test_a_restart_does_not_double_it():
    loop = VirtualLoop()
    seen: list[float] = []
    lag = LoopLag(loop, seen.append, clock=loop.time)
    lag.start()
    lag.start()
    loop.call_later(3.5 * EVERY_S, loop.stop)
    loop.run_forever()
    lag.stop()
    loop.close()
    assert len(seen) == 3


def test_the_real_clock_is_the_default():
    loop = VirtualLoop()
    lag = LoopLag(loop, lambda value: None)
    assert lag._clock is time.monotonic
    loop.close()
