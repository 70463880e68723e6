"""The perf.data format, declared once: attributes, records, header features; writer and reader."""
