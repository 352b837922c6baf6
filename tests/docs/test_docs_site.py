"""The site builds strictly, and reading it fetches nothing from another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?(?:https?:)?//|"""
    r"""<link\b[^>]*?\bhref=["']?(?:https?:)?//|"""
    r"""url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""
)
PATHS = re.compile(r"`((?:[\w.]+/)+\w+)(\.\w+)?`")
"""path/to/file.py, path/to/module.Name, path/to/directory."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_of_the_nav_is_built(site: Path) -> None:
    """Each page of mkdocs.yml is there, and each decision is in it."""
    nav = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert all((site / page).with_suffix(".html").is_file() for page in nav)
    decisions = {f"decisions/{page.name}" for page in (ROOT / "docs" / "decisions").glob("*.md")}
    assert decisions <= set(nav)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No script, style, font or picture of another host; no element that would make the theme load mermaid from one."""
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text()
        assert not FETCHED.search(text), path
        assert 'class="mermaid"' not in text, path
    assert not re.search(r"fonts\.g\w+\.com", "".join(page.read_text() for page in site.rglob("*.html")))


def test_the_settings_name_no_host() -> None:
    """mkdocs.yml: no web font, no site_url, no repository, no extra script."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert settings["theme"]["font"] is False
    assert not {"site_url", "repo_url", "extra_javascript", "extra_css"} & set(settings)
    assert "//" not in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """A `path/to/file` or `path/to/module.Name` in the text exists, so that a page follows what is moved."""
    named = PATHS.findall(page.read_text())
    missing = [
        stem + suffix
        for stem, suffix in named
        if not (ROOT / (stem + suffix)).exists() and suffix[1:] not in _text(ROOT / f"{stem}.py")
    ]
    assert missing == []


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
