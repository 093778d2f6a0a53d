"""Reported faults stay mended: those that take seconds (`cases.py` runs all)."""

import os

import cases
import pytest


@pytest.mark.parametrize("number", sorted(cases.EXPECTED.keys() - cases.SLOW))
def test_reported_fault_stays_mended(number):
    if not cases.FOLDER.is_dir():
        pytest.skip(f"there is no folder {cases.FOLDER}")
    if number == "15" and os.geteuid() != 0:
        pytest.skip("only root can start a command as a user without a home folder")
    output, wrong = cases.run(number)
    assert not wrong, output
