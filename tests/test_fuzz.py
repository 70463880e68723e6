"""A slice of the fuzzing that `make fuzz` does in full."""

from tests.fuzz import (
    PagedCounters,
    PagedGuest,
    PagedRecords,
    fuzz_programs,
    fuzz_regions,
    fuzz_words,
)


def test_engines_agree_on_random_words_and_none_crashes():
    assert fuzz_words(6_000, seed=1) == 6_000


def test_engines_agree_on_random_programs_that_are_compiled():
    assert fuzz_regions(300, seed=2) == 300


def test_engines_agree_on_random_programs_of_guests_that_are_compiled():
    assert fuzz_regions(60, seed=3, pairs=PagedGuest) == 60


def test_engines_agree_on_where_counters_overflow_in_compiled_programs():
    assert fuzz_regions(60, seed=4, pairs=PagedCounters) == 60


def test_engines_agree_on_control_transfer_records_of_compiled_programs():
    assert fuzz_regions(40, seed=5, pairs=PagedRecords) == 40


def test_mutated_programs_neither_crash_nor_hang():
    assert fuzz_programs(150, seed=100_000, each=75) == 150
