"""Which ports a process and everything that came from it listen on, as the system tells it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.processes import process_tree

_LISTEN = "0A"


def listening_ports(process_id: int) -> list[int]:
    """Every TCP port on which the tree listens, on whichever address."""
    inodes = set()
    for process in process_tree(process_id):
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            try:
                inodes.add(str(descriptor.readlink()))
            except OSError:
                continue
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(ports)
