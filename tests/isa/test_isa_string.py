"""ISA strings: what they ask for, and what is said of those that can't be."""

import pytest

from isa.ext import OPTIONAL
from isa.isa_string import IsaError, parse, spell


@pytest.mark.parametrize(
    "text, found",
    [
        ("rv64gc", ""),
        ("RV64GC", ""),
        ("rv64imafdc", ""),
        ("rv64imafdc_zicsr_zifencei_zba_zbb_zbs_zicntr_zihpm_sstc_svade", ""),
        ("rv64i2p1m2p0a2p1f2p2d2p2c2p0_zicsr2p0", ""),
        ("rv64gcb", ""),
        ("rv64gch", "H"),
        ("rv64gc_h", "H"),
        ("rv64gc_h_sscofpmf", "H Sscofpmf"),
        ("rv64gc_h1p0_sscofpmf1p0", "H Sscofpmf"),
        ("rv64gc_smcsrind_smcdeleg", "Smcsrind Smcdeleg"),
        ("rv64gc_sscsrind_ssccfg", "Smcsrind Smcdeleg"),
        ("rv64gc_sscsrind_smcsrind_ssccfg_smcdeleg", "Smcsrind Smcdeleg"),
        ("rv64gc_h_sscofpmf_shlcofideleg", "H Sscofpmf Shlcofideleg"),
        (
            "rv64gc_h_sscofpmf_smcntrpmf_smcsrind_smcdeleg_xrvpt",
            "H Sscofpmf Smcntrpmf Smcsrind Smcdeleg Xrvpt",
        ),
    ],
)
def test_what_a_string_asks_for(text, found):
    assert parse(text) == set(found.split())


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "only rv64 is known"),
        ("rv32gc", "only rv64 is known"),
        ("rv64", "a hart always has rv64gc, and this lacks i, m, a, f, d, c"),
        ("rv64imac", "a hart always has rv64gc, and this lacks f, d"),
        ("rv64gcv", "there is no extension v"),
        ("rv64gc1q", "there is no extension q"),
        ("rv64gc_sscofpm", "there is no extension sscofpm; did you mean sscofpmf?"),
        ("rv64gc_zvl128b", "there is no extension zvl128b"),
        ("rv64gc_", "there is no extension without a name"),
        ("rv64gc__h", "there is no extension without a name"),
        ("rv64gc_smcdeleg", "smcdeleg needs smcsrind"),
        ("rv64gc_shlcofideleg_h", "shlcofideleg needs sscofpmf"),
        ("rv64gc_h_xrvpt", "xrvpt needs sscofpmf"),
        ("rv64gc_\n", "there is no extension"),
    ],
)
def test_what_is_said_of_others(text, said):
    with pytest.raises(IsaError) as error:
        parse(text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_string_is_spelled_as_it_is_read():
    assert parse(spell(frozenset(OPTIONAL))) == set(OPTIONAL)
    assert spell(frozenset({"H", "Sscofpmf"})) == "rv64gch_sscofpmf"
    assert spell(frozenset()) == "rv64gc"
