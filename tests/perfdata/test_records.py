"""Every record and sample is decoded to what was encoded."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvperf.perfdata import records
from rvperf.perfdata.attr import SAMPLE_TYPE, Attr
from rvperf.perfdata.records import (
    Branch,
    Reading,
    ReadValue,
    RecordError,
    Registers,
    SampleId,
    decode_sample,
    sample_encoder,
)

# A machine with other work to do takes longer than hypothesis has patience.
STEADY = settings(
    derandomize=True, deadline=None, max_examples=300,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
I32 = st.integers(-(2**31), 2**31 - 1)
KNOWN_BITS = sum(1 << n for n, name in enumerate(SAMPLE_TYPE))
PARTS = {
    "IDENTIFIER": ("id", U64), "IP": ("ip", U64), "TID": ("pid", I32), "TIME": ("time", U64),
    "ADDR": ("addr", U64), "STREAM_ID": ("stream_id", U64), "CPU": ("cpu", U32),
    "PERIOD": ("period", U64),
    "READ": ("read", st.builds(
        Reading, st.lists(st.builds(ReadValue, U64, U64, U64), min_size=1, max_size=4), U64, U64)),
    "CALLCHAIN": ("callchain", st.lists(U64, max_size=9).map(tuple)),
    "RAW": ("raw", st.binary(max_size=5).map(lambda b: b * 8 + b"1234")),
    "BRANCH_STACK": ("branches", st.lists(st.builds(Branch, U64, U64, U64), max_size=5)),
    "REGS_USER": ("regs_user", st.lists(U64, min_size=3, max_size=3).map(
        lambda values: Registers(2, values))),
    "STACK_USER": ("stack", st.binary(min_size=1, max_size=5).map(lambda b: b * 8)),
    "WEIGHT": ("weight", U64), "DATA_SRC": ("data_src", U64), "TRANSACTION": ("transaction", U64),
    "PHYS_ADDR": ("phys_addr", U64), "CGROUP": ("cgroup", U64),
    "DATA_PAGE_SIZE": ("data_page_size", U64), "CODE_PAGE_SIZE": ("code_page_size", U64),
}  # fmt: skip


@STEADY
@given(st.data(), st.sets(st.sampled_from(sorted(PARTS))), st.sampled_from([0, 1 << 17]))
def test_samples(data, names, hw_index):
    attr = Attr(
        sample_type=sum(1 << SAMPLE_TYPE.index(name) for name in names),
        read_format=31, branch_sample_type=hw_index, sample_regs_user=0b10110,
    )  # fmt: skip
    fields = {PARTS[name][0]: data.draw(PARTS[name][1]) for name in sorted(names)}
    encoded = sample_encoder(attr)(5, **fields)
    assert len(encoded) == int.from_bytes(encoded[6:8], "little")
    assert len(encoded) % 8 == 0
    sample = decode_sample(encoded, 5, attr, 8)
    assert {name: getattr(sample, name) for name in fields} == fields


@STEADY
@given(st.data(), st.sampled_from(sorted(records.RECORDS)), st.booleans())
def test_records(data, number, trailing):
    kind = records.RECORDS[number]
    attr = Attr(sample_type=0x100C7, sample_id_all=trailing)
    values = {"misc": 0}
    if trailing and number < records.USER_TYPES:
        values["sample_id"] = SampleId(1, 2, 3, 4, 0, 5)
    plain = kind()
    for name in kind._fields:
        empty = getattr(plain, name)
        if isinstance(empty, str):
            values[name] = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
        elif isinstance(empty, bytes) and name not in ("build_id", "data"):
            values[name] = data.draw(st.binary(max_size=4)) * 8
    if "data" in kind._fields:
        values["data"] = b"12345678" * 2 + b"1234"
    record = kind(**values)
    encoded = record.encode(attr)
    assert records.decode(encoded, attr) == record


@pytest.mark.parametrize("number", sorted(records.RECORDS))
def test_a_record_that_is_cut_is_an_error_or_a_record(number):
    attr = Attr(sample_type=0x1C7, sample_id_all=1)
    encoded = bytearray(records.RECORDS[number]().encode(attr))
    for size in range(8, len(encoded)):
        encoded[6:8] = size.to_bytes(2, "little")
        try:
            records.decode(bytes(encoded[:size]), attr)
        except RecordError:
            pass


def test_a_mmap2_has_a_build_id_or_an_inode():
    fields = {"pid": 1, "tid": 1, "addr": 4096, "len": 8192, "pgoff": 0, "filename": "/bin/a"}
    with_id = records.Mmap2(build_id=bytes(range(20)), misc=records.MISC_MMAP_BUILD_ID, **fields)
    with_inode = records.Mmap2(maj=8, min=1, ino=77, ino_generation=3, **fields)
    assert records.decode(with_id.encode(), None).build_id == bytes(range(20))
    assert records.decode(with_inode.encode(), None).ino == 77


def test_an_encoder_takes_only_what_its_event_samples():
    encode = sample_encoder(Attr(sample_type=1))
    with pytest.raises(TypeError):
        encode(ip=1, time=2)


def test_a_sample_that_is_too_large_is_refused():
    encode = sample_encoder(Attr(sample_type=1 << SAMPLE_TYPE.index("CALLCHAIN")))
    with pytest.raises(RecordError):
        encode(callchain=(1,) * 9000)
