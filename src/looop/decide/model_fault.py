"""Why a request failed, in one line for a person, and whether another one could do better.

The two SDKs are twins: `APIStatusError`, `APITimeoutError` and `APIConnectionError` mean the same in both, and what an
exception carries is looked at without importing either.
"""

import ssl
from typing import Any

from msgspec import Struct

from looop.config.api import ModelApi
from looop.decide.model_answer import one_line
from looop.decide.stream_base import at, text_at

_LATER = (408, 409, 429)
_LONG = 200
_REASONS = (
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "the connection was reset"),
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
)


class Fault(Struct, frozen=True):
    """`wait_s` is how long the endpoint asked to wait; `status` 0 when no answer came."""

    text: str
    status: int = 0
    retry: bool = False
    wait_s: float | None = None


def fault_of(error: Any, api: ModelApi) -> Fault:
    """What this exception of an SDK says."""
    if (response := getattr(error, "response", None)) is not None:
        return _status(response, at(error.__dict__, "body"), api)
    causes = _causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Fault(f"cannot reach {api.base_url}: {_reason(causes)}")
    if "Timeout" in type(error).__name__ and not any("Connect" in type(cause).__name__ for cause in causes[1:]):
        return Fault(f"{api.base_url} gave no answer in the time that this decide has")
    return Fault(f"cannot reach {api.base_url}: {_reason(causes)}", retry=True)


def not_json(api: ModelApi, content_type: str, text: str) -> str:
    """Why an answer that is no JSON object is of no use."""
    if not text.strip():
        return f"{api.base_url} gave an empty answer"
    what = "HTML" if "html" in content_type or text.lstrip().startswith("<") else "something that is not JSON"
    return f"{api.base_url} answered with {what}, is base_url right? {one_line(text)}"


def _status(response: Any, body: Any, api: ModelApi) -> Fault:
    status, said = int(response.status_code), _said(body)
    refused = f"HTTP {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        return Fault(f"{api.base_url} refused the key ({_place(api)}): {refused}", status)
    if status == 404:
        hint = f"is {api.model!r} a model there, and base_url right?"
        return Fault(f"{one_line(str(response.url))} was not found, {hint} {refused}", status)
    if 300 <= status < 400:
        where = one_line(response.headers.get("location", "nowhere"))
        return Fault(f"{api.base_url} is elsewhere (HTTP {status}), set base_url to where it is: {where}", status)
    later = status in _LATER or status >= 500
    retry = later and "insufficient_quota" not in said and response.headers.get("x-should-retry") != "false"
    return Fault(f"{api.base_url} failed: {refused}", status, retry, _wait_s(response.headers))


def _said(body: Any) -> str:
    """The message and the code in the body of an error."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, str):
        return one_line(inner, _LONG)
    code = text_at(inner, "code") or text_at(inner, "type")
    return one_line(text_at(inner, "message"), _LONG) + (f" ({one_line(code, 40)})" if code else "")


def _place(api: ModelApi) -> str:
    if api.key_file:
        return f"key_file {api.key_file}"
    return f"key_env {api.key_env}" if api.key_env else "none is configured: key_env or key_file"


def _wait_s(headers: Any) -> float | None:
    """Seconds by `retry-after-ms` or `retry-after`; a date is not understood, and then our own pauses hold."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            wait = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= wait < 1e9:
            return wait
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and what caused it, outermost first."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _reason(causes: list[BaseException]) -> str:
    for cause in causes:
        for kind, words in _REASONS:
            if isinstance(cause, kind):
                detail = getattr(cause, "verify_message", "")
                return f"{words} ({detail})" if detail else words
    return one_line(str(causes[-1]) or type(causes[-1]).__name__)
