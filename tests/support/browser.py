"""Headless chromium: a page in a frame of some width, and what a script in it reports."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader", "--allow-file-access-from-files",
)  # fmt: skip

#: Before all other scripts: every error is kept. At the end: the test's own words, then all is told to the frame.
_BEFORE = """<script>
window.seen = [];
addEventListener("error", event => seen.push(String(event.message)));
addEventListener("unhandledrejection", event => seen.push(String(event.reason)));
const complain = console.error; console.error = (...all) => { seen.push(all.join(" ")); complain(...all); };
addEventListener("load", () => setTimeout(async () => {
  const wait = ms => new Promise(done => setTimeout(done, ms));
  const $ = s => document.querySelector(s), $$ = s => [...document.querySelectorAll(s)];
  let told = null;
  try { told = await (async () => { SCRIPT })(); } catch (error) { seen.push(String(error.stack || error)); }
  const overflow = document.documentElement.scrollWidth - innerWidth;
  parent.postMessage(JSON.stringify({ told, overflow, seen }), "*");
}, 600));
</script>"""


def browse(html: str, folder: Path, *, width: int = 1280, script: str = "return null;", query: str = "") -> Any:
    """What the script returns in the page, with ``overflow`` in pixels and the errors ``seen``."""
    (folder / "probed.html").write_text(html.replace("<head>", "<head>" + _BEFORE.replace("SCRIPT", script), 1))
    (folder / "frame.html").write_text(
        f'<iframe src="probed.html{query}" style="width:{width}px;height:900px;border:0"></iframe>'
        "<pre></pre><script>onmessage = e => { document.querySelector('pre').textContent = btoa(unescape("
        "encodeURIComponent(e.data))); };</script>"
    )
    dom = _chromium(folder, "--virtual-time-budget=30000", "--window-size=2000,1000", "--dump-dom", page="frame.html")
    found = re.search(r"<pre>([\w+/=]+)</pre>", dom)
    assert found, f"the page said nothing: {dom[-300:]}"
    return json.loads(base64.b64decode(found.group(1)))


def printed(html: str, folder: Path) -> bytes:
    """The page as PDF."""
    (folder / "printed.html").write_text(html)
    _chromium(folder, "--virtual-time-budget=15000", f"--print-to-pdf={folder / 'page.pdf'}", page="printed.html")
    return (folder / "page.pdf").read_bytes()


def _chromium(folder: Path, *flags: str, page: str) -> str:
    assert CHROMIUM is not None
    call = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, f"file://{folder / page}"]
    return subprocess.run(call, capture_output=True, text=True, timeout=240).stdout
