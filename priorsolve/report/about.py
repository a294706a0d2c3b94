"""What the report says of the whole run, as HTML."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from priorsolve.files import legible
from priorsolve.priors import ZOO
from priorsolve.recipe.overrides import operator_names
from priorsolve.report.groups import by_recipe
from priorsolve.report.recipe import fields_of
from priorsolve.report.words import duration, metric_names, value
from priorsolve.run.records import Record


def heading(recipe: str) -> str:
    """What the run was for: the recipe's task, or what its operators did to the photos."""
    read = fields_of(recipe)
    return legible(str(read.get("task") or " then ".join(operator_names(read)) or "a restoration run"))


def medians(records: Sequence[Record]) -> dict[str, float]:
    """The median of each metric, over the photos that have it."""
    return {name: statistics.median(_numbers(records, name) or [math.nan]) for name in metric_names(records)}


def licence(recipe: str) -> str:
    """The prior's name, and what binds its pictures, in a line."""
    name = _prior(recipe)
    return f"prior {name}, {_bound(name)}" if name else ""


def stats(records: Sequence[Record]) -> str:
    """The few numbers at the top; of several recipes' photos there is no median."""
    count = Counter(record.status for record in records)
    shown = {"restored": f"{count['done']:,}"}
    if count["failed"]:
        shown["failed"] = f'<button type="button" id="show-failed" title="Show them">{count["failed"]:,}</button>'
    if len(by_recipe(records)) == 1:
        shown |= {f"median {name}": value(name, number) for name, number in medians(records).items()}
    shown["solving"] = duration(sum(record.seconds for record in records))
    return "".join(f"<div><dt>{_safe(label)}</dt><dd>{number}</dd></div>" for label, number in shown.items())


def mixed(records: Sequence[Record]) -> str:
    """A note on a folder that holds the records of several recipes, with the counts and medians of each; empty on that of one."""
    groups = by_recipe(records)
    if len(groups) == 1:
        return ""
    told = []
    for recipe, group in groups.items():
        count = Counter(record.status for record in group)
        said = [f"{count['done']:,} restored", *([f"{count['failed']:,} failed"] if count["failed"] else [])]
        said += [f"median {name} {value(name, number)}" for name, number in medians(group).items()]
        told.append(f"<li>{_safe(_named(recipe, group))}: {_safe(', '.join(said))}</li>")
    lead = f"This folder holds the records of {len(groups)} recipes. The recipe told of here is that of the last run."
    return f'<div class="mixed"><p>{lead}</p><ul>{"".join(told)}</ul></div>'


def about(records: Sequence[Record], recipe: str) -> str:
    """Prior and licence, what took how long, versions, and the recipe itself."""
    seconds = [record.seconds for record in records if record.seconds]
    name = _prior(recipe)
    rows = {"prior": f"{name}, {_bound(name)}. {ZOO[name].note if name in ZOO else ''}"} if name else {}
    if seconds:
        rows["time"] = f"{duration(sum(seconds))} for all photos, {statistics.median(seconds):.3g} s for the median one"
    groups = by_recipe(records)
    for own, group in groups.items():
        for name in metric_names(group):
            numbers = _numbers(group, name) or [math.nan]
            rows[name if len(groups) == 1 else f"{name}, {_named(own, group)}"] = " · ".join(
                f"{word} {value(name, number)}"
                for word, number in (("median", statistics.median(numbers)), ("lowest", min(numbers)), ("highest", max(numbers)))
            )
    versions = Counter(" · ".join(f"{name} {number}" for name, number in record.versions.items()) for record in records)
    rows["versions"] = "; ".join(text for text in sorted(versions) if text)
    rows["recipes"] = ", ".join(sorted({record.fingerprint for record in records})[:3])
    listed = "".join(f"<div><dt>{_safe(key)}</dt><dd>{_safe(text)}</dd></div>" for key, text in rows.items() if text)
    told = f'<pre tabindex="0" role="region" aria-label="Recipe">{_safe(recipe.rstrip())}</pre>' if recipe else ""
    return f'<dl class="facts">{listed}</dl>{told}'


def _named(recipe: str, group: Sequence[Record]) -> str:
    """The recipe in words: its task, and what tells it from others of that task."""
    return f"{group[0].task or 'a recipe'} ({recipe or 'an older run'})"


def _prior(recipe: str) -> str:
    given = fields_of(recipe).get("prior") or ""
    return str(next(iter(given), "") if isinstance(given, Mapping) else given)


def _bound(prior: str) -> str:
    return f"licence: {ZOO[prior].licence}" if prior in ZOO else "a prior of your own, under the licence that it came with"


def _numbers(records: Sequence[Record], name: str) -> list[float]:
    found = (record.metrics.get(name) for record in records)
    return [number for number in found if number is not None and not math.isnan(number)]


def _safe(text: str) -> str:
    return escape(legible(text))
