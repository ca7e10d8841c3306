"""The benchmark of many senders, once and as small as it can be."""

import re

from click.testing import CliRunner

from bench import senders
from desired.firewalld import MANY_SENDERS


def test_a_rule_for_each_sender_and_an_ipset_are_measured() -> None:
    many = MANY_SENDERS + 1
    result = CliRunner().invoke(senders.main, ["--senders", str(many), "--inputs", "1"])
    assert result.exit_code == 0, result.output
    rows = re.findall(r"^\| (.*) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", result.output, re.MULTILINE)
    (_, rules, none, *times), (_, fewer, entries, *others) = rows
    assert (int(none), int(entries)) == (0, many)
    assert int(rules) - int(fewer) == 2 * (many - 1)
    assert all(float(time) > 0 for time in (*times, *others))
