"""The planted bugs fit the code as it is, name what finds them, and two of them are found; the rest is `make mutants`."""

import re
from pathlib import Path

import pytest

from sim.invariants import INVARIANTS
from tools.mutants import (
    MUTANTS,
    PAGE,
    PAGE_BEGINS,
    PAGE_ENDS,
    ROOT,
    Hunk,
    Mutant,
    PatchError,
    Verdict,
    apply,
    copied,
    hunt,
    main,
    measured,
    mutant,
    mutants,
    put_on_page,
    table,
)


def test_every_mutant_fits_and_names_its_invariant(tmp_path: Path) -> None:
    """At least 20, each alone on the code that ships; whoever moves that code moves the patch."""
    planted = mutants()
    assert len(planted) >= 20
    for each in planted:
        paths = {hunk.path for hunk in each.hunks}
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text((ROOT / path).read_text())
        apply(each, tmp_path)
        assert all((tmp_path / path).read_text() != (ROOT / path).read_text() for path in paths)
        compiled = [compile((tmp_path / path).read_text(), path, "exec") for path in paths]
        assert len(compiled) == len(paths)
        assert set(each.invariants) <= set(INVARIANTS), each.name
        assert each.title.endswith(".")


@pytest.mark.parametrize("name", ["accept_before_commit", "vickrey_first_price"])
def test_two_are_found(name: str) -> None:
    """In another process, by the seeds from 0 on."""
    verdict = hunt(mutant(MUTANTS / f"{name}.patch"))
    assert verdict.bites, verdict


def test_what_is_no_bug_survives() -> None:
    """A patch that changes a docstring is not found: the simulator cries no wolf."""
    harmless = Mutant("harmless", "", ("winner",), (Hunk("sim/__init__.py", '"""Virtual', '"""virtual'),))
    verdict = hunt(harmless, limit_s=1.0)
    assert verdict.invariant is None
    assert not verdict.bites
    assert "SURVIVED" in table([verdict])


def test_the_wrong_invariant_is_not_enough() -> None:
    """It must be one that the patch names."""
    planted = Mutant("planted", "", ("winner", "reserve"), ())
    assert Verdict(planted, "reserve", 7, 1.0, "").bites
    assert not Verdict(planted, "money", 7, 1.0, "").bites


def test_a_patch_that_does_not_fit(tmp_path: Path) -> None:
    """Its place is gone, or is there twice; its head says nothing; it changes nothing."""
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for before in ("y = 1\n", "x = 1\n"):
        with pytest.raises(PatchError, match="must be there once"):
            apply(Mutant("m", "", (), (Hunk("a.py", before, ""),)), tmp_path)
    for text in ("Title.\nFound by: winner\n", "Title.\nInvariant: winner\n"):
        path = tmp_path / "m.patch"
        path.write_text(text)
        with pytest.raises(PatchError, match="begins with"):
            mutant(path)


def test_the_page_says_that_each_was_found_as_its_patch_says() -> None:
    """What a run wrote there: a line for each, and how many."""
    _, _, told = PAGE.read_text().partition(PAGE_BEGINS)
    broke = dict(re.findall(r"^\| `(\w+)` \| [\w ]+ \| `(\w+)` \|", told.partition(PAGE_ENDS)[0], re.MULTILINE))
    assert {each.name: broke.get(each.name) in each.invariants for each in mutants()} == dict.fromkeys(broke, True)
    assert f": {len(broke)} of {len(broke)} found" in told


def test_what_a_run_came_to_is_put_between_the_marks() -> None:
    """Once more over what stood there; a page without marks is refused."""
    found = Verdict(Mutant("one", "", ("winner",), ()), "winner", 7, 1.25)
    told = measured([found, Verdict(Mutant("two", "", ("money",), ()), seconds=60.0)], "run it")
    assert told.startswith("`run it` at `")
    assert "1 of 2 found, 61 s of CPU time" in told
    assert "| `one` | seeds | `winner` | 7 | 1.2 |" in told
    assert "| `two` | seeds | `SURVIVED` |  | 60.0 |" in told
    page = f"before\n{PAGE_BEGINS}\nold\n{PAGE_ENDS}\nafter\n"
    assert put_on_page(page, "new") == f"before\n{PAGE_BEGINS}\n\nnew\n\n{PAGE_ENDS}\nafter\n"
    with pytest.raises(ValueError, match="the page has no part between"):
        put_on_page("nothing", "new")


def test_the_page_is_of_a_run_of_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A table put together from several runs would be of none."""
    monkeypatch.setattr("sys.argv", ["mutants", mutants()[0].name, "--page"])
    with pytest.raises(SystemExit):
        main()
    assert "leave the names out" in capsys.readouterr().err


def test_hunks_are_found_wherever_the_code_has_moved(tmp_path: Path) -> None:
    """By their lines, not by their numbers; several places and files of one patch."""
    path = tmp_path / "m.patch"
    path.write_text(
        "Two places.\nInvariant: winner, reserve\n--- a/a.py\n+++ b/a.py\n@@ -90,2 +90,2 @@\n one\n-two\n+2\n@@ -7 +7,2 @@\n four\n+five\n"
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-six\n+6\n"
    )
    (tmp_path / "a.py").write_text("zero\none\ntwo\nthree\nfour\n")
    (tmp_path / "b.py").write_text("six\n")
    made = mutant(path)
    apply(made, tmp_path)
    assert made.invariants == ("winner", "reserve")
    assert (tmp_path / "a.py").read_text() == "zero\none\n2\nthree\nfour\nfive\n"
    assert (tmp_path / "b.py").read_text() == "6\n"


def test_a_copy_has_all_that_the_simulator_runs(tmp_path: Path) -> None:
    """And no more than that: no tests, no journals."""
    root = copied(tmp_path)
    assert (root / "sim" / "run.py").is_file()
    assert not (root / "tests").exists()
