"""A report in one HTML file that needs no other: Markdown rendered, images put into it, light and readable in print as well."""

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from itertools import pairwise
from typing import Final
from unicodedata import normalize

from markdown_it import MarkdownIt
from markdown_it.token import Token

STYLE: Final = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 16px/1.55 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 3rem; border-bottom: 1px solid #d0d0d0; }
img { max-width: 100%; height: auto; }
code { font-size: .9em; background: #f3f3f3; padding: .1em .3em; border-radius: 3px; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
"""


def rendered(markdown: str, *, title: str, images: Mapping[str, bytes]) -> str:
    """The whole file. `images`: SVG files by the paths that the Markdown gives them; each of its images must be there."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or ():
            _embed(child, images)
    _anchors(tokens)
    body = parser.renderer.render(tokens, parser.options, {})
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n'


def _embed(token: Token, images: Mapping[str, bytes]) -> None:
    if token.type == "image":
        data = b64encode(images[str(token.attrGet("src"))]).decode()
        token.attrSet("src", f"data:image/svg+xml;base64,{data}")


def _anchors(tokens: list[Token]) -> None:
    """Experiments can be linked to, by the names that the summary's links use."""
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            opening.attrSet("id", anchor(inline.content))


def anchor(title: str) -> str:
    """The name of a heading, as Python-Markdown's table of contents makes it by default, and so the site of these documents."""
    plain = normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
