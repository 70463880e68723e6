"""The tests. They mirror the packages; oracles/ holds what others' programs say is right."""
