"""SIGTERM ends a rank a moment later, nobody else's handler is taken over, and processes below it end as ever."""

from __future__ import annotations

import signal
import subprocess
import sys

from landscape.distributed import termination

BEFORE = """
import os, signal, sys, threading, time
from landscape.distributed.termination import _noted, linger
"""


def ended(code: str) -> tuple[int, str]:
    """Exit status and standard output of a process that runs the code."""
    done = subprocess.run([sys.executable, "-c", BEFORE + code], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def test_it_ends_though_the_main_thread_never_looks():
    code = """
linger()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
print("waits", flush=True)
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""
    assert ended(code) == (termination.STATUS, "waits\n")


def test_a_process_that_is_forked_is_ended_at_once_and_ends_no_other():
    code = """
linger()
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
time.sleep(2)
"""
    assert ended(code) == (0, f"{-signal.SIGTERM}\n")


def test_who_heeds_the_signal_alone_goes_on_doing_so():
    before = """
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
linger()
"""
    after = """
linger()
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
"""
    told = """
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(2)
"""
    assert ended(before + told) == (0, "mine\n")
    assert ended(after + told) == (0, "mine\n")


def test_another_thread_leaves_the_signal_as_it_is():
    code = """
thread = threading.Thread(target=linger)
thread.start()
thread.join()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""
    assert ended(code) == (0, "True\n")
