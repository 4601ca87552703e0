"""Two tasks of one's own: a cost that is allocated to the cent, and files that are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from merp_runner import Context, ParameterError, TaskFailed, task

_CENT = Decimal("0.01")


@task(title={"en": "Allocate a cost", "zh": "费用分摊"})
def allocate_cost(amount: Decimal, shares: Mapping[str, Decimal], *, context: Context) -> dict[str, Any]:
    """Split an amount among cost centres in proportion to their shares; the parts add up to the amount."""
    total = sum(shares.values(), Decimal(0))
    if total <= 0 or any(share < 0 for share in shares.values()):
        raise ParameterError("shares: none may be below 0, and one has to be above")
    exact = {centre: amount * share / total for centre, share in shares.items()}
    parts = {centre: part.quantize(_CENT, ROUND_DOWN) for centre, part in exact.items()}
    # Who lost most by the rounding gets a cent first.
    by_loss = sorted(parts, key=lambda centre: (parts[centre] - exact[centre], centre))
    left = int((amount.quantize(_CENT) - sum(parts.values())) / _CENT)
    for centre in by_loss[:left]:
        parts[centre] += _CENT
    return {"day": context.business_date, "parts": parts}


@task(title={"en": "Wait for files", "zh": "等待文件"})
async def await_files(
    folder: str, count: int = 1, pattern: str = "*.csv", seconds: float = 600, *, context: Context
) -> list[str]:
    """Wait until so many files are in a folder, and return their names."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        # A volume over the network may take its time; a stop is noticed all the same.
        names = await asyncio.to_thread(_names, folder, pattern)
        context.progress(len(names), count, "files are there")
        if len(names) >= count:
            return names
        if loop.time() >= deadline:
            raise TaskFailed(f"{len(names)} of {count} files within {seconds:g} s", exit_code=4)
        await asyncio.sleep(1)


def _names(folder: str, pattern: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob(pattern))
