"""How instructions get executed: the plain-Python reference, and native code from its table."""
