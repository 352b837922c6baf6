"""docs/mutants.md says what the code and the patches say, and names each bug's seed."""

from tools.generated import filled, names_of
from tools.mutant_tables import PAGE, PARTS
from tools.mutants import mutants


def test_the_page_is_drawn_from_the_code() -> None:
    """`python -m tools.mutant_tables` draws it anew."""
    page = PAGE.read_text()
    assert sorted(names_of(page)) == sorted(PARTS)
    assert filled(page, PARTS) == page


def test_the_result_names_every_mutant() -> None:
    """A bug that is planted later is run, and its line is added."""
    _, _, result = PAGE.read_text().partition("## Result")
    for each in mutants():
        assert f"| `{each.name}` |" in result, each.name
