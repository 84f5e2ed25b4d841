"""What the failover benchmark found, as tables: ours against the bounds, the others beside it."""
import collections
import math
import statistics

from failover_events import EVENTS, Event

OURS = "ours"
HEAD = (f"  {'':18}{'runs':>5}{'median':>9}{'p90':>8}{'p99':>8}{'max':>8}{'x bound':>14}{'x ours':>8}{'all':>8}{'standing':>10}"
        f"{'again':>8}{'(max)':>8}{'lost':>6}{'back':>6}  errors a run")
LEGEND = """seconds without an acknowledged commit for the client that waited longest, of 3 that keep their connection and 1 that connects for
each commit; percentiles by nearest rank. x bound: median and p99 as parts of their bounds. x ours: median as a multiple of ours.
all: median time in which no client at all got one. standing: median of the client with a standing connection that waited longest.
again: until both replicas stream and count for the quorum, from the event, or from the moment the lost part was started again.
lost: acknowledged commits that the primary does not have at the end. back: commits acknowledged by a former primary after
another one had begun. errors: median and most of those that clients got, by SQLSTATE or by what they saw instead of one."""


def rank(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def summary(results: list[dict]) -> dict:
    gaps = [r["gap_s"] for r in results]
    kinds: collections.Counter = collections.Counter()
    for result in results:
        kinds.update(result["errors_by_kind"])
    again = [r["streams_s"] for r in results if "streams_s" in r]
    return {
        "runs": len(results), "median": statistics.median(gaps), "p90": rank(gaps, 0.9), "p99": rank(gaps, 0.99), "max": max(gaps),
        "all": statistics.median(r["gap_all_s"] for r in results),
        "standing": statistics.median(r["gap_standing_s"] for r in results),
        "again": statistics.median(again) if again else None, "again_max": max(again, default=None),
        "lost": sum(r.get("lost", 0) for r in results), "back": sum(r["turned_back"] for r in results),
        "errors": statistics.median(r["errors"] for r in results), "errors_max": max(r["errors"] for r in results),
        "kinds": dict(kinds), "unnoticed": sum(not r.get("noticed") for r in results),
        "astray": sum("streams_s" not in r for r in results), "wrong": sum(bool(r["wrong"]) for r in results)}


def missed(event: Event, found: dict) -> list[str]:
    """Which bounds of ours do not hold."""
    out = []
    if event.median is not None and found["median"] > event.median:
        out.append(f"median {found['median']:.2f} > {event.median:g} s")
    if event.p99 is not None and found["p99"] > event.p99:
        out.append(f"p99 {found['p99']:.2f} > {event.p99:g} s")
    if event.errors is not None and found["errors_max"] > event.errors:
        out.append(f"{found['errors_max']} client errors > {event.errors}")
    for key, text in (("lost", "acknowledged commits lost"), ("back", "commits by a former primary"), ("unnoticed", "times not noticed"),
                      ("astray", "times not all streaming again"), ("wrong", "times something was wrong, see above")):
        if found[key]:
            out.append(f"{found[key]} {text}")
    return out


def _bounds(event: Event) -> str:
    said = [f"{name} {value:g} s" for name, value in (("median", event.median), ("p99", event.p99)) if value is not None]
    return ", ".join(said + ([f"{event.errors} errors"] if event.errors is not None else []))


def _row(title: str, event: Event, found: dict, ours: dict | None) -> str:
    parts = "/".join("-" if bound is None else f"{found[key] / bound:.2f}" for key, bound in (("median", event.median), ("p99", event.p99)))
    ratio = f"{found['median'] / ours['median']:.1f}" if ours else "-"
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found["kinds"].items()))
    notes = [f"{found[key]} of {found['runs']} {text}" for key, text in (("unnoticed", "not noticed"), ("astray", "not all streaming again"))
             if found[key]]
    again = "".join(f"{'-' if found[key] is None else format(found[key], '.1f'):>8}" for key in ("again", "again_max"))
    return (f"  {title:18}{found['runs']:5}{found['median']:9.3f}{found['p90']:8.3f}{found['p99']:8.3f}{found['max']:8.3f}{parts:>14}"
            f"{ratio:>8}{found['all']:8.3f}{found['standing']:10.3f}{again}{found['lost']:6}"
            f"{found['back']:6}  {found['errors']:g}, at most {found['errors_max']}" + (f" ({kinds})" if kinds else "") +
            (f"; {', '.join(notes)}" if notes else ""))


def tables(results: dict, titles: dict[str, str]) -> tuple[str, list[str]]:
    """`results`: by event and system. The text, and the bounds that were missed."""
    lines, wrong = [LEGEND, ""], []
    for name, event in EVENTS.items():
        found = {system: summary(done) for system, done in results.get(name, {}).items() if done}
        if not found:
            continue
        lines += [f"{event.title} [{_bounds(event)}]" + (f"\n  {event.note}" if event.note else ""), HEAD]
        ours = found.get(OURS)
        lines += [_row(titles[system], event, values, ours if system != OURS else None) for system, values in found.items()]
        if ours:
            broken = missed(event, ours)
            wrong += [f"{event.title}: {text}" for text in broken]
            lines.append(f"  {'MISSED: ' + '; '.join(broken) if broken else 'ok: every bound holds'}")
        lines.append("")
    return "\n".join(lines), wrong
