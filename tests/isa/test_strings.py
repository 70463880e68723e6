"""ISA strings: which of the optional extensions they name."""

import pytest

from isa.ext import OPTIONAL
from isa.strings import IsaStringError, extensions_of, ratified


@pytest.mark.parametrize(
    "text, named",
    [
        ("rv64gc", set()),
        ("RV64IMAFDC", set()),
        ("rv64gch", {"H"}),
        ("rv64i2p1m2p0a2p1f2p2d2p2c2p0h1p0_svinval1p0", {"H", "Svinval"}),
        ("rv64imafdch_zicsr_zifencei_zba_smstateen", {"H", "Smstateen"}),
        ("rv64gc_ssstateen", {"Smstateen"}),
        ("rv64gcsvinval", {"Svinval"}),
        ("rv64gch_sscofpmf_shlcofideleg", {"H", "Sscofpmf", "Shlcofideleg"}),
        ("rv64g_smcsrind_ssccfg", {"Smcsrind", "Smcdeleg"}),
        ("rv64gc_h_sscsrind_ssctr_svade", {"H", "Smcsrind", "Smctr"}),
    ],
)
def test_names_extensions(text, named):
    assert extensions_of(text) == named


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "it has to begin with rv64"),
        ("rv32gc", "it has to begin with rv64"),
        ("rv64gcv", "there is no extension V"),
        ("rv64gc_svnapot", "there is no extension 'svnapot'"),
        ("rv64gc_svinvl", "there is no extension 'svinvl'; did you mean svinval?"),
        ("rv64gc__svinval", "there is no extension ''"),
        ("rv64gc_sscofpmf_shlcofideleg", "Shlcofideleg needs H"),
        ("rv64!", "there is no extension !"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(IsaStringError) as refused:
        extensions_of(text)
    assert message in str(refused.value)


def test_private_extensions_are_off_unless_named():
    assert OPTIONAL.keys() - ratified() == {"Xrvpt"}
    assert "Xrvpt" in extensions_of("rv64gch_sscofpmf_smcntrpmf_smcsrind_smcdeleg_xrvpt")
