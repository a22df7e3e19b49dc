"""Random Cookie headers, in pieces of which some are filled in when the header is sent."""

from __future__ import annotations

import random
import re

from .plan import Step

NAMES = ("<name>", "<name>", "<name>", "<name>", "<NAME>", "x<name>", "other", "a", "", "user", "<name> ", " <name>")
ODD_NAMES = (
    "\t<name>",
    "<name>\t ",
    "né",
    "n\xc3\xa9",
    '"<name>"',
    "<name>,",
    "$Version",
    "\x00<name>",
    "\xa0<name>",
    "a b",
)
VALUES = (
    *(
        "<jar>",
        "<jar>",
        "<jar>",
        "<jar>",
        "<first>",
        "<sealed>",
        "<sealed>",
        "<sealed>",
        "<aged>",
        "<damaged>",
        "<foreign>",
    ),
    *("<packed>", "<made>", "", "junk", "1", "a.b.c", "<other app's>"),
)
ODD_VALUES = (
    *(
        '"<jar>"',
        " <jar>",
        "<jar> ",
        "\t<jar>\t",
        '"<jar>',
        '<jar>"',
        '" <jar> "',
        "<jar> x",
        "<jar>,x",
        "'<jar>'",
        "=<jar>",
    ),
    *(
        "<escaped>",
        "<half escaped>",
        "<long>",
        '"\\"',
        '"\\',
        "\\",
        '""',
        '"a;b"',
        '"a\\;b"',
        '"<sealed>" ',
        '"<sealed>"',
    ),
    *(
        "\xe9",
        "\xc3\xa9",
        "\xff<jar>",
        "<jar>\xed\xa0\x80",
        "\x00",
        "<jar>\x00",
        "\x1f<jar>",
        "<jar>\x7f",
        "\x85",
        "\n<jar>",
    ),
    *("<jar>\r", '"\\303\\251"', '"\\377"', '"\\400"', "\u20ac", "<jar>\u20ac", "....", "."),
)
SEPARATORS = ("; ", "; ", "; ", ";", ";")
ODD_SEPARATORS = (";;", " ; ", ",", ", ", "\t;\t", " ", "; ;", "\x00;", ";\xa0", "; \x1f", ";\n", "&", "; $Path=/; ")


def pieces(text: str, rng: random.Random) -> list[str]:
    """The literal text and the fillers that it is made of, with a seed for each of these."""
    found = re.findall("<[a-zA-Z' ]+>|[^<]+", text)
    return [f"{piece[:-1]}:{rng.getrandbits(32)}>" if piece in SEEDED else piece for piece in found]


SEEDED = ("<sealed>", "<packed>", "<aged>", "<damaged>", "<foreign>", "<made>", "<long>")


def cookie(rng: random.Random, odd: float) -> tuple[str, ...] | None:
    kind = rng.random()
    if kind < 0.1:
        return None
    if kind < 0.5:
        return Step.cookie
    if kind < 0.6:
        return ("a=b; ", "<name>", "=", "<jar>", "; c=d")
    if kind < 0.75:
        return ("<name>", "=", *pieces(rng.choice(VALUES), rng))
    crumbs: list[str] = []
    for number in range(rng.choice((0, 1, 1, 2, 2, 3, 4))):
        if number:
            crumbs.append(rng.choice(SEPARATORS if rng.random() >= odd else ODD_SEPARATORS))
        crumbs += pieces(rng.choice(NAMES if rng.random() >= odd else ODD_NAMES), rng)
        if rng.random() < 0.93:
            crumbs += [rng.choice(("=", "=", "=", " = ", "==") if rng.random() < odd else "=")]
            crumbs += pieces(rng.choice(VALUES if rng.random() >= odd else ODD_VALUES), rng)
    if rng.random() < odd:
        crumbs.append(rng.choice((";", "; ", " ", ",", "\t", '"')))
    return tuple(crumbs)
