"""The child that hands one message to one target: `python -m looop.contract.delivery`, its order on stdin.

Only this process loads the notification library, which costs 40 MB and half a second: they go with it. It is started,
bounded and killed by contract/deliver.py, and prints one line of JSON. What it may know of secrets came on stdin, and
what it says is searched for them by its parent; what libraries print leads nowhere.
"""

import io
import signal
import sys
import warnings
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

_MOST_ERROR = 8192  # far more than is shown, so that no secret is cut in two where it is not searched for
_SPARE_S = 5  # an orphan, whose parent cannot kill it any more, ends by itself


class Order(Struct, frozen=True):
    """What to do. `urls` alone: say which of them the library does not understand. With `headers`: POST `body`."""

    urls: list[str]
    limit_s: int
    title: str = ""
    body: str = ""
    grave: bool = False
    headers: dict[str, str] | None = None


class Done(Struct, frozen=True):
    """How it went: `error` is empty when all is well. `bad` are the places of URLs that are not understood."""

    error: str = ""
    bad: list[int] = []
    installed: bool = True


def main() -> int:
    """Do as ordered and return the exit status. Never raises. A wish to end is not heard: the message is on its way."""
    out, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        signal.alarm(order.limit_s + _SPARE_S)
        done = _obey(order)
    except ImportError as error:
        done = Done(error=f"{error.name or error} is not installed", installed=error.name != "apprise")
    except Exception as error:  # noqa: BLE001  the top of a process: a line, never a traceback
        done = Done(error=f"{type(error).__name__}: {error}")
    out.write(msgspec.json.encode(replace(done, error=done.error[:_MOST_ERROR])).decode() + "\n")
    out.flush()
    return 0 if not done.error else 1


def _obey(order: Order) -> Done:
    if order.headers is not None:
        return Done(error=_post(order, order.headers))
    if not order.body:
        return Done(bad=[place for place, url in enumerate(order.urls) if _service(url) is None])
    service = _service(order.urls[0])
    return Done(error="apprise does not understand this URL" if service is None else _notify(service, order))


def _service(url: str) -> Any:
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="looop", app_desc="looop", app_url="", storage_mode="memory", async_mode=False)
    return Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _notify(service: Any, order: Order) -> str:
    """Push through the library. A message too long for its service is cut, unless the URL says otherwise."""
    from apprise import Apprise, NotifyFormat, NotifyType, OverflowMode

    if "overflow=" not in order.urls[0]:
        service.overflow_mode = OverflowMode.TRUNCATE
    sender = Apprise()
    sender.add(service)
    kind = NotifyType.WARNING if order.grave else NotifyType.INFO
    result = sender.notify(body=order.body, title=order.title, notify_type=kind, body_format=NotifyFormat.TEXT)
    said = [entry.message for entry in result.logs()]
    return "" if result else (" ".join(said[-2:]) or "the service did not take it")


def _post(order: Order, headers: dict[str, str]) -> str:
    """POST the body to a webhook of ours; redirects and proxies are for others."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(order.urls[0].removeprefix("looop+"))
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=order.limit_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, order.body.encode(), headers)
        answer = connection.getresponse()
    except OSError as error:
        return error.strerror or str(error) or "no answer"
    except HTTPException as error:
        return f"no HTTP answer ({type(error).__name__})"
    finally:
        connection.close()
    return "" if 200 <= answer.status < 300 else f"HTTP {answer.status} {answer.reason}"


if __name__ == "__main__":
    sys.exit(main())
