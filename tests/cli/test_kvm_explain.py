"""`kvm explain`: each scenario's run shows what its sentences say."""

import re

import pytest

from rvperf.cli import main

SAYS = {
    "single": r"took [1-9]\d* samples .* there were 0 saves and 0 restores",
    "two": r"owner (\d+) times: \1 saves, \1 restores",
    "migration": r"changed harts (\d+) times, with \1 saves and \1 restores; .* lost 0\.",
    "together": r"host took [1-9]\d* samples and lost 0, the guest took [1-9]\d* .* and lost 0",
    "shlcofideleg": r"it got 0 and lost [1-9]\d*: \d+ overflow interrupts went to the guest, 0 to",
}
SHOWS = {
    "single": "VU.*interrupt: IRQ_PMU_OVF.*scountovf.*the program goes on",
    "two": "VM exit.*sireg sireg2.*csrw vscountinhibit siselect sireg sireg2",
    "migration": "sireg sireg2.*comes to hart [01].*csrw vscountinhibit siselect sireg sireg2",
    "together": "VM exit: IRQ_PMU_OVF.*hpmcounter31.*enter VU",
    "shlcofideleg": "interrupt: IRQ_PMU_OVF.*PMU.COUNTER_STOP.*VM exit: EXC_SUPERVISOR_SYSCALL",
}


@pytest.mark.parametrize("name", SAYS)
def test_a_scenario_shows_what_it_says(name, capfd):
    assert main(["kvm", "explain", name]) == 0
    text = capfd.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(re.sub(r"[|]", " ", text).split())
    assert re.search(SAYS[name], flat)
    assert re.search(SHOWS[name], flat)
    assert re.search(r"^  1 +T{63}$", text, re.MULTILINE)


def test_without_a_name_it_lists_them(capfd):
    assert main(["kvm", "explain"]) == 0
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines()] == list(SAYS)


def test_a_wrong_name_gets_the_nearest(capfd):
    assert main(["kvm", "explain", "migratoin"]) == 129
    assert capfd.readouterr().err == (
        " Error: there is no scenario `migratoin'; did you mean `migration'?\n"
    )
