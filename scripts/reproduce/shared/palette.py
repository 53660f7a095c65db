"""The colours of the facts' figures: those of landscape's own, by name."""

from __future__ import annotations

from landscape.plots.style import PALETTE, REFERENCE_COLOR

BLACK, BLUE, SKY, GREEN, RED, ORANGE, PINK, BROWN = (style.color for style in PALETTE.values())
GREY = REFERENCE_COLOR
