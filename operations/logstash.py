"""Logstash's files, and how Logstash itself checks them."""

from __future__ import annotations

from operations.services import Unit

SETTINGS = "/etc/logstash/logstash.yml"
PIPELINES = "/etc/logstash/conf.d"
PIPELINE = f"{PIPELINES}/logstash-ha.conf"
EVENTS = "/var/log/logstash/events.json"
"""The sample output: one JSON object a line."""


# As its own user, which 9.x demands, and with folders of its own, so that the running one is not touched.
# The reason of a refusal is on the console, in the log, or in both; it has backslashes, which `echo` reads.
_TEST = """\
chown -R logstash: "$work"
said=$(runuser -u logstash -- /usr/share/logstash/bin/logstash --config.test_and_exit \
    --path.data "$work/data" --path.logs "$work/logs" "$@" 2>&1) || {
    errors=$({ printf '%s\\n' "$said"; cat "$work"/logs/*.log; } 2>/dev/null | grep -E '\\[(ERROR|FATAL)' | sort -u)
    printf 'Logstash refuses it: %s\\n' "${errors:-$said}" >&2
    exit 1
}"""

SETTINGS_CHECK = f"""\
cp -R /etc/logstash "$work/settings"
cp "$new" "$work/settings/logstash.yml"
set -- --path.settings "$work/settings" -e 'input {{ udp {{ port => 5514 }} }} output {{ stdout {{ }} }}'
{_TEST}"""
"""For a `TextFile`: the new logstash.yml among all other settings, with a trivial pipeline."""

PIPELINE_CHECK = f"""\
mkdir "$work/conf.d"
cp {PIPELINES}/*.conf "$work/conf.d" 2>/dev/null || true
cp "$new" "$work/conf.d/{PIPELINE.removeprefix(PIPELINES + "/")}"
set -- --path.settings /etc/logstash --path.config "$work/conf.d/*.conf"
{_TEST}"""
"""For a `TextFile`: the new file joined with all others of conf.d, as pipelines.yml joins them."""


def unit(probe: str) -> Unit:
    """Logstash's service; a Java program, it takes tens of seconds to start."""
    return Unit(
        "logstash",
        probe=probe,
        bound=180,
        log="/var/log/logstash/logstash-plain.log",
    )
