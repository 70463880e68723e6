"""Every CSR of the hart, by number and by name. They are declared by the extensions."""

from isa.ext import EXTENSIONS

CSRS = {csr.address: csr for extension in EXTENSIONS for csr in extension.csrs}
CSR_NUMBERS = {csr.name: number for number, csr in CSRS.items()}
CSR_NAMES = {number: csr.name for number, csr in CSRS.items()}
