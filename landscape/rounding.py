"""Print a number to the precision that its error supports."""

from __future__ import annotations

import math


def format_value(value: float | None, *, digits: int = 4) -> str:
    """Print a number that has no error of its own.

    >>> format_value(0.0000123456), format_value(41.0), format_value(None), format_value(float("nan"))
    ('1.235e-5', '41', '—', 'not a number')
    """
    if value is None:
        return "—"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return _tidy(f"{value:.{digits}g}")


def format_measured(value: float | None, error: float | None) -> str:
    """Print ``value ± error`` with two digits of the error, and no digit of the value beyond them.

    An unknown error leaves four digits; an error of zero leaves the value as it is.

    >>> format_measured(3.6412, 0.2345), format_measured(104321.0, 2100.0), format_measured(4.5, 0.0)
    ('3.64 ± 0.23', '104300 ± 2100', '4.5')
    >>> format_measured(1.2345e-6, 4.1e-8), format_measured(2.0, None), format_measured(-1e-9, 6.5e-7)
    ('(1.235 ± 0.041)e-6', '2', '(0.0 ± 6.5)e-7')
    """
    if value is None or not math.isfinite(value) or error is None or math.isnan(error):
        return format_value(value)
    if error == 0 or abs(error) < 1e-13 * abs(value):
        return format_value(value, digits=12)
    if math.isinf(error):
        return f"{format_value(value)} ± ∞"
    scale = max(abs(value), abs(error))
    exponent = math.floor(math.log10(scale))
    if -4 <= exponent < 7:
        return " ± ".join(_to_error(x, error) for x in (value, error))
    power = 10.0**exponent
    inner = " ± ".join(_to_error(x / power, error / power) for x in (value, error))
    return f"({inner})e{exponent}"


#: How a text begins that stands for a number swallowed by its error.
NOT_RESOLVED = "not resolved"


def is_resolved(value: float, reach: float | None, *, most: float = math.inf) -> bool:
    """Whether a number between 0 and ``most`` is known: its 95 % error is below it, and below half of its range.

    >>> is_resolved(0.3, 0.1), is_resolved(0.3, 0.3), is_resolved(0.95, 0.9, most=1.0), is_resolved(0.3, None)
    (True, False, False, False)
    """
    if reach is None or math.isnan(reach):
        return False
    return reach == 0 or (reach < abs(value) and reach < most / 2)


def format_resolved(value: float, reach: float | None, *, most: float = math.inf, unit: str = "") -> str:
    """Print ``value ± reach`` of a quantity that is never negative, or that its error swallows it.

    Parameters
    ----------
    reach : float or None
        Half of its 95 % interval; None where no error is known.
    most : float
        The largest value that the quantity can have.

    Examples
    --------
    >>> format_resolved(12.31, 1.13, most=100, unit=" %"), format_resolved(12.31, 90.2, most=100, unit=" %")
    ('12.3 ± 1.1 %', 'not resolved (± 90 %)')
    >>> format_resolved(3.0, 0.0), format_resolved(3.0, None), format_resolved(0.0, 0.004)
    ('3', 'not resolved (its error is not known)', 'not resolved (± 0.004)')
    """
    if not math.isfinite(value):
        return format_value(value)
    if is_resolved(value, reach, most=most):
        return format_measured(value, reach) + unit
    if reach is None or math.isnan(reach):
        return f"{NOT_RESOLVED} (its error is not known)"
    return f"{NOT_RESOLVED} (± {format_short(min(reach, most))}{unit})"


def format_short(value: float) -> str:
    """Two digits, hundreds in full: for what no error of its own rounds, such as an effect or the end of an interval.

    >>> format_short(0.2641), format_short(387.2), format_short(-17.84), format_short(123456.0)
    ('0.26', '390', '-18', '1.2e5')
    """
    if not 100 <= abs(value) < 1e5:
        return format_value(value, digits=2)
    return f"{float(f'{value:.2g}'):.0f}"


def format_factor(value: float, factor: float) -> str:
    """Print ``value ×/÷ factor``, the value to the digits that the factor leaves; alone where the factor is 1.

    >>> format_factor(9.1234, 1.62), format_factor(9.1234, 1.0021), format_factor(123456, 47.3)
    ('9.1 ×/÷ 1.62', '9.123 ×/÷ 1.0021', '120000 ×/÷ 47')
    >>> format_factor(2.5, 1.0), format_factor(2.5e-7, math.inf)
    ('2.5', '2.5e-7 ×/÷ ∞')
    """
    if not factor > 1 + 1e-5:
        return format_value(value)
    digits = min(max(1 - math.floor(math.log10(1 - 1 / factor)), 2), 5)
    places = digits - 1 - math.floor(math.log10(value))
    plain = 1e-4 <= value < 1e6
    shown = f"{round(value, places):.{max(places, 0)}f}" if plain else _tidy(f"{value:.{digits - 1}e}")
    share = format_short(factor) if factor >= 2 else f"{1 + float(f'{factor - 1:.1e}'):.6g}"
    return f"{shown} ×/÷ {share}"


def format_brief(value: float | None, error: float | None, *, digits: int = 5) -> str:
    """Print ``value ± error`` for a table: an error below the last of five digits is left out, it changes none of them.

    >>> format_brief(7.1528969, 7.1e-6), format_brief(7.1528969, 0.002), format_brief(26.2, 4.4)
    ('7.1529', '7.1529 ± 0.0020', '26.2 ± 4.4')
    """
    if value and error is not None and math.isfinite(value) and math.isfinite(error):
        last_place = math.floor(math.log10(abs(value))) - digits + 1
        if error < 0.5 * 10.0**last_place:
            return format_value(value, digits=digits)
    return format_measured(value, error)


def same_number(written: float, measured: float, *, relative: float = 1e-3, absolute: float = 1e-6) -> bool:
    """Whether a number that someone wrote down can be the measured one: equal but for float32 and for its last digit.

    ``relative`` leaves room for other orders of summation, ``absolute`` for losses so small that they are rounding; a
    number written with two decimals or more may be rounded to these. Anything finite differs from what is not.

    >>> same_number(0.97, 0.9681), same_number(0.5, 0.4), same_number(1.0, 0.96), same_number(0.0, 3e-8)
    (True, False, False, True)
    """
    if not (math.isfinite(written) and math.isfinite(measured)):
        return written == measured or (math.isnan(written) and math.isnan(measured))
    _, _, decimals = repr(float(written)).partition(".")
    last_digit = 0.5 * 10.0 ** -len(decimals) if decimals.isdigit() and len(decimals) > 1 else 0.0
    return abs(written - measured) <= max(relative * abs(measured), absolute, 1.000001 * last_digit)


def _to_error(x: float, error: float) -> str:
    """Round x where the second digit of the error stands."""
    rounded = float(f"{abs(error):.1e}")  # 0.0999 is 0.10 to two digits, a place further left
    place = 1 - math.floor(math.log10(rounded))
    if place > 12:
        return f"{x:.12g}"
    return f"{round(x, place) + 0.0:.{max(place, 0)}f}"  # the sum has no −0


def _tidy(text: str) -> str:
    """``1e-05`` → ``1e-5``."""
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text
