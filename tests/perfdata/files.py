"""Small perf.data files, made by our own writer."""

from pathlib import Path

from rvperf.perfdata import records
from rvperf.perfdata.attr import SAMPLE_TYPE, Attr, bits
from rvperf.perfdata.features import NrCpus, SampleTime
from rvperf.perfdata.records import SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer

REAL = Path(__file__).parent.parent / "data" / "perfdata"
"""What perf 6.12 recorded on riscv64."""
BUILD_ID = bytes(range(20))
KNOWN = {
    "HOSTNAME": "rv", "OSRELEASE": "6.1", "VERSION": "6.1.0", "ARCH": "riscv64",
    "NRCPUS": NrCpus(1, 1), "CPUDESC": "a core", "CPUID": "0x0-0x0-0x0", "TOTAL_MEM": 1024,
    "CMDLINE": ["rvperf", "record", "it's"], "PMU_MAPPINGS": [(4, "cpu"), (1, "software")],
}  # fmt: skip


def cycles(extra: str = "", **more) -> Attr:
    """An attribute that samples the usual things, and `extra` ones ("CALLCHAIN|CPU")."""
    kinds = bits(SAMPLE_TYPE, f"IP|TID|TIME|PERIOD|IDENTIFIER|{extra}".rstrip("|"))
    values = {
        "sample_period": 1000, "sample_type": kinds, "read_format": 4, "mmap": 1, "comm": 1,
        "task": 1, "mmap2": 1, "comm_exec": 1, "sample_id_all": 1, "exclude_kernel": 1,
        "exclude_hv": 1, "exclude_guest": 1,
    }  # fmt: skip
    return Attr(**(values | more))


def write(path, samples=20, extra="", chain=(), leader=None, **options) -> Attr:
    """A file with a process 10 "prog" at 0x10000, sampled in turn by two events."""
    attr = cycles(extra)
    other = cycles(extra, type=4, config=0x8000, exclude_kernel=0, exclude_hv=0, exclude_guest=0)
    events = [
        EventSpec(attr, "cycles:u", (1,), leader=leader),
        EventSpec(other, "fw_set_timer", (2,), leader=leader),
    ]
    encode = sample_encoder(attr)
    arguments = {"callchain": chain} if "CALLCHAIN" in extra else {}
    with Writer(path, events, KNOWN, **options) as file:
        for record in (
            records.Mmap(
                -1, 0, 0xFFFFFFFF80000000, 1 << 24, 0xFFFFFFFF80000000,
                "[kernel.kallsyms]_text", misc=records.KERNEL, sample_id=SampleId(),
            ),
            records.Comm(
                10, 10, "prog", misc=records.MISC_COMM_EXEC, sample_id=SampleId(10, 10, 100, 1)
            ),
            records.Mmap2(
                10, 10, 0x10000, 0x10000, 0, build_id=BUILD_ID, prot=5, flags=2,
                filename="/bin/prog", misc=records.USER | records.MISC_MMAP_BUILD_ID,
                sample_id=SampleId(10, 10, 101, 1),
            ),
        ):  # fmt: skip
            file.write(record.encode(attr))
        for i in range(samples):
            at = {"ip": 0x10000 + 4 * (i % 7), "pid": 10, "tid": 10, "time": 200 + i}
            file.write(encode(id=1 + i % 2, period=1000, **at, **arguments))
            if i % 10 == 9:
                file.round()
        file.features["BUILD_ID"] = [records.build_id_record(BUILD_ID, "/bin/prog", records.USER)]
        file.features["SAMPLE_TIME"] = SampleTime(200, 199 + samples)
    return attr
