"""Tests on the pretended device, each in a process of its own.

A process has its devices from its first backward pass on, and keeps them. So a test that wants this one is run by a
server that has loaded torch and made the device, and forks for each of them.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch

TIMEOUT = 600.0  # seconds until a test counts as stuck
_SUPPORT = "tests.support.pretended_device"


def on_pretended_device(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test where the device is; its first argument is the device, the others are as they are given.

    Both generators of random numbers, of the CPU and of the device, must be where they were at its end.
    """

    @functools.wraps(test)
    def run(**given: Any) -> None:
        _apart(test.__module__, test.__qualname__, given)

    del run.__wrapped__  # type: ignore[attr-defined]
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    run.__signature__ = _signature(names)  # type: ignore[attr-defined]
    run.on_device = test  # type: ignore[attr-defined]
    return run


def _signature(names: tuple[str, ...]) -> Any:
    from inspect import Parameter, Signature

    return Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _apart(module: str, name: str, given: dict[str, Any]) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_SUPPORT, "landscape.estimators", "landscape.geometry", "landscape.operators"])
    ours, its = context.Pipe()
    process = context.Process(target=_run, args=(its, module, name, given), daemon=False)
    process.start()
    its.close()
    try:
        outcome, text = ours.recv() if ours.poll(TIMEOUT) else ("failed", f"not done within {TIMEOUT:g} s")
    except EOFError:
        process.join()
        outcome, text = "failed", f"its process ended with {process.exitcode} and said nothing"
    process.join(10)
    if process.is_alive():
        process.kill()
    if outcome == "skipped":
        pytest.skip(text)
    if outcome == "failed":
        pytest.fail(text, pytrace=False)


def _run(connection: Any, module: str, name: str, given: dict[str, Any]) -> None:
    """In the other process."""
    try:
        connection.send(_outcome(module, name, given))
    finally:
        connection.close()


def _outcome(module: str, name: str, given: dict[str, Any]) -> tuple[str, str]:
    from tests.support.pretended_device import install, kernels, refusals

    device = install()
    torch.set_num_threads(1)
    torch.manual_seed(12345)
    kernels.generator.manual_seed(54321)
    states = torch.random.get_rng_state(), kernels.generator.get_state()
    try:
        getattr(importlib.import_module(module), name).on_device(device, **given)
    except pytest.skip.Exception as reason:
        return "skipped", str(reason)
    except BaseException:
        return "failed", traceback.format_exc()
    if refusals:
        return "failed", f"what the device refused was caught and passed over: {refusals[0]}"
    if not torch.equal(states[0], torch.random.get_rng_state()):
        return "failed", "the test moved torch's global generator"
    if not torch.equal(states[1], kernels.generator.get_state()):
        return "failed", "the test moved the generator of the device"
    return "passed", ""
