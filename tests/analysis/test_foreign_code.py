"""Code of others in an analysis: whatever it raises, and however its process dies, is one line; the rest goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import landscape as ls
from landscape.analysis import barriers, pipeline
from landscape.analysis.jobs import advice, needs_processes
from landscape.errors import ForeignError, Frame, as_ours, foreign_errors, users_frame
from landscape.jobs.exit_reasons import Advice, why_it_ended
from tests.support import faults
from tests.support.faults import RAISES, SWITCH, TINY, save


@pytest.fixture
def switch(tmp_path, monkeypatch):
    """Faults are on while this file exists."""
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    file = tmp_path / "switch"
    monkeypatch.setenv(SWITCH, str(file))
    return file


def skipped(results) -> dict[str, str]:
    return {bad["file"]: bad["reason"] for bad in results.info["skipped"]}


def test_whatever_a_model_raises_is_one_line_with_its_place_and_the_other_runs_are_measured(tmp_path, switch):
    runs = tmp_path / "runs"
    save(runs / "sound")
    for name in RAISES:
        save(runs / name, steps=1, fault=name)
    switch.touch()
    results = ls.load_results(ls.analyze(runs, ls.Plan(**TINY)))
    assert [run.name for run in results.runs] == ["sound"]
    assert len(results.runs[0].checkpoints) == 2
    said = skipped(results)
    assert set(said) == {f"{name}/step_00000001.h5" for name in RAISES}
    for name, (_, start) in RAISES.items():
        reason = said[f"{name}/step_00000001.h5"]
        assert reason.removeprefix("the model or loss raised ").startswith(start), reason
        assert f"tests{os.sep}support{os.sep}faults.py:" in reason
        assert "\n" not in reason
        assert len(reason) < 500
    traces = {bad["file"]: bad["traceback"] for bad in results.info["skipped"]}
    assert "in forward" in traces["ZeroDivisionError/step_00000001.h5"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"fault": "SystemExit", "where": "factory"}, r"SystemExit: 3 \(tests/support/faults.py:\d+, in raising\)"),
        ({"fault": "ImportError", "where": "factory"}, r"no_such_module' \(tests/support/faults.py:\d+, in <lambda>\)"),
        ({"fault": "backward"}, r"KeyError: 'in backward' \(tests/support/faults.py:\d+, in backward\)"),
    ],
)
def test_where_nothing_can_be_measured_that_is_the_error_and_its_cause_is_attached(tmp_path, switch, config, said):
    folder = save(tmp_path / "run", steps=1, **config)
    switch.touch()
    with pytest.raises(ls.CheckpointError, match=f"nothing in .* could be measured. First reason: .*{said}") as caught:
        ls.analyze(folder, ls.Plan(**TINY))
    assert "\n" not in str(caught.value)
    if config["fault"] == "backward":
        assert "in backward" in str(caught.value.__cause__)


def test_an_error_at_one_quantity_leaves_the_others(tmp_path, switch):
    folder = save(tmp_path / "run", steps=1, fault="far")
    switch.touch()
    results = ls.load_results(ls.analyze(folder, ls.Plan(**TINY)))
    assert {"point", "eigenpairs", "trace", "density"} <= set(results.runs[0].last.records)
    said = skipped(results)
    assert said
    assert all(file.startswith("run/step_00000001.h5: ") for file in said)
    assert all("ArithmeticError: the loss rose above 0.4" in reason for reason in said.values())
    assert "plane" in {file.partition(": ")[2] for file in said}


def test_a_line_between_minima_that_cannot_be_measured_is_listed(tmp_path, switch, monkeypatch):
    def broken(*_, **__):
        raise IndexError("no such point")

    for optimizer in ("adam", "sgd"):
        save(tmp_path / "runs" / optimizer, steps=1, optimizer=optimizer)
    monkeypatch.setattr(barriers.geometry, "interpolate", broken)
    results = ls.load_results(ls.analyze(tmp_path / "runs", ls.Plan(**{**TINY, "barriers": 1})))
    assert list(skipped(results)) == ["adam to sgd: interpolation"]
    assert "IndexError: no such point" in skipped(results)["adam to sgd: interpolation"]
    assert len(results.runs) == 2


def test_an_interrupt_is_no_error_of_the_model(tmp_path, switch, monkeypatch):
    folder = save(tmp_path / "run", steps=1, fault="ZeroDivisionError")
    switch.touch()
    monkeypatch.setitem(faults.FAULTS, "ZeroDivisionError", lambda: faults.raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        ls.analyze(folder, ls.Plan(**TINY))


def test_processes_that_die_lose_nothing_and_are_reported_by_their_signals(tmp_path, switch):
    """Measured once, then two of three die: what was measured of them before is still there, and shown."""
    runs = tmp_path / "runs"
    for name, fault in (("crashes", "crash"), ("killed", "kill"), ("sound", "")):
        save(runs / name, steps=1, fault=fault)
    plan = ls.Plan(**TINY)
    before = ls.load_results(ls.analyze(runs, plan))
    switch.touch()
    after = ls.load_results(ls.analyze(runs, ls.Plan(**{**TINY, "workers": 2})))
    said = skipped(after)
    assert set(said) == {"crashes", "killed"}
    assert "crashed inside a compiled library with SIGSEGV" in said["crashes"]
    assert "in crash)" in said["crashes"] or "in crash." in said["crashes"] or ", in crash" in said["crashes"]
    assert f"tests{os.sep}support{os.sep}faults.py:" in said["crashes"]
    assert "--workers" not in said["crashes"]
    assert "SIGKILL, as the system does where memory runs out" in said["killed"]
    assert all(reason.endswith("(what was measured before is shown)") for reason in said.values())
    assert [run.name for run in after.runs] == ["crashes", "killed", "sound"]
    for run in before.runs:
        assert set(after.run(run.name).last.records) == set(run.last.records)
        for name, how in run.last.provenance.items():
            assert after.run(run.name).last.provenance[name] == how


def test_what_a_model_prints_reads_or_forks_does_not_disturb_the_answers(tmp_path, switch, monkeypatch):
    (tmp_path / "noisy.py").write_text(
        "import os, sys\n"
        "from tests.support import faults\n"
        "def factory(**config):\n"
        "    print('{\"outcome\": 1}')\n"
        "    os.write(1, b'no JSON\\n')\n"
        "    os.write(2, bytes(range(128, 256)))\n"
        "    assert sys.stdin.read() == ''\n"
        "    if not os.fork():\n"
        "        import time\n"
        "        time.sleep(20)\n"
        "        os._exit(0)\n"
        "    return faults.factory(**config)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = save(tmp_path / "run", steps=1)
    plan = ls.Plan(**{**TINY, "workers": 2, "problem": "noisy:factory"})
    results = ls.load_results(ls.analyze(folder, plan))
    assert results.info["skipped"] == []
    assert len(results.runs) == 1


def test_one_alone_gets_a_process_of_its_own_only_where_that_is_of_use():
    plan = ls.Plan("quick")
    assert not needs_processes(plan, 1, after_a_crash=False)
    assert needs_processes(plan, 1, after_a_crash=True)
    assert needs_processes(plan, 2, after_a_crash=False)
    assert not needs_processes(ls.Plan("quick", workers=1), 1, after_a_crash=True)
    assert needs_processes(ls.Plan("quick", workers=4), 1, after_a_crash=False)


def test_a_store_knows_that_its_last_writer_died(tmp_path):
    code = "import os, sys\nfrom landscape.store import ResultStore\nstore = ResultStore(sys.argv[1])\nos._exit(1)"
    with ls_store(tmp_path) as store:
        assert not store.after_a_crash
    with ls_store(tmp_path) as store:
        assert not store.after_a_crash
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with ls_store(tmp_path) as store:
        assert store.after_a_crash


def ls_store(folder):
    from landscape.store import ResultStore

    return ResultStore(folder)


# --- why a process ended ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, as the system does where memory runs out"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV (it touched memory that is not its own), called from"),
        ("os.abort()", "SIGABRT (the library gave up), called from"),
        ("os.kill(os.getpid(), signal.SIGFPE)", "SIGFPE (an integer was divided by zero), called from"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS (it touched memory that is not there), called from"),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL (the library has instructions that this processor lacks)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "ended by SIGTERM, from outside"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "SIGXCPU: a limit of this session of processor time (ulimit -t)"),
        ("print('one\\ntwo', file=sys.stderr); os.abort()", "after saying: two. Another --dtype"),
        ("sys.exit('no more')", "status 1: no more"),
        ("os._exit(7)", "status 7: it said nothing"),
        ("raise KeyError('x')", "status 1: KeyError: 'x'"),
        ("import no_such_module", "status 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_the_end_of_a_process_is_told_by_its_signal_or_last_words(code, said, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import os, signal, sys\ndef inner():\n    {code}\ninner()\n")
    done = subprocess.run([sys.executable, "-X", "faulthandler", str(script)], capture_output=True, text=True)
    line = why_it_ended(done.returncode, done.stderr, advice(alone=False))
    assert said in line
    if "called from" in said:
        assert f"{script}:3, in inner" in line
    assert "\n" not in line


def test_only_where_memory_ran_out_beside_others_are_fewer_processes_advised():
    killed = why_it_ended(-signal.SIGKILL, "", advice(alone=False))
    assert "--workers 1" in killed
    assert "--workers" not in why_it_ended(-signal.SIGKILL, "", advice(alone=True))
    for number in set(signal.Signals) - {signal.SIGKILL}:
        line = why_it_ended(-number, "", advice(alone=False))
        assert "--workers" not in line
        assert signal.Signals(number).name in line
    assert "ended by signal 99" in why_it_ended(-99, "", Advice())


# --- errors as ours -----------------------------------------------------------------------------------------------


def test_an_error_of_ours_stays_and_a_foreign_one_is_attached_to_ours():
    own = ls.UsageError("ours")
    assert as_ours(own) is own
    with pytest.raises(ls.UsageError, match="^ours$"), foreign_errors("drawing"):
        raise own
    said = r"^drawing: KeyError: 'x' \(tests/analysis/test_foreign_code.py:\d+"
    with pytest.raises(ForeignError, match=said) as caught, foreign_errors("drawing"):
        raise KeyError("x")
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_place_told_is_the_innermost_line_of_the_users_own():
    torch_file = f"{os.path.dirname(__import__('torch').__file__)}/nn/modules/module.py"
    package = f"{os.path.dirname(pytest.__file__)}/models.py"
    own, ours = Frame("/home/me/model.py", 1, "forward"), Frame(pipeline.__file__, 2, "analyze")
    inside, beside = Frame(torch_file, 3, "linear"), Frame(package, 4, "attention")
    library = Frame(os.__file__, 5, "walk")
    assert users_frame([ours, own, inside, library]) == own
    assert users_frame([ours, beside, inside, library]) == beside
    assert users_frame([ours, inside]) == inside
    assert users_frame([ours, Frame("/home/me/landscape_models/a.py", 6, "b")]).line == 6
    assert users_frame([]) is None


def test_a_file_that_is_no_python_is_told_by_its_line(tmp_path, monkeypatch):
    (tmp_path / "unfinished.py").write_text("x = 1\ndef f(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ls.UsageError, match=r"SyntaxError: .*unfinished.py:2"):
        ls.problems.load_problem("unfinished:factory")
