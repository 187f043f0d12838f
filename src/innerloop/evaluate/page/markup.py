"""HTML that is escaped by construction: text becomes markup only by passing through `tag`.

Not a template engine, and not a parser.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# Control characters no HTML page may hold, and the ones that reorder text (a hostile name could disguise itself).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_VOID = frozenset({"meta", "br", "img", "rect", "line", "circle", "path"})


class Markup(str):
    """A piece of finished HTML. Only this module and constants in the code make one."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Anything as escaped text; markup stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(parts: Iterable[object], between: object = "") -> Markup:
    """Parts in a row, each escaped unless it is markup; None is left out."""
    return Markup(text(between).join(text(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. Attribute `class_` is written `class`, `_` becomes `-`, and an attribute that is None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items() if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}>" if name in {"meta", "br", "img"} else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = (), strong: int | None = None
) -> Markup:
    """A table whose first column names its rows; columns in `numbers` are flush right, row `strong` is emphasised."""
    right = set(numbers)

    def kind(i: int) -> str | None:
        return "number" if i in right and i else None

    head = tag("tr", *(tag("th", name, scope="col", class_=kind(i)) for i, name in enumerate(heads)))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=kind(i)) for i, cell in enumerate(row) if i),
            class_="this" if n == strong else None,
        )
        for n, row in enumerate(rows)
    ]
    shown = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label="table")
