"""The parts of a hand-written page that a tool writes: what stands between `<!-- generated: NAME -->` and `<!-- end -->`.

The same functions draw the page and check it, so that a page which differs from the code is known to differ.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_PART: Final = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Parts = Mapping[str, Callable[[], str]]


def filled(text: str, parts: Parts) -> str:
    """The page with each of its parts drawn anew. Raises KeyError for a part that nobody draws."""
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found['name']]().strip()}\n\n{found[3]}", text)


def names_of(text: str) -> list[str]:
    """The parts that a page has, in order."""
    return [found["name"] for found in _PART.finditer(text)]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a heading that begins with ">" is of a column of numbers."""
    lines = [_line(heading.removeprefix(">") for heading in headings)]
    lines.append(_line("--:" if heading.startswith(">") else "---" for heading in headings))
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def attribute_docs(owner: type) -> dict[str, str]:
    """The docstrings under the attributes of a class, each on one line; "" where there is none."""
    body = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    name = None
    for node in body.body:
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = target.id if isinstance(target, ast.Name) else None
            if name is not None:
                docs[name] = ""
        elif name is not None and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs[name] = " ".join(str(node.value.value).split())
            name = None
        else:
            name = None
    return docs


def main(page: Path, parts: Parts, arguments: Sequence[str]) -> int:
    """Draw a page's parts; with --check only say whether they are current. 1 where they are not."""
    before = page.read_text()
    after = filled(before, parts)
    if after == before:
        return 0
    name = page.relative_to(ROOT)
    if "--check" in arguments:
        sys.stdout.write(f"{name} differs from the code; make docs draws it anew\n")
        return 1
    page.write_text(after)
    sys.stdout.write(f"{name} drawn anew\n")
    return 0
