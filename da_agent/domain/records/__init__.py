"""The stored records: how each becomes JSON, and what makes one invalid.

Each module has the shape of one record. The keys are written down there; renaming a field of a value changes no file.
"""

from da_agent.domain.records.codec import decode, encode, seal, unseal

__all__ = ["decode", "encode", "seal", "unseal"]
