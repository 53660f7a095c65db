"""What is released: wheel and source archive hold all that the package needs, and work in an empty environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: So that what is read is what is installed, never the checkout.
PLAIN = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
pytestmark = pytest.mark.slow


def done(*command: object, cwd: Path, limit: float = 900) -> str:
    ran = subprocess.run([str(part) for part in command], cwd=cwd, env=PLAIN, capture_output=True, text=True,
                         timeout=limit)  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


def tracked(*under: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *under], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout of git")
    return listed.stdout.split()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and source archive, of a copy of what git has, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in tracked("landscape", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for make in ("build_wheel", "build_sdist"):
        done(sys.executable, "-c", f"from setuptools import build_meta; build_meta.{make}({str(out)!r})", cwd=source)
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The wheel in an environment that has nothing else; libraries come from that of the tests, behind it."""
    where = tmp_path_factory.mktemp("environment")
    venv.create(where, with_pip=False, symlinks=os.name != "nt")
    scripts = where / ("Scripts" if os.name == "nt" else "bin")
    done(sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps", "--no-index",
         "--disable-pip-version-check", built[0], cwd=where)  # fmt: skip
    site = Path(
        done(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=where).strip()
    )
    # A path in such a file is added as it is: an editable install of the checkout, which is one there, is not followed.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    place = done(scripts / "python", "-c", "import landscape; print(landscape.__file__)", cwd=where).strip()
    assert Path(place).is_relative_to(where)
    return scripts, where


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    there = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert there == set(tracked("landscape"))
    assert any(name.endswith("LICENSE") for name in names)


def test_a_wheel_of_the_source_archive_is_the_same(built, tmp_path):
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    done(
        sys.executable,
        "-c",
        f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})",
        cwd=source,
    )
    (again,) = tmp_path.glob("*.whl")
    one, other = (zipfile.ZipFile(path) for path in (built[0], again))
    package = {name for name in one.namelist() if name.startswith("landscape/")}
    assert package == {name for name in other.namelist() if name.startswith("landscape/")}
    assert all(one.read(name) == other.read(name) for name in package)


def test_the_installation_proves_itself(installed):
    scripts, where = installed
    assert "all hold" in done(scripts / "landscape", "selfcheck", cwd=where)


def test_the_commands_are_there(installed):
    scripts, where = installed
    assert "--seeds" in done(scripts / "landscape", "demo", "--help", cwd=where)
    done(scripts / "landscape", "init", "mine", cwd=where)
    assert (where / "mine.py").stat().st_size > 0


def test_a_report_is_written_with_all_that_it_is_made_of(installed):
    """Templates, style and scripts of the page are package data; figures.py is made of the package's own source."""
    from tests.support.synthetic_results import make_results

    scripts, where = installed
    make_results(where / "runs", optimizers=("adam",), seeds=(0,), steps=(1, 2), vectors=False)
    done(scripts / "landscape", "report", "runs", "--style", "icml", cwd=where)
    assert (where / "runs" / "report.html").stat().st_size > 100_000
    done(scripts / "python", "runs/figures/figures.py", "summary", cwd=where)


def test_types_are_found_by_a_type_checker(installed):
    scripts, where = installed
    (where / "typed.py").write_text(
        "from landscape.results import Estimate\n\nreveal_type(Estimate(1.0).value)\nEstimate(1.0).interval('a')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(scripts / "python"), "--config-file", os.devnull,
         "--follow-imports", "silent", "typed.py"],
        cwd=where, env=PLAIN, capture_output=True, text=True,
    )  # fmt: skip
    assert 'Revealed type is "float"' in ran.stdout.replace("builtins.", ""), ran.stdout
    assert 'incompatible type "str"' in ran.stdout, ran.stdout
