"""How an agent command becomes the text that bash runs. Source: spec/workers.md §2.1, spec/beat.md §9, §9.1.

Note [The terminal stays the agent's]
Retries by exit status need no output. A pattern does, and the two usual ways to catch it both take the terminal away:
behind `| tee` stdout is a pipe, and an interactive agent works in another mode or not at all; `script` moves the agent
into another session and terminal, puts the command itself, pattern and all, into what is searched, and has other flags
on each system. But all that the terminal shows is in the session's `output.log` already: what an attempt said is looked
up there. The log follows the terminal by a moment, so a mark without words, which terminals ignore, is printed before
and after an attempt and awaited there: neither our own lines nor another attempt's are searched.
"""

import re
from shlex import quote

from msgspec import Struct

from looop.model.errors import Refused

_PLACEHOLDER = re.compile(r""""\{\{prompt_file\}\}"|'\{\{prompt_file\}\}'|\{\{prompt_file\}\}""")
_RETIRED = re.compile(r"\{\{(?:model|thinking)\}\}")


class Retries(Struct, frozen=True):
    """How often a failed agent is started again, the ERE (in any case) that makes exit 0 a failure, seconds between."""

    extra: int = 0
    match: str = ""
    sleep_s: int = 3


def names_prompt(command: str) -> bool:
    """Whether the command says where the path of its prompt goes."""
    return _PLACEHOLDER.search(command) is not None


def with_prompt(command: str, path: str) -> str:
    """The command with `path` as one word in each place of `{{prompt_file}}`, quoted or not, in one pass.

    Source: edge cases 97, 98.
    """
    return _PLACEHOLDER.sub(lambda _: quote(path), command)


def launch_script(
    template: str, override: str | None, prompt_file: str, data_dir: str, session_id: str, retries: Retries
) -> str:
    """What `bash -c` runs as a worker: the override unless it is blank, else the template, in the data dir.

    Raises Refused when the command cannot get its task.

    Source: spec/workers.md §2.1 item 10, §2.2 item 5, edge case 166.
    """
    own = bool(override and override.strip())
    command = override if override and own else template
    _require(command, "the worker's command" if own else "worker_command")
    script = with_prompt(command, prompt_file)
    if retries.extra > 0:
        log = f"{data_dir}/sessions/{session_id}/output.log"
        script = _retrying(script, retries, log)
    return f"export LOOOP_SESSION_ID={quote(session_id)}; cd {quote(data_dir)} && {{ {script}\n}}"


def _require(command: str, name: str) -> None:
    if retired := _RETIRED.search(command):
        raise Refused(
            f"{name} has {retired[0]}, which nothing fills in any more: write the value itself in its place, "
            "or let `looop init` write the command anew"
        )
    if not names_prompt(command):
        raise Refused(f"{name} = {command!r}: expected {{{{prompt_file}}}} in it, where the worker finds its task")


_LOOP = """\
looop_attempt=1
while :; do
{before}(
{command}
)
looop_code=$?
if [ "$looop_attempt" -gt {extra} ] || {{ [ "$looop_code" -eq 0 ]{said_well}; }}; then exit "$looop_code"; fi
echo "looop-retry: attempt $looop_attempt of {attempts} failed (exit code $looop_code), \
trying again in $((looop_attempt * {sleep}))s" >&2
sleep "$((looop_attempt * {sleep}))"
looop_attempt=$((looop_attempt + 1))
done"""

_WATCH = r"""
looop_log={log}
looop_inode() {{ set -- $(ls -i "$looop_log" 2>/dev/null); echo "$1"; }}
looop_place() {{ echo "$(looop_inode)" "$(wc -c 2>/dev/null <"$looop_log")"; }}
looop_since() {{
  if [ "$1" = "$(looop_inode)" ]; then tail -c "+$(($2 + 1))" "$looop_log"
  else tail -c "+$(($2 + 1))" "$looop_log.1"; cat "$looop_log"; fi 2>/dev/null
}}
looop_settle() {{
  looop_at=$(looop_place)
  printf '\033_\033\\' >&2
  for ((looop_try = 0; looop_try < 100; looop_try++)); do
    if looop_since $looop_at | grep -aqF $'\033_\033\\'; then return; fi
    sleep 0.05
  done
}}
looop_matches() {{
  looop_settle
  looop_since $looop_from | grep -aiE -e {pattern} >/dev/null
}}
if ! [ -f "$looop_log" ]; then
  echo "looop-retry: no $looop_log, so exit codes alone count, not LOOOP_RUNNER_RETRY_MATCH" >&2
  looop_settle() {{ :; }}; looop_matches() {{ ! :; }}
fi
"""


def _retrying(command: str, retries: Retries, log: str) -> str:
    """The command in a loop of attempts, each in a shell of its own; the last one's exit status is the loop's.

    See Note [The terminal stays the agent's]. Source: spec/beat.md §9.1, edge case 102.
    """
    watched = bool(retries.match.strip())
    loop = _LOOP.format(
        command=command,
        extra=retries.extra,
        attempts=retries.extra + 1,
        sleep=retries.sleep_s,
        before="looop_settle; looop_from=$(looop_place)\n" if watched else "",
        said_well=" && ! looop_matches" if watched else "",
    )
    return (_WATCH.format(log=quote(log), pattern=quote(retries.match)) if watched else "") + loop
