"""How far past the cap a run gets that never ends by itself: seeded runaways of the real agent CLIs.

Each message costs 15,450 tokens, as an agent's does whose conversation has grown: 15,000 of them from the cache. What
the vendor would bill is counted at the endpoint, message by message, also those that the loop never hears of.
"""

import shutil
import time

from paired import figure, title
from scripted import CLIS, Base, Endpoint, Options, Usage, asked, billed, fresh, runaway, unavailable

MESSAGE = Usage(fresh=300, cached=15_000, output=150)
CAP = 1_000_000
WAYS = {
    **{cli: (cli, Options(partial=True)) for cli in CLIS},
    "claude, no --include-partial-messages": ("claude", Options()),
}


def overshoot(endpoint: Endpoint, name: str) -> None:
    """One runaway under the cap: the figures of its end."""
    cli, options = WAYS[name]
    tag, root = f"{cli}-{options.partial}", fresh()
    try:
        base = Base.make(root, cli, endpoint.base("runaway", tag), options, max_daily_tokens=CAP)
        began = time.monotonic()
        report = base.beat(300)
        took, (row,) = time.monotonic() - began, base.rows()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if "tokens are used today" not in report["reason"]:
        raise SystemExit(f"{name}: {report['reason']}")
    known, real = sum(row["tokens"].values()), billed(endpoint, tag, MESSAGE)
    print(f"  {name}: stopped after {asked(endpoint, tag)} messages, {took:.1f} s")
    figure("  past the cap, as billed by the endpoint", (real - CAP) / CAP * 100, "%", 2.0)
    figure("  in messages", (real - CAP) / sum(MESSAGE), "", 1.0)
    figure("  of that in the ledger", (known - CAP) / CAP * 100, "%")


def main() -> None:
    title(f"overshoot: runaways of {sum(MESSAGE):,} tokens a message under a cap of {CAP:,}")
    if why := unavailable():
        print(f"  skipped: {why}")
        return
    with Endpoint({"runaway": runaway(MESSAGE)}) as endpoint:
        for name in WAYS:
            overshoot(endpoint, name)


if __name__ == "__main__":
    main()
