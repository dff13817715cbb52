"""The numbered edge cases have tests that name them."""

from tests.requirements import covered

HIGHEST, FEWEST = 280, 190


def test_edge_cases_are_named_by_tests():
    """No test names a case that does not exist, and the cases of the rooms that stand are spoken for."""
    numbers = set(covered())
    assert numbers <= set(range(1, HIGHEST + 1))
    assert len(numbers) >= FEWEST
