"""What process trees take: processor time and memory, from /proc."""
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields of /proc/PID/stat after the name, or nothing when the process ended."""
    try:
        # The name stands in brackets and may hold anything.
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(roots):
    """The ids of these processes and everything under them."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def cpu_seconds(roots):
    """Processor time so far, user and system, of the trees; children that ended are in their parents' books."""
    return sum(sum(map(int, fields[11:15])) for pid in tree(roots) if (fields := stat(pid))) / TICKS


def memory(roots):
    """Resident and proportional set size of the trees, in MiB; shared pages count once in the proportional one."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in tree(roots):
        try:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in sums:
                    sums[name] += int(rest.split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return {"rss_mib": round(sums["Rss"] / 1024, 1), "pss_mib": round(sums["Pss"] / 1024, 1)}
