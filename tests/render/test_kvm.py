"""`kvm stat`'s page and `kvm compare`'s, from results made by hand."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from isa.causes import name_of_cause
from isa.record import replace
from rvperf.render import compare, kvm, lanes
from rvperf.results import DesignResult, Exit, KvmStatResult, Operation, VmExitRow

INTERRUPT = 1 << 63


def exits(*rows) -> KvmStatResult:
    return KvmStatResult(("prog",), tuple(VmExitRow(*row) for row in rows), 10**7, Exit(code=0))


SOME = exits(
    (22, "scountovf", 3, 6000, 1000, 3000, 14_000_000),
    (22, "hpmcounter2", 1, 2000, 2000, 2000, 4_000_000),
    (10, "pmu.counter_start", 2, 10_000, 4000, 6000, 52_000_000),
    (23, "0x80201000", 1, 2000, 2000, 2000, 4_000_000),
    (INTERRUPT | 13, "", 1, 0, 0, 0, 0),
)


def test_the_page_is_laid_out_as_perfs():
    page = kvm.text(SOME)
    assert page.splitlines() == [
        "",
        "",
        "Analyze events for all VMs, all VCPUs:",
        "",
        # The widths of print_result() in builtin-kvm.c: 40, 10, 9, 9, 11, 11, 16.
        "                                 VM-EXIT    Samples  Samples%     Time%    Min Time"
        "    Max Time         Avg time ",
        "",
        # 1000, 2000, 3000 and 2000 ns: the mean 2000, its standard deviation 408.2 (20.41 %).
        "                  EXC_VIRTUAL_INST_FAULT          4    50.00%    40.00%      1.00us"
        "      3.00us      2.00us ( +-  20.41% )",
        # 4000 and 6000 ns: 5000 +- 1000.
        "                  EXC_SUPERVISOR_SYSCALL          2    25.00%    50.00%      4.00us"
        "      6.00us      5.00us ( +-  20.00% )",
        "              EXC_STORE_GUEST_PAGE_FAULT          1    12.50%    10.00%      2.00us"
        "      2.00us      2.00us ( +-   0.00% )",
        "                             IRQ_PMU_OVF          1    12.50%     0.00%      0.00us"
        "      0.00us      0.00us ( +-   0.00% )",
        "",
        "Total Samples:8, Total events handled time:20.00us.",
        "",
    ]


@pytest.mark.parametrize(
    "event, names",
    [
        ("vmexit", ["EXC_VIRTUAL_INST_FAULT", "EXC_SUPERVISOR_SYSCALL",
                    "EXC_STORE_GUEST_PAGE_FAULT", "IRQ_PMU_OVF"]),
        ("csr", ["scountovf", "hpmcounter2"]),
        ("sbi", ["pmu.counter_start"]),
        ("fault", ["0x80201000"]),
        ("all", ["EXC_VIRTUAL_INST_FAULT scountovf", "EXC_SUPERVISOR_SYSCALL pmu.counter_start",
                 "EXC_STORE_GUEST_PAGE_FAULT 0x80201000", "EXC_VIRTUAL_INST_FAULT hpmcounter2",
                 "IRQ_PMU_OVF"]),
    ],
)  # fmt: skip
def test_events_say_which_exits_and_by_what_name(event, names):
    assert [line.name for line in kvm.lines(SOME, event)] == names


@pytest.mark.parametrize(
    "keys, names",
    [
        (("sample",), "a b c"),
        (("time",), "b c a"),  # by the mean, as perf's `time`
        (("percent_time",), "b a c"),
        (("max_time",), "b a c"),
        (("min_time",), "b c a"),
    ],
)
def test_sort_keys(keys, names):
    rows = exits(
        (10, "a", 5, 500, 10, 250), (10, "b", 3, 900, 300, 300), (10, "c", 2, 400, 200, 200)
    )
    assert " ".join(line.name for line in kvm.lines(rows, "sbi", keys)) == names


def test_interrupts_and_exceptions_of_one_number_are_not_mixed_up():
    """perf drops bit 63, and finds interrupts first."""
    assert name_of_cause(10) == "EXC_SUPERVISOR_SYSCALL"
    assert name_of_cause(INTERRUPT | 10) == "IRQ_VS_EXT"
    assert name_of_cause(13) == "EXC_LOAD_PAGE_FAULT"
    assert name_of_cause(INTERRUPT | 13) == "IRQ_PMU_OVF"
    assert name_of_cause(63) == "0x3f"


def test_no_exit_at_all_is_a_page_too():
    page = kvm.text(exits())
    assert page.endswith("\nTotal Samples:0, Total events handled time:0.00us.\n\n")


def test_csv_and_json_lines_have_the_same_figures():
    assert kvm.csv(SOME, ";", "csr") == (
        "scountovf;3;6000;1000;3000;2000.0\nhpmcounter2;1;2000;2000;2000;2000.0\n"
    )
    first, _ = kvm.json_lines(SOME, "csr").splitlines()
    assert json.loads(first) == {
        "event": "scountovf", "samples": 3, "total-ns": 6000, "min-ns": 1000, "max-ns": 3000,
        "avg-ns": 2000.0,
    }  # fmt: skip


# --- kvm compare

STEPS = (
    Operation(5000, "VU", "an instruction retires", "work"),
    Operation(5000, "HS", "LCOFI", "interrupt"),
    Operation(5250, "M", "pmu.counter_stop", "sbi"),
    Operation(6000, "VS", "return with hvip.LCOFIP", "return"),
    Operation(6500, "VS", "csrr scountovf & co <now>", "csr"),
)
SBI = DesignResult(
    vpmu="sbi",
    overflow_irqs={"M": 0, "HS": 7, "VS": 7},
    vm_exits=61,
    vm_exits_by_cause={"EXC_STORE_GUEST_PAGE_FAULT": 19, "IRQ_PMU_OVF": 7, "IRQ_M_EXT": 0},
    pmu_exits=42,
    sbi_calls=68,
    sbi_calls_by_function={"pmu.counter_stop": 33, "pmu.counter_start": 35},
    sbi_calls_by_origin={"guest operation": 40, "overflow": 28, "vcpu switch": 0},
    csr_accesses={"M": 12_000, "HS": 345, "VS": 67},
    trapped_csrs={"scountovf": 7},
    saves=0,
    restores=0,
    samples=7,
    lost=0,
    cycles=123_456,
    overhead_percent=1.2345,
    host_can_profile=True,
    guest_sbi_calls=28,
    notes=("n=1, h=0",),
    operations=STEPS,
)
DESIGNS = ("trap", "sbi", "snapshot", "deleg", "mediated", "passthrough")
ALL = tuple(replace(SBI, vpmu=name) for name in DESIGNS)


def cells(page: str) -> dict[str, list[str]]:
    """The rows of the table by their titles."""
    rows = {}
    for line in page.splitlines():
        words = line.split()
        for first in range(len(words)):
            if len(words) - first == 2:
                rows.setdefault(" ".join(words[:first]), words[first:])
    return rows


def test_designs_are_columns_and_figures_rows():
    other = replace(SBI, vpmu="passthrough", vm_exits=19, trapped_csrs={}, host_can_profile=False)
    rows = cells(compare.text((SBI, other)))
    assert rows[""] == ["sbi", "passthrough"]
    assert rows["VM exits"] == ["61", "19"]
    assert rows["taken in HS"] == ["7", "7"]
    assert rows["taken in M"] == ["0", "0"]
    assert rows["scountovf"] == ["7", "0"]
    assert rows["SBI calls of the host"] == ["68", "68"]
    assert rows["Overhead"] == ["1.23%", "1.23%"]
    assert rows["Host can profile"] == ["yes", "no"]
    assert "IRQ_M_EXT" not in rows  # nowhere more than 0


def test_six_designs_fit_in_80_columns():
    assert max(map(len, compare.text(ALL).splitlines())) <= 80


def test_notes_follow_the_table():
    assert compare.text((SBI,)).endswith("\n sbi: n=1, h=0\n\n")
    same = replace(SBI, vpmu="deleg")
    assert compare.text((SBI, same)).endswith("\n sbi, deleg: n=1, h=0\n\n")


KEYS = (
    "vpmu overflow_irqs vm_exits vm_exits_by_cause pmu_exits sbi_calls sbi_calls_by_function "
    "sbi_calls_by_origin csr_accesses trapped_csrs saves restores samples lost cycles "
    "overhead_percent host_can_profile"
)


def test_json_has_an_object_for_each_design():
    objects = json.loads(compare.json_text(ALL))
    assert [one["vpmu"] for one in objects] == list(DESIGNS)
    assert set(KEYS.split()) <= objects[0].keys()
    assert objects[0]["overflow_irqs"] == {"M": 0, "HS": 7, "VS": 7}
    assert "operations" not in objects[0]


def test_json_has_the_operations_if_asked():
    (one,) = json.loads(compare.json_text((SBI,), operations=True))
    assert one["operations"][2] == {
        "time_ns": 5250, "lane": "M", "text": "pmu.counter_stop", "kind": "sbi",
    }  # fmt: skip


def test_csv_is_a_line_a_figure():
    lines = compare.csv((SBI,), ",").splitlines()
    assert "sbi,vm_exits,,61" in lines
    assert "sbi,overflow_irqs,HS,7" in lines
    assert "sbi,overhead_percent,,1.2345" in lines
    assert "sbi,host_can_profile,,1" in lines


def test_csv_tells_a_share_of_one_from_yes():
    assert (
        "sbi,overhead_percent,,1.0"
        in compare.csv((replace(SBI, overhead_percent=1.0),), ",").splitlines()
    )


# --- lanes


def test_a_diagram_follows_the_steps_through_the_lanes():
    assert lanes.text((SBI,)).splitlines() == [
        " sbi: one overflow",
        "",
        "         us   VU   VS   HS   M    ",
        "      0.000   o    |    |    |     an instruction retires",
        "      0.000   +-------->!    |     LCOFI",
        "      0.250   |    |    +--->o     pmu.counter_stop",
        "      1.000   |    o<--------+     return with hvip.LCOFIP",
        "      1.500   |    o    |    |     csrr scountovf & co <now>",
        "",
    ]


def test_csr_accesses_in_a_row_are_one_step():
    row = [
        ("HS", "csrr sepc", "csr"),
        ("HS", "csrr scause", "csr"),
        ("HS", "csrw sip", "csr"),
        ("HS", "ecall PMU.COUNTER_STOP", "sbi"),
        ("M", "csrr mepc", "csr"),
        ("HS", "csrr sip", "csr"),
    ]
    steps = tuple(Operation(1000 * n, *one) for n, one in enumerate(row))
    page = lanes.text((replace(SBI, operations=steps),))
    assert page.splitlines()[3:] == [
        "      0.000   |    |    o    |     csrr sepc scause, csrw sip",
        "      3.000   |    |    o    |     ecall PMU.COUNTER_STOP",
        "      4.000   |    |    +--->o     csrr mepc",
        "      5.000   |    |    o<---+     csrr sip",
        "",
    ]
    assert len(lanes.text((replace(SBI, operations=steps),), fold=False).splitlines()) == 10


def test_long_steps_go_on_below():
    row = tuple(Operation(0, "HS", f"csrr counter{n}", "csr") for n in range(9))
    lines = lanes.text((replace(SBI, operations=row),)).splitlines()[3:]
    assert lines[0].startswith("      0.000   |    |    o    |     csrr counter0 counter1")
    assert lines[1].startswith("              |    |    |    |     counter")
    assert max(map(len, lines)) <= 80


def test_a_design_without_an_overflow_says_so():
    assert "there was none" in lanes.text((replace(SBI, operations=()),))


def test_the_drawing_is_one_self_contained_document():
    drawing = lanes.svg(ALL)
    root = ElementTree.fromstring(drawing)
    names = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{names}text")]
    titles = [text.text for text in root.iter(f"{names}text") if text.get("class") == "title"]
    assert titles == list(DESIGNS)
    assert words.count("csrr scountovf & co <now>") == 6
    circles = [one for one in root.iter(f"{names}circle")]
    assert len(circles) == 6 * len(STEPS) + len(lanes.LOOKS)
    assert "href" not in drawing and "url(" not in drawing


def test_the_drawing_keeps_within_its_page():
    root = ElementTree.fromstring(lanes.svg((*ALL[:4], replace(SBI, operations=()))))
    width, height = float(root.get("width")), float(root.get("height"))
    assert width == 3 * lanes.PANEL
    assert height > 2 * lanes.TOP + lanes.ROW * len(STEPS)
