"""What stands in the kernel's own chains of iptables, before firewalld's chains."""

from __future__ import annotations

from pyinfra.api import FactBase

_OWN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
"""The kernel's chains (iptables(8))."""


def parse_own_rules(output: list[str]) -> list[str] | None:
    """Lines of iptables-save(8), after a line `ipv4` or `ipv6`: rules such as `ipv4 filter -A INPUT -p udp -j DROP`.

    What follows firewalld's chains in a chain decides nothing any more, and where a chain has none of them, what it
    accepts is not accepted by firewalld yet. None where the last line, `end`, is missing.
    """
    if not output or output[-1] != "end":
        return None
    family = table = ""
    rules: list[tuple[tuple[str, str, str], str]] = []
    done: set[tuple[str, str, str]] = set()
    for line in output[:-1]:
        words = line.split()
        if line in ("ipv4", "ipv6"):
            family = line
        elif line.startswith("*"):
            table = line[1:]
        elif len(words) > 3 and words[0] == "-A":
            chain = family, table, words[1]
            if any(word.startswith(f"{words[1]}_") and "ZONES" in word for word in words):
                done.add(chain)
            elif chain not in done:
                rules.append((chain, f"{family} {table} {line}"))
    return [rule for chain, rule in rules if chain in done or not rule.endswith(" -j ACCEPT")]


class OwnChains(FactBase[list[str] | None]):
    """
    The rules in the kernel's own chains that come before firewalld's; an empty list where there is no iptables. Needs
    root.

    What `iptables` puts there stands in its own tables, also where firewalld itself uses nftables.

    .. code:: python

        ["ipv4 filter -A INPUT -p udp -m udp --dport 5514 -j DROP"]
    """

    default = list

    def command(self, families: list[int]) -> str:
        pattern = f"^([*]|-A ({'|'.join(_OWN)}) )"
        programs = {4: "iptables-save", 6: "ip6tables-save"}
        reads = [
            f"! command -v {programs[family]} >/dev/null || {{ echo ipv{family}; {programs[family]}; }}"
            for family in families
        ]
        return (
            f"{{ {'; '.join(reads)}; echo end; }} 2>/dev/null | grep -E '{pattern}|^ipv[46]$|^end$' || true"
        )

    def process(self, output: list[str]) -> list[str] | None:
        return parse_own_rules(output)
