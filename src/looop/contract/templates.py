"""Sensor scripts a person wants on the first day, written with the person's own values by `looop sensor add`.

Every script is POSIX sh, prints one JSON object `{"signal": …, "detail": …}`, and fails with a line on stderr
when it cannot sense. Only the signal wakes the loop; whatever moves by itself is in the detail.

Note [Values in scripts]
A value stands in exactly one place, an assignment, as one shell word on one line. So it cannot end the quotes,
and no line of it can pose as a `# looop:` directive. Comments hold no value.

Note [JSON from sh]
`json_string` goes through `od`, so any byte can come; awk answers in ASCII, because awks differ in `%c` beyond it.

Note [http is Python inside]
curl is often missing and reads no JSON. Python runs isolated (`-I`): a `json.py` beside it must not become json.
"""

import re
import shlex
from collections.abc import Mapping

from msgspec import Struct

from looop.model.errors import Invalid

_MARKER = re.compile(r"@(\w+)@")


class Option(Struct, frozen=True):
    """One value of a template, required without a default. `pattern` fits all of it; `expects` says so in words."""

    name: str
    about: str
    default: str | None = None
    pattern: str = r"[\s\S]*"
    expects: str = "text"


class Template(Struct, frozen=True):
    """One kind of sensor."""

    kind: str
    about: str
    options: tuple[Option, ...]


def render(kind: str, values: Mapping[str, str]) -> str:
    """The script of a `kind` sensor with these values. Raises Invalid naming what is wrong and what is valid."""
    template = TEMPLATES.get(kind)
    if template is None:
        raise Invalid(f"unknown sensor kind {kind!r}: expected one of {', '.join(TEMPLATES)}")
    chosen = _chosen(template, values)
    words = {name: _word(value) for name, value in chosen.items()}
    parts = {**words, "interval": _interval(chosen), "trust": _TRUST, "json_string": _JSON_STRING, "fail": _FAIL}
    return _MARKER.sub(lambda marker: parts[marker[1]], _SCRIPTS[kind])


def _chosen(template: Template, values: Mapping[str, str]) -> dict[str, str]:
    valid = "; ".join(f"{option.name} ({_need(option)})" for option in template.options) or "none"
    missing = [o.name for o in template.options if o.default is None and o.name not in values]
    unknown = sorted(values.keys() - {option.name for option in template.options})
    for word, names in (("has no option", unknown), ("needs", missing)):
        if names:
            raise Invalid(f"sensor {template.kind} {word} {', '.join(names)}; its options: {valid}")
    return {option.name: _checked(template.kind, option, values) for option in template.options}


def _need(option: Option) -> str:
    if option.default is None:
        return "required"
    return f"default {option.default}" if option.default else "optional"


def _checked(kind: str, option: Option, values: Mapping[str, str]) -> str:
    value = values.get(option.name)
    if value is None:
        return option.default or ""
    if re.search("[\0\ud800-\udfff]", value):
        raise Invalid(f"sensor {kind}: {option.name} holds a NUL or is not valid UTF-8: expected text")
    if not re.fullmatch(option.pattern, value):
        raise Invalid(f"sensor {kind}: {option.name} {value!r} does not fit: expected {option.expects}")
    return value


def _word(value: str) -> str:
    """`value` as one shell word on one line; `$nl` is a newline. See Note [Values in scripts]."""
    return shlex.quote(value).replace("\n", "'\"$nl\"'")


def _interval(chosen: Mapping[str, str]) -> str:
    seconds = chosen.get("interval", "0")
    if seconds == "0" and chosen.get("fetch") == "yes":
        seconds = "300"
    return f"# looop:interval={int(seconds)}\n" if int(seconds) else ""


def _every(seconds: str, more: str = "") -> Option:
    about = f"seconds a reading stays fresh; 0 reads at every beat{more}"
    return Option("interval", about, seconds, r"[0-9]{1,8}", "whole seconds")


def _yes(name: str, about: str) -> Option:
    return Option(name, about, "no", "yes|no", "yes or no")


def _path(about: str, default: str | None = None) -> Option:
    rooted = "a path from the root or from ~ (a sensor runs in the data dir, so a relative one means another place)"
    return Option("path", about, default, r"(/|~/)[\s\S]*|~", rooted)


TEMPLATES: dict[str, Template] = {
    template.kind: template
    for template in (
        Template(
            "git-repo",
            "a git repository on this machine: branch, commit, uncommitted work, ahead and behind",
            (
                _path("where the repository is"),
                Option("branch", "the branch to watch instead of the one checked out", ""),
                _yes("fetch", "ask the remotes first (uses the network)"),
                _every("0", " (300 with fetch)"),
            ),
        ),
        Template(
            "http",
            "a web address: does it answer as it should",
            (
                Option("url", "what to get", None, r"https?://[!-~]+", "http:// or https://, percent-encoded"),
                Option("expect", "the status that is well", "200", "[1-5][0-9][0-9]", "a status such as 200"),
                _yes("body", "wake when the body changes (by its SHA-256)"),
                Option("field", "wake when this field of a JSON body changes, as in data.items.0.version", ""),
                Option("timeout", "seconds for the whole answer", "10", "[1-9]|[1-4][0-9]|50", "1 to 50"),
                _every("60"),
            ),
        ),
        Template(
            "disk",
            "a disk: is it fuller than it should be",
            (
                _path("any file or folder on the disk", "/"),
                Option("threshold", "percent from which it is full", "90", "[1-9][0-9]?|100", "1 to 100"),
                _every("300"),
            ),
        ),
        Template(
            "command",
            "any command: its exit code, and its first line if that matters",
            (
                Option(
                    "cmd", "what sh runs, in the data dir; it must only look", None, r"[\s\S]*\S[\s\S]*", "a command"
                ),
                _yes("lines", "wake when the first line of its output changes, too"),
                _every("60"),
            ),
        ),
        Template("today", "the date: wakes the loop once a day", ()),
    )
}

_TRUST = """\
# The next line with one '#' less says: nobody but you can put words into this reading. Leave it when in doubt.
## looop:trust=trusted"""

_FAIL = r"""nl='
'
fail() { printf '%s\n' "$1" >&2; exit 1; }"""

_JSON_STRING = r"""# stdin as a JSON string, whatever the bytes: not UTF-8 becomes U+FFFD, half a character
# at the start is left out, and after $1 characters (if given) comes an ellipsis.
json_string() {
    LC_ALL=C od -An -v -tu1 | LC_ALL=C awk -v max="${1:-0}" '
        function unit(c) { printf "\\u%04x", c }
        function put(c) {
            if (max && ++count > max) { if (count == max + 1) unit(8230) }
            else if (c == 10) printf "\\n"
            else if (c == 9) printf "\\t"
            else if (c == 34 || c == 92) printf "\\%c", c
            else if (c > 31 && c < 127) printf "%c", c
            else if (c < 65536) unit(c)
            else { unit(55232 + int(c / 1024)); unit(56320 + c % 1024) }
            started = 1
        }
        function expect(n, c, from, to) { need = n; code = c; low = from; high = to }
        function byte(b) {
            if (need && (b < low || b > high)) { need = 0; put(65533) }
            if (need) { code = code * 64 + b - 128; low = 128; high = 191; if (--need == 0) put(code) }
            else if (b < 128) put(b)
            else if (b < 192 && !started) return
            else if (b > 193 && b < 224) expect(1, b - 192, 128, 191)
            else if (b > 223 && b < 240) expect(2, b - 224, b == 224 ? 160 : 128, b == 237 ? 159 : 191)
            else if (b > 239 && b < 245) expect(3, b - 240, b == 240 ? 144 : 128, b == 244 ? 143 : 191)
            else put(65533)
        }
        BEGIN { printf "\"" }
        { for (i = 1; i <= NF; i++) byte($i + 0) }
        END { if (need) put(65533); printf "\"" }'
}"""

_SCRIPTS = {
    "git-repo": r"""#!/bin/sh
# Senses one git repository as it lies on this disk; the network is used only with fetch=yes.
@interval@#
# signal: branch (null when detached), commit (null before the first), dirty, ahead and behind of the upstream
#   (null without one: a condition asks behind != null before behind > 0). These are what someone would act on.
# detail: the last commit's subject, and how many files are changed and stashed. They move with every keystroke
#   of whoever works there, so they are told but wake nobody.
#
@trust@
@fail@
path=@path@
branch=@branch@
fetch=@fetch@

case $path in "~" | "~/"*) path=$HOME${path#"~"} ;; esac
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0

repo() { git -C "$path" -c core.warnAmbiguousRefs=false "$@"; }

@json_string@
text_or_null() { if [ -n "$1" ]; then printf %s "$1" | json_string 200; else printf null; fi; }

problem=$(repo rev-parse --git-dir 2>&1 >/dev/null) || fail "no git repository to read at $path: $problem"

fetched=null
if [ "$fetch" = yes ]; then
    repo config --get core.sshCommand >/dev/null ||
        export GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes -o ConnectTimeout=10}"
    fetched=true
    repo -c gc.auto=0 -c http.lowSpeedLimit=1 -c http.lowSpeedTime=15 \
        fetch --quiet --all --no-write-fetch-head </dev/null >&2 || fetched=false
fi

head=$(repo symbolic-ref --quiet HEAD)
current=${head#refs/heads/}
name=${branch:-$current}
if [ -n "$name" ]; then ref=refs/heads/$name; else ref=HEAD; fi
if commit=$(repo rev-parse --verify --quiet "$ref^{commit}"); then
    subject=$(repo -c log.showSignature=false log -1 --format=%s "$ref" --) || fail "cannot read $ref in $path"
elif [ -n "$(repo rev-parse --verify --quiet "$ref")" ]; then
    fail "cannot read the commit of $ref in $path"
elif [ "$name" != "$current" ]; then
    fail "no branch $name in $path"
fi

dirty=null changed=null
if [ "$(repo rev-parse --is-inside-work-tree)" = true ]; then
    status=$(repo status --porcelain --untracked-files=normal) || fail "cannot read the working tree of $path"
    changed=$(printf %s "$status" | awk 'END { print NR }')
    if [ "$name" = "$current" ]; then
        if [ "$changed" -eq 0 ]; then dirty=false; else dirty=true; fi
    fi
fi

ahead=null behind=null
upstream=$(repo for-each-ref --format='%(upstream)' "$ref")
if [ -n "$upstream" ] && counts=$(repo rev-list --left-right --count "$ref...$upstream" -- 2>/dev/null); then
    ahead=${counts%%[!0-9]*} behind=${counts##*[!0-9]}
fi
stashes=$(repo rev-list --walk-reflogs --count refs/stash -- 2>/dev/null) || stashes=0

printf '{"signal":{"branch":%s,"commit":%s,"dirty":%s,"ahead":%s,"behind":%s},' "$(text_or_null "$name")" \
    "$(text_or_null "$(printf %s "$commit" | cut -c1-12)")" "$dirty" "$ahead" "$behind"
printf '"detail":{"subject":%s,"changed_files":%s,"stashes":%s,"fetched":%s}}\n' "$(text_or_null "${subject:-}")" \
    "$changed" "$stashes" "$fetched"
""",
    "http": r"""#!/bin/sh
# Senses whether a web address answers as it should.
@interval@#
# signal: ok, status (null when there was no answer), and when asked for: body (its SHA-256, shortened) and value
#   (one field of a JSON body). The body counts only when the status is the expected one: error pages differ
#   from one to the next.
# detail: how long it took and what went wrong, in words. Both differ every time, so they are told but wake nobody.
#
@trust@
@fail@
url=@url@
expect=@expect@
field=@field@
body=@body@
timeout=@timeout@

command -v python3 >/dev/null || fail "this sensor needs python3, and there is none on the PATH: $PATH"
exec python3 -I -X utf8 - "$url" "$expect" "$field" "$body" "$timeout" <<'PYTHON'
import hashlib, http.client, json, signal, sys, time, urllib.error, urllib.request

url, expect, field, body, timeout = sys.argv[1:]
LIMIT = 4 * 1024 * 1024
class Stay(urllib.request.HTTPRedirectHandler):
    redirect_request = lambda *about: None

def too_late(*about):
    raise TimeoutError("no complete answer in %s s" % timeout)

def get():
    opener = urllib.request.build_opener(*([Stay] if expect[0] == "3" else []))
    try:
        answer = opener.open(urllib.request.Request(url, headers={"User-Agent": "looop-sensor"}))
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        wanted = (field or body == "yes") and str(answer.code) == expect
        content = answer.read(LIMIT) if wanted else b""
        if wanted and answer.length and len(content) < LIMIT:
            raise http.client.IncompleteRead(content, answer.length)
        return answer.code, content

def pick(content):
    value = json.loads(content)
    for step in field.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
    return value if len(text) <= 1000 else "sha256 " + hashlib.sha256(text).hexdigest()

signal.signal(signal.SIGALRM, too_late)
signal.setitimer(signal.ITIMER_REAL, float(timeout))
began, status, content, trouble, value = time.monotonic(), None, b"", None, None
try:
    status, content = get()
except (OSError, ValueError, http.client.HTTPException) as error:
    trouble = str(getattr(error, "reason", "") or error) or type(error).__name__
finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
took = round((time.monotonic() - began) * 1000)
ok = str(status) == expect
if ok and field:
    try:
        value = pick(content)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        trouble = "no %s in the body: %s: %s" % (field, type(error).__name__, error)
reading = {"ok": ok, "status": status}
if body == "yes":
    reading["body"] = hashlib.sha256(content).hexdigest()[:16] if ok else None
if field:
    reading["value"] = value
words = trouble and trouble.encode("utf-8", "replace").decode()[:300]
print(json.dumps({"signal": reading, "detail": {"latency_ms": took, "error": words}}))
PYTHON
""",
    "disk": r"""#!/bin/sh
# Senses whether a disk is fuller than it should be.
@interval@#
# signal: full, true or false. The percentage itself moves all day long, and would wake the loop all day long.
# detail: the percentage used and the MiB free.
#
@trust@
@fail@
path=@path@
threshold=@threshold@

case $path in "~" | "~/"*) path=$HOME${path#"~"} ;; esac
table=$(LC_ALL=C df -P -k "$path" 2>&1) || fail "cannot read the disk of $path: $table"
printf '%s\n' "$table" | LC_ALL=C awk -v threshold="$threshold" '
    { for (i = 5; i <= NF; i++) if ($i ~ /^[0-9]+%$/ && $(i - 1) ~ /^-?[0-9]+$/ && $(i - 2) ~ /^[0-9]+$/) {
        used = $i + 0; free = $(i - 1); found = 1; exit
    } }
    END {
        if (!found) exit 1
        printf "{\"signal\":{\"full\":%s},", (used >= threshold + 0) ? "true" : "false"
        printf "\"detail\":{\"used_percent\":%d,\"free_mib\":%.0f}}\n", used, free / 1024
    }' || fail "df says nothing about how full the disk of $path is: $table"
""",
    "command": r"""#!/bin/sh
# Senses what a command says: how it ends and, with lines=yes, the first line it prints. It runs again and again
# and unasked, so it must only look.
@interval@#
# signal: exit_code, and with lines=yes first_line (200 characters of it). Other output often holds times and
#   counters, which would wake the loop for nothing.
# detail: the end of the output, stdout and stderr together.
#
@trust@
@fail@
cmd=@cmd@
lines=@lines@

@json_string@

out=$(mktemp) || fail "cannot make a temporary file for the output"
exec 3>"$out" 4<"$out" 5<"$out"
rm -f "$out"
{ sh -c -- "$cmd" >&3 2>&1 </dev/null 3>&- 4<&- 5<&-; } 2>/dev/null
code=$?

first=
if [ "$lines" = yes ]; then
    first=,\"first_line\":$(head -c 1000 <&4 | head -n 1 | LC_ALL=C tr -d '\r\n' | json_string 200)
fi
printf '{"signal":{"exit_code":%s%s},"detail":{"output":%s}}\n' "$code" "$first" "$(tail -c 1000 <&5 | json_string)"
""",
    "today": r"""#!/bin/sh
# Senses the date, local time: wakes the loop once a day, at the first beat after midnight.
#
# signal: date. The time of day is not in it: it would wake the loop at every beat.
# detail: the day of the week.
#
@trust@
now=$(LC_ALL=C date '+%Y-%m-%d %A') || exit 1
printf '{"signal":{"date":"%s"},"detail":{"weekday":"%s"}}\n' "${now% *}" "${now#* }"
""",
}
