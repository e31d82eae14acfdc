"""What virtual machines are made of, as far as no machine is needed for it."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.cluster.layers import BasedSkew
from splitbrain.cluster.layers import bent_ns as bent_by_layers
from splitbrain.cluster.machines import acceleration, choice, preflight
from splitbrain.cluster.machines.access import Entrance, own_key
from splitbrain.cluster.machines.box import trial_image
from splitbrain.cluster.machines.choice import Choice
from splitbrain.cluster.machines.command import run_program
from splitbrain.cluster.machines.files import box_seal, copy_files
from splitbrain.cluster.machines.fleet import Fleet
from splitbrain.cluster.machines.libvirt import network_definition
from splitbrain.cluster.machines.place import PrivatePlace
from splitbrain.cluster.machines.roster import Roster, held_alone, read_roster, write_roster
from splitbrain.cluster.machines.settings import Settings, settings_from
from splitbrain.cluster.machines.vagrant_command import parse_ssh_config
from splitbrain.cluster.on_node import wall_clock
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import SetupError, UsageError

S = 1_000_000_000
SSH_CONFIG = """Host n1
  HostName 127.0.0.1
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  IdentityFile "/a folder/private_key"

Host n2
  HostName 192.168.56.12
  IdentityFile /keys/two
"""


def asked(tmp_path: Path, **environment: str) -> Settings:
    state = {"SPLITBRAIN_VAGRANT_STATE": str(tmp_path / "state")}
    return settings_from({**state, **environment}, node_count=3)


# settings


def test_what_is_not_set_is_left_to_the_cluster(tmp_path: Path) -> None:
    settings = asked(tmp_path)
    assert settings.nodes == ("n1", "n2", "n3")
    assert (settings.provider, settings.driver, settings.box, settings.memory_mb) == (None,) * 4
    assert settings.subnet == "192.168.56"
    assert settings.folder == tmp_path / "state"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPLITBRAIN_PROVIDER", "vmware"),
        ("SPLITBRAIN_DRIVER", "xen"),
        ("SPLITBRAIN_MEMORY_MB", "lots"),
        ("SPLITBRAIN_MEMORY_MB", "4"),
        ("SPLITBRAIN_SUBNET", "192.168"),
        ("SPLITBRAIN_SUBNET", "192.168.56.0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value!r}"):
        asked(tmp_path, **{name: value})


@pytest.mark.parametrize("count", [0, 10])
def test_there_are_one_to_nine_machines(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 9 nodes"):
        settings_from({}, node_count=count)


# choices


def test_libvirt_of_our_own_gets_our_own_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "systemd_runs", lambda: False)
    monkeypatch.setattr(choice, "libvirt_answers", lambda: False)
    monkeypatch.setattr(choice.platform, "machine", lambda: "x86_64")
    ours = choice.choose(asked(tmp_path, SPLITBRAIN_PROVIDER="libvirt"))
    assert (ours.private, ours.builds_box, ours.memory_mb) == (True, True, 256)
    assert isinstance(ours.place(asked(tmp_path)), PrivatePlace)
    stock = asked(tmp_path, SPLITBRAIN_PROVIDER="libvirt", SPLITBRAIN_BOX="debian/bookworm64")
    assert not choice.choose(stock).builds_box


def test_where_systemd_runs_libvirt_is_its_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "systemd_runs", lambda: True)
    usual = choice.choose(asked(tmp_path, SPLITBRAIN_PROVIDER="libvirt"))
    assert (usual.private, usual.box, usual.memory_mb) == (False, "debian/bookworm64", 512)


def test_a_provider_is_found_or_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has", lambda name: name == "VBoxManage")
    assert choice.choose(asked(tmp_path)).provider == "virtualbox"
    monkeypatch.setattr(choice, "has", lambda name: False)
    assert choice.choose(asked(tmp_path)).provider is None


# what is missing

OURS = Choice(provider="libvirt", private=True, box="splitbrain/bookworm", memory_mb=256)


def lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Choice, *absent: str
) -> list[tuple[str, str]]:
    monkeypatch.setattr(preflight, "has", lambda name: name not in absent)
    monkeypatch.setattr(preflight, "_has_plugin", lambda: "plugin" not in absent)
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    return preflight.lacks(asked(tmp_path), made)


@pytest.mark.parametrize(
    ("absent", "what", "line"),
    [
        ("vagrant", "the program vagrant", "apt-get install"),
        ("plugin", "plugin vagrant-libvirt", "vagrant-libvirt"),
        ("qemu-system-x86_64", "qemu-system-x86_64", "qemu-system-x86"),
        ("libvirtd", "libvirtd", "libvirt-daemon-system"),
        ("debootstrap", "for building the box: debootstrap", "apt-get install debootstrap"),
    ],
)
def test_each_thing_that_is_missing_has_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, what: str, line: str
) -> None:
    assert lacks(tmp_path, monkeypatch, OURS) == []
    found = lacks(tmp_path, monkeypatch, OURS, absent)
    assert len(found) == 1
    assert what in found[0][0]
    assert line in found[0][1]


def test_no_provider_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = replace(OURS, provider=None, private=False)
    found = lacks(tmp_path, monkeypatch, nothing, "virsh", "VBoxManage")
    assert "neither libvirt (virsh) nor VirtualBox" in found[0][0]


def test_too_little_room_is_said_in_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "ROOM_MB", 10**9)
    found = lacks(tmp_path, monkeypatch, OURS)
    assert "disk space" in found[0][0]
    assert "SPLITBRAIN_VAGRANT_STATE" in found[0][1]


def test_addresses_that_are_taken_are_found() -> None:
    def interface(name: str, address: str, length: int) -> dict[str, object]:
        info = {"family": "inet", "local": address, "prefixlen": length}
        return {"ifname": name, "addr_info": [info]}

    assert preflight.clashes("192.168.56", [interface("eth0", "10.0.0.2", 8)]) is None
    wide = interface("eth0", "192.168.40.7", 19)
    assert preflight.clashes("192.168.56", [wide]) == "eth0 has 192.168.40.7/19"
    ours = [interface("splitbrain0", "192.168.56.1", 24), interface("vboxnet0", "192.168.56.1", 24)]
    assert preflight.clashes("192.168.56", ours) is None


# vagrant's settings, the network, the files


def test_ssh_settings_are_read_with_their_quotes() -> None:
    found = parse_ssh_config(SSH_CONFIG, ["n1", "n2"])
    assert found["n1"] == {
        "hostname": "127.0.0.1",
        "port": "2222",
        "user": "vagrant",
        "identityfile": "/a folder/private_key",
    }
    assert found["n2"]["port"] == "22"
    with pytest.raises(SetupError, match="nothing about n3"):
        parse_ssh_config(SSH_CONFIG, ["n1", "n3"])


def test_the_network_leads_out_only_where_it_must() -> None:
    closed = network_definition("10.1.2", leads_out=False)
    assert "<forward" not in closed
    assert "<host mac='52:54:00:5b:00:09' name='n9' ip='10.1.2.19'>" in closed
    assert "<forward mode='nat'/>" in network_definition("10.1.2", leads_out=True)


def test_the_files_are_copied_whole_and_can_be_run(tmp_path: Path) -> None:
    copy_files(tmp_path)
    assert "Vagrant.configure" in (tmp_path / "Vagrantfile").read_text()
    for name in ("place.sh", "qemu-tcg.sh", "box/build.sh", "box/initrd/init"):
        assert os.access(tmp_path / name, os.X_OK), name
    assert (tmp_path / "box/files/etc/ssh/sshd_config.d/splitbrain.conf").is_file()
    assert len(box_seal()) == 12


def test_no_mirror_stands_in_any_file(repository: Path) -> None:
    for file in (repository / "vagrant").rglob("*"):
        if file.is_file():
            assert "://" not in file.read_text().replace("qemu:///system", ""), file


def test_a_damaged_box_is_named(tmp_path: Path) -> None:
    box = tmp_path / "some.box"
    with tarfile.open(box, "w") as archive:
        archive.add(__file__, "metadata.json")
    with pytest.raises(SetupError, match=r"some\.box is damaged.*it is built anew"):
        trial_image(box, tmp_path / "trial")


# acceleration


def test_the_trial_is_made_once_for_each_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def trial(image: Path | None) -> acceleration.Acceleration:
        tried.append(image)
        return acceleration.Acceleration(driver="qemu", why="emulated")

    monkeypatch.setattr(acceleration, "_try", trial)
    remembered = tmp_path / "acceleration.json"
    first = acceleration.find_acceleration(remembered, None)
    assert acceleration.find_acceleration(remembered, None) == first
    assert tried == [None]
    assert first.pace == 5.0
    acceleration.find_acceleration(remembered, tmp_path)
    assert tried == [None, tmp_path]


def test_without_kvm_guests_are_emulated_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "KVM", tmp_path / "none")
    found = acceleration.find_acceleration(tmp_path / "kept.json", None)
    assert found.driver == "qemu"
    assert "there is no" in found.why


# programs


def test_a_program_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('a'); sys.stderr.write('the reason\\n'); sys.exit(3)"
    log = tmp_path / "log"
    with pytest.raises(SetupError, match=f"tool failed: the reason; .*{log}"):
        run_program((sys.executable, "-c", code), limit_s=20, log=log, what="tool")
    assert "the reason" in log.read_text()


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.run(['sleep', '1000.25'])"
    with pytest.raises(SetupError, match="did not end within 2 s"):
        run_program((sys.executable, "-c", code), limit_s=2, log=tmp_path / "log", what="tool")
    deadline = time.monotonic() + 10
    while _sleepers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_lines_are_heard_as_they_come_and_given_in_the_end(tmp_path: Path) -> None:
    heard: list[str] = []
    code = "print('one\\rtwo'); print('three', end='')"
    out = run_program(
        (sys.executable, "-c", code), limit_s=20, log=tmp_path / "log", heard=heard.append
    )
    assert out.splitlines() == ["one", "two", "three"]
    assert heard == ["one", "two"]


def _sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line == b"sleep\x001000.25\x00":
                found.append(entry.name)
    return found


# what is remembered


def test_the_roster_comes_back_as_it_was(tmp_path: Path) -> None:
    entrance = Entrance(node="n1", address="127.0.0.1", port=2222, host_key="ssh-ed25519 AAAA")
    roster = Roster(
        provider="virtualbox",
        box="debian/bookworm64",
        box_seal="",
        memory_mb=512,
        subnet="192.168.56",
        driver="virtualbox",
        why="under VirtualBox",
        pace=1.0,
        entrances={"n1": entrance},
        peers={"n1": "192.168.56.11"},
    )
    file = tmp_path / "roster.json"
    assert read_roster(file) is None
    write_roster(file, roster)
    assert read_roster(file) == roster
    assert roster.made_like(replace(roster, entrances={}, peers={}))
    assert not roster.made_like(replace(roster, memory_mb=1024))
    file.write_text('{"provider": "libvirt"}')
    assert read_roster(file) is None


def test_machines_are_held_by_one_process(tmp_path: Path) -> None:
    with (
        held_alone(tmp_path),
        pytest.raises(SetupError, match=f"in use by the process {os.getpid()}"),
        held_alone(tmp_path),
    ):
        pass
    with held_alone(tmp_path):
        pass


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "client_key"
    made = own_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert own_key(file) == made
    file.write_text("no key")
    with pytest.raises(SetupError, match=r"cannot be used.*rm "):
        own_key(file)


def test_machines_that_never_were_are_neither_there_nor_removed(tmp_path: Path) -> None:
    fleet = Fleet(asked(tmp_path))
    assert fleet.states() == []
    assert fleet.roster() is None
    assert not fleet.destroy()


# the wall clock of a node

LAYER = st.builds(
    Skew,
    offset_ns=st.integers(-(10**15), 10**15),
    rate_ppb=st.integers(-900_000_000, 10**9),
    strobe_ns=st.just(0) | st.integers(10**6, 10**10),
)


@given(layers=st.lists(st.tuples(LAYER, st.integers(0, 10**12))), now_ns=st.integers(0, 10**13))
def test_a_node_bends_its_clock_as_the_controller_reckons(
    layers: list[tuple[Skew, int]], now_ns: int
) -> None:
    rows = [
        {
            "base_ns": base_ns,
            "offset_ns": skew.offset_ns,
            "rate_ppb": skew.rate_ppb,
            "strobe_ns": skew.strobe_ns,
        }
        for skew, base_ns in layers
    ]
    expected = bent_by_layers(now_ns, [BasedSkew(skew, base_ns) for skew, base_ns in layers])
    assert wall_clock.bent_ns(rows, now_ns) == expected


@given(st.integers(-wall_clock.KERNEL_RATE_PPB, wall_clock.KERNEL_RATE_PPB))
def test_the_kernel_is_given_ticks_and_frequencies_that_it_takes(rate_ppb: int) -> None:
    tick_us, frequency = wall_clock.kernel_rate(rate_ppb)
    assert 9_000 <= tick_us <= 11_000
    assert abs(frequency) <= 500 * 65_536
    reached_ppb = (tick_us - 10_000) * 100_000 + frequency * 1000 / 65_536
    assert abs(reached_ppb - rate_ppb) < 1


def test_only_clocks_that_the_kernel_cannot_bend_alone_have_a_program() -> None:
    plain = {"base_ns": 0, "offset_ns": S, "rate_ppb": 0, "strobe_ns": 0}
    assert not wall_clock.needs_bender([plain, {**plain, "rate_ppb": 100_000_000}])
    assert wall_clock.needs_bender([{**plain, "rate_ppb": -100_000_001}])
    assert wall_clock.needs_bender([plain, {**plain, "strobe_ns": 1000}])
