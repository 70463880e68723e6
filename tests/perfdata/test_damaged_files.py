"""A slice of the damaged files that `make fuzz` reads."""

from tests.perfdata.mutants import fuzz_files


def test_damaged_files_are_read_or_refused(tmp_path):
    assert fuzz_files(tmp_path, 200, seed=1) > 20
