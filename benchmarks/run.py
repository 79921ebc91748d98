"""Measure deluge against its peers, all against the same local server, in one command.

    python benchmarks/run.py                                     every scenario (about an hour)
    python benchmarks/run.py --quick                             every scenario, small (about ten minutes)
    python benchmarks/run.py cpu latency50 --rounds 5 --contenders ours,lm_deluge_async
    python benchmarks/run.py --json out.json > table.md

The tables are Markdown on stdout; progress is on stderr. See README.md for what each figure means.
"""
import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path

import harness

SCENARIOS = ("cpu", "latency1s", "lockstep", "tls", "latency50", "rolling", "million", "memory", "imports", "faults",
             "ctrl_c", "coldstart", "journal", "reopen", "kills", "quota", "reload", "cache", "estimate", "sliced", "burst",
             "reserved", "changed", "headers")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help=" ".join(SCENARIOS))
    known = sorted(path.stem for path in harness.CONTENDERS.glob("*.py") if path.stem != "stand")
    parser.add_argument("--contenders", help="comma-separated: " + " ".join(known))
    parser.add_argument("--rounds", type=int, help="rounds instead of the scenario's own number")
    parser.add_argument("--parts", help="comma-separated, of a scenario that has parts (quota: share kills speed)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a look, not a measurement")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    options.contenders = options.contenders.split(",") if options.contenders else None
    options.parts = options.parts.split(",") if options.parts else None
    if unknown := set(options.contenders or ()) - set(known):
        parser.error(f"unknown contenders: {', '.join(sorted(unknown))} (known: {', '.join(known)})")
    return options


def versions(reports: "dict[str, harness.Report]") -> str:
    """The versions of all that ran."""
    seen: "dict[str, str]" = {}
    for report in reports.values():
        for results in (report.raw or {}).values():
            for result in results if isinstance(results, list) else ():
                seen.update(result.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in sorted(seen.items()))


def main() -> int:
    """Run the scenarios; 1 when one of them could not be run, or a figure was not met."""
    options, reports, broken = parse(), {}, []
    bench = harness.Bench(options.contenders, options.rounds, options.quick, options.parts)
    where = harness.machine()
    print(f"Measured {where}{' (quick sizes)' if options.quick else ''}.\n", flush=True)
    for name in options.scenario or SCENARIOS:
        print(name, file=sys.stderr, flush=True)
        try:
            reports[name] = importlib.import_module(f"scenarios.{name}").run(bench)
        except harness.Failed as failure:
            broken.append(name)
            print(f"### {name}\n\nnot measured: {failure}\n", flush=True)
            continue
        print(reports[name], flush=True)
    print(f"Versions: {versions(reports)}.")
    if options.json:
        options.json.write_text(json.dumps({"where": where, "quick": options.quick, "broken": broken, "reports": {
            name: dataclasses.asdict(report) for name, report in reports.items()}}, indent=1), encoding="utf-8")
    return int(bool(broken) or any(figure.met is False for report in reports.values() for figure in report.figures))


if __name__ == "__main__":
    sys.exit(main())
