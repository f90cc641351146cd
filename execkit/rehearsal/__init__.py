"""A local exchange on loopback that speaks real exchanges' dialects, with faults on demand.

`Rehearsal` is what a client can reach; `Exchange` is the ledger behind it.
"""

from __future__ import annotations

from execkit.rehearsal.accounts import ApiKey
from execkit.rehearsal.exchange import Exchange
from execkit.rehearsal.faults import Faults
from execkit.rehearsal.rules import FeeSchedule
from execkit.rehearsal.server import Rehearsal
from execkit.rehearsal.words import NewOrder, Rejected

__all__ = ["ApiKey", "Exchange", "Faults", "FeeSchedule", "NewOrder", "Rehearsal", "Rejected"]
