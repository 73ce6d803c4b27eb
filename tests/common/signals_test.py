import os
import signal
import threading

import pytest

from behavior_lm.common.signals import exit_when_stopped
from behavior_lm.common.signals import Interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def send(number):
  os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_is_noted_and_the_step_goes_on(number):
  before = [signal.getsignal(one) for one in SIGNALS]
  with Interrupt() as interrupt:
    assert interrupt.requested == ""
    send(number)
    assert interrupt.requested == number.name
  assert [signal.getsignal(one) for one in SIGNALS] == before


@pytest.fixture
def caught_by_python():
  """A process that a shell put into the background ignores Ctrl-C."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("caught_by_python")
def test_a_second_ctrl_c_is_not_caught():
  with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    assert interrupt.requested == "SIGTERM"
    send(signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_is_stopped_cleans_up_and_says_how_to_go_on(
    number, capsys
):
  before = [signal.getsignal(one) for one in SIGNALS]
  said = []
  with pytest.raises(SystemExit) as ended, exit_when_stopped("run it again."):
    try:
      send(number)
    except Exception:
      said.append("swallowed")
    finally:
      said.append("cleaned up")
    said.append("went on")
  assert said == ["cleaned up"]
  assert ended.value.code == 128 + number
  assert capsys.readouterr().err == f"stopped by {number.name}; run it again.\n"
  assert [signal.getsignal(one) for one in SIGNALS] == before


def test_what_is_not_stopped_is_left_alone():
  with exit_when_stopped("never said"):
    done = True
  assert done
  with pytest.raises(ZeroDivisionError), exit_when_stopped("never said"):
    raise ZeroDivisionError


def test_another_thread_catches_nothing():
  before = signal.getsignal(signal.SIGINT)
  seen = []

  def work():
    with Interrupt(), exit_when_stopped("never said"):
      seen.append(signal.getsignal(signal.SIGINT))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen == [before]
