"""How a perf.data file begins (tools/perf/Documentation/perf.data-file-format.txt)."""

import struct

MAGIC = b"PERFILE2"
MAGIC_BIG_ENDIAN = b"2ELIFREP"
MAGIC_OLD = b"PERFFILE"
FILE_HEADER = struct.Struct("<8sQQ6Q32s")
"""magic, its own size, size of an entry of attrs; offset and size of attrs, data and event_types;
the bits of the features."""
SIZE_OF_DATA_AT = 48
"""Where in the header the data's size is."""
ATTR_SECTION = struct.Struct("<QQ")
"""Offset and size of a section; after each attr, those of its ids."""
