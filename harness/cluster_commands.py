"""The commands that look after virtual machines: `splitbrain cluster up`, `status`, `ssh`, ..."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click
import rich_click

from splitbrain.core.errors import SetupError, UsageError
from splitbrain.exit_code import VALID

if TYPE_CHECKING:
    from splitbrain.cluster.machines.fleet import Fleet

_NODES = click.option(
    "--nodes", type=click.IntRange(1, 9), default=3, show_default=True, help="How many."
)


@click.group("cluster", cls=rich_click.RichGroup)
def cluster_group() -> None:
    """Look after the virtual machines of --cluster vagrant.

    What is wanted comes from the environment: SPLITBRAIN_BOX, SPLITBRAIN_MEMORY_MB,
    SPLITBRAIN_PROVIDER (libvirt, virtualbox), SPLITBRAIN_DRIVER (kvm, qemu), SPLITBRAIN_SUBNET,
    SPLITBRAIN_VAGRANT_STATE.
    """


@cluster_group.command()
@_NODES
def up(nodes: int) -> int:
    """Bring machines up, and say what is done and how long it takes."""
    fleet = _fleet(nodes)
    with fleet.held():
        roster = fleet.up()
    for node, address in roster.peers.items():
        click.echo(f"{node}  {address}")
    click.echo("up; enter one with: splitbrain cluster ssh n1")
    return VALID


@cluster_group.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def status(*, as_json: bool) -> int:
    """Tell which machines there are, and whether they run."""
    fleet = _fleet(1)
    found, roster = fleet.states(), fleet.roster()
    if as_json:
        for item in found:
            line = {"node": item.node, "state": item.state, "address": item.address}
            click.echo(json.dumps(line))
        return VALID
    if roster is None or not found:
        click.echo("there are no machines; bring them up: splitbrain cluster up")
        return VALID
    box = f"{roster.provider}, box {roster.box}, {roster.memory_mb} MB each"
    click.echo(f"{box}, {roster.why} (pace {roster.pace:g})")
    for item in found:
        click.echo(f"{item.node}  {item.address}  {item.state}")
    return VALID


@cluster_group.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(node: str, command: tuple[str, ...]) -> int:
    """Enter a machine as root, or run a command on it."""
    fleet = _fleet(1)
    roster = fleet.roster()
    if roster is None or not fleet.place.running():
        message = "no machine is up"
        raise SetupError(message, advice="bring them up: splitbrain cluster up")
    if node not in roster.entrances:
        message = f"there is no node {node!r}; there are {', '.join(roster.entrances)}"
        raise UsageError(message)
    entrance = roster.entrances[node]
    known = fleet.settings.folder / "known_hosts"
    lines = [
        f"[{item.address}]:{item.port} {item.host_key}"
        if item.port != 22
        else f"{item.address} {item.host_key}"
        for item in roster.entrances.values()
    ]
    known.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = (
        *("-i", str(fleet.key_file), "-p", str(entrance.port), "-o", "IdentitiesOnly=yes"),
        *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "LogLevel=ERROR"),
    )
    argv = fleet.place.command(("ssh", *options, f"root@{entrance.address}", *command))
    os.execvp(argv[0], list(argv))


@cluster_group.command()
def halt() -> int:
    """Shut the machines down; they come up again as they were, with `up`."""
    fleet = _fleet(1)
    if fleet.roster() is None:
        click.echo("there are no machines to halt")
        return VALID
    with fleet.held():
        fleet.halt()
    click.echo("halted; their disks are kept")
    return VALID


@cluster_group.command()
@click.option("--box", is_flag=True, help="Remove the box that was built, as well.")
def destroy(*, box: bool) -> int:
    """Remove the machines, their disks and their network."""
    fleet = _fleet(1)
    there = False
    if fleet.settings.folder.exists():
        with fleet.held():
            there = fleet.destroy()
    if box:
        fleet.remove_built_box()
    click.echo("removed; nothing is left" if there else "there was nothing to remove")
    return VALID


def _fleet(nodes: int) -> Fleet:
    from splitbrain.cluster.machines.fleet import Fleet  # noqa: PLC0415 - paramiko is slow to load
    from splitbrain.cluster.machines.settings import from_environment  # noqa: PLC0415

    return Fleet(from_environment(nodes), click.echo)
