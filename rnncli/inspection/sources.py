"""The formula and the source of every finding, and where its numbers stand in the document."""

from typing import Any

SOURCES = {
    "aicher2019": "Aicher, Foti & Fox 2019",
    "bengio1994": "Bengio, Simard & Frasconi 1994",
    "engelken2023": "Engelken 2023",
    "hochreiter1991": "Hochreiter 1991",
    "kerg2019": "Kerg et al. 2019",
    "khandelwal2018": "Khandelwal et al. 2018",
    "mikhaeil2022": "Mikhaeil, Monfared & Durstewitz 2022",
    "orhan2020": "Orhan & Pitkow 2020",
    "pascanu2013": "Pascanu, Mikolov & Bengio 2013",
    "williams1990": "Williams & Peng 1990",
    "zucchet2024": "Zucchet & Orvieto 2024",
}
GAIN = "log |A^T v|/|v| = log of the first part + log of what the weights make of it"
# by finding: its formula, and whose it is where the finding itself names nobody
FORMULAS = {
    "V0": ("R(N) = median over losses of |dL_t/ds_{t-N}| / |dL_t/ds_t|", ("hochreiter1991",)),
    "V1": ("dL_t/ds_{t-N} is 0 in training unless one window holds both steps", ("williams1990",)),
    "V2": ("R(N) = median over losses of |dL_t/ds_{t-N}| / |dL_t/ds_t|", ("hochreiter1991",)),
    "V3": ("share(l) = <G_l, G> / |G|^2,  G = sum of G_l over all lags l", ("pascanu2013",)),
    "V4": ("bias(tau) = |G - sum of G_l over l < tau| / |G|", ("aicher2019",)),
    "V5": (GAIN, ("pascanu2013",)),
    "V6": (GAIN, ("pascanu2013",)),
    "V7": ("A_t A_{t-1} ... A_{k+1} grows with t - k", ("pascanu2013",)),
    "V8": ("max over l of R(l);  |A^l| can exceed 1 although rho(A) < 1", ("orhan2020",)),
    "V9": ("(sum s_i^2)^2 / sum s_i^4,  s_i singular values of the unit adjoints", ("engelken2023",)),
    "V10": ("G -> G c / |G| where |G| > c", ("pascanu2013",)),
    "V11": ("loss with the last n inputs only, less the loss with all of them", ("khandelwal2018",)),
    "V12": ("|change of a weight block in one update| / |block|", ("zucchet2024",)),
}
FEW = 4  # numbers of a group that are shown beside its path


def formula_of(finding: dict[str, Any]) -> str:
    """What is computed."""
    return FORMULAS[finding["id"]][0]


def sources_of(finding: dict[str, Any]) -> list[str]:
    """Authors and years."""
    return [SOURCES[ref] for ref in finding["refs"] or FORMULAS[finding["id"]][1]]


def resolve(document: dict[str, Any], path: str) -> Any:
    """What stands at a JSON pointer (RFC 6901, without escapes)."""
    value: Any = document
    for part in path.strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def number_at(document: dict[str, Any], path: str, lag: int) -> str:
    """`path = number`; of a list by lag the one at `lag`, of shares their sum; of larger groups the path alone."""
    try:
        value = resolve(document, path)
    except (KeyError, IndexError, TypeError):
        return f"{path}: not measured at this level"
    if isinstance(value, dict) and lag in value.get("lags", []):
        path, value, lag = f"{path}/value", value["value"], value["lags"].index(lag)
    if isinstance(value, list) and "/share/" in path:
        half = (lag + 1) // 2
        return f"{path}, lags {half} and more together = {_plain(float(sum(value[half:])))}"
    if isinstance(value, list) and lag < len(value):
        path, value = f"{path}/{lag}", value[lag]
    if isinstance(value, dict) and len(value) <= FEW:
        parts = [f"{k} {_plain(v)}" for k, v in value.items() if _is_plain(v)]
        return f"{path}: {', '.join(parts)}" if parts else path
    if value is None:
        return f"{path} = null (exactly 0, or not measured)"
    return f"{path} = {_plain(value)}" if _is_plain(value) else path


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
