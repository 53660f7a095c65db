"""Names that people, or folders, bring: every medium must show them whole, harmless and apart."""

from __future__ import annotations

ESC = "\x1b"
NAMES = (
    "a_b & 50%#{$}\\~^",
    "α",
    "β",
    "run $x^2$ and $y$",
    "<script>alert(1)</script>",
    "[bold]markup[/bold] [/]",
    "=cmd|'/c calc'!A1",
    "@SUM(1+1)",
    f"{ESC}[31mred{ESC}]0;title\x07",
    "\x9b2Jclear",
    "two\nlines\r\tof",
    "\u202eright to left\u2066",
    "undecodable-\udcff",
    "_underscore",
    "-dash --double",
    "emoji 😀 and 日本語",
    "[brackets] * star",
    "x" * 240,
    "lr" + "=0.1,wd" * 34 + "-s0",
    "%",
    "Ünïcödé ß ł ő",
)
