"""Demangled names, against c++filt, which has the demangler that perf is linked with."""

import shutil
import subprocess

import pytest

from rvperf.symbols.demangle import demangle
from tests.oracles.perf import absent

NAMES = """
_Z3foov _Z3fooi _Z3fooPKcS0_ _ZN3foo3barEv _ZNK3foo3barEi _ZNVK3foo3barEi _ZNKR3foo3barEv _ZL3foov
_ZSt4sortIPiEvT_S1_ _ZNSt6vectorIiSaIiEE9push_backERKi _ZN3fooC1Ev _ZN3fooD0Ev _ZN3foocvPKcEv
_ZN3foocvT_IiEEv _ZlsRSoRK3foo _ZN3fooplERKS_ _Znwm _ZdlPvm _ZZ4mainENKUlvE_clEv
_ZZ4mainENKUliE0_clEi _ZZN3foo3barEvE1x _ZZ4mainE1x_0 _ZGVZ4mainE1x _ZTV3foo _ZTI3foo _ZTSN3foo3barE
_ZThn16_N3foo3barEv _ZTv0_n24_N3foo3barEv _Z3foov.constprop.0 _ZN3foo3barEv.isra.0.cold
_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE6appendEPKc _ZNSsC1EPKc _ZN3FooB5cxx11Ev
_Z3fooB5cxx11v _ZN12_GLOBAL__N_13fooEv _ZSt3maxIdERKT_S2_S2_ _ZN1AIXadL_Z3foovEEE1gEv
_Z1fIiLi3EEvRAT0__T_ _ZZZ4mainENKUlvE_clEvENKUlvE_clEv _GLOBAL__sub_I_main _Z _ZN _ZN3foo _Zfoo main
_ZN4core3fmt9Formatter3pad17h9b2b3a0e5b4d1b31E _ZNKSt9basic_iosIcSt11char_traitsIcEEcvbEv
_ZN43_$LT$bool$u20$as$u20$core..fmt..Display$GT$3fmt17h8cdf57852c508787E
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_libiberty_makes_of_it_without_parameters(name):
    if not shutil.which("c++filt"):
        absent("there is no c++filt")
    theirs = subprocess.run(["c++filt", "-p", "-i", name], capture_output=True, text=True).stdout
    assert demangle(name.encode()) == theirs.rstrip("\n")


@pytest.mark.parametrize(
    "name, shown",
    [
        ("camlStdlib__List__map_123", "Stdlib.List.map_123"),
        ("camlFoo__$2b$2b_9", "Foo.++_9"),
        ("camlfoo__bar", "camlfoo__bar"),
        ("Ljava/lang/StringLatin1;equals([B[B)Z", "java.lang.StringLatin1.equals(byte[], byte[])"),
        ("Lcom/Foo;put(Ljava/lang/String;I)V", "com.Foo.put(java.lang.String, int)"),
        ("strange)name", "strange)name"),
    ],
)
def test_names_of_other_languages_as_perf_shows_them(name, shown):
    assert demangle(name.encode()) == shown
