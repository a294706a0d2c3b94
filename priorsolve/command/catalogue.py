"""What there is to use, a line each."""

from __future__ import annotations

from priorsolve.metrics import METRICS
from priorsolve.priors import ZOO
from priorsolve.priors.plugins import plugins
from priorsolve.recipe.components import arguments
from priorsolve.recipe.registry import Kind, component, did_you_mean, names
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.recipe.yamlfile import parse

KINDS: tuple[Kind, ...] = ("operators", "noises", "solvers", "losses")
LISTS = ("recipes", *KINDS, "priors", "metrics")


def catalogue(what: str) -> dict[str, str]:
    """Name -> one line, for one of `LISTS`. Raises ValueError for anything else."""
    for kind in KINDS:
        if what == kind:
            return {name: _signature(kind, name) for name in names(kind)}
    if what == "recipes":
        return {name: str(parse(path.read_text(encoding="utf-8")).get("task", "")) for name, path in builtin_recipes().items()}
    if what == "priors":
        known = {e.name: f"{'×'.join(map(str, e.image_shape))}, {e.licence}. {e.provenance} {e.note}" for e in ZOO.values()}
        return known | {name: f"from a plugin ({point.value})" for name, point in plugins().items()}
    if what == "metrics":
        return {m.name: f"{'higher' if m.higher_is_better else 'lower'} is better, range {m.range}" for m in METRICS.values()}
    raise ValueError(f"there is no list of {what!r}; {did_you_mean(what, LISTS)}")


def _signature(kind: Kind, name: str) -> str:
    try:
        factory, fields = component(kind, name), arguments(kind, name).model_fields
    except ValueError as error:  # a plugin that does not load hides no other
        return str(error)
    given = ", ".join(key if field.is_required() else f"{key}={field.default!r}" for key, field in fields.items())
    summary = next(iter((factory.__doc__ or "").strip().splitlines()), "")  # its own: no word of what it derives from
    signature = summary.startswith(f"{getattr(factory, '__name__', name)}(")  # which a dataclass without a docstring has in its place
    return f"({given})  {'' if signature else summary}".rstrip()
