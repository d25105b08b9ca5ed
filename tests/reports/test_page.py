"""The report: every figure whose numbers are there, none for absent ones, the same bytes again, and hostile words."""

import copy
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from rnncli.reports.figures import DRAW, figure_files, figures
from rnncli.reports.lag_figures import lag_bins
from rnncli.reports.page import CAPTIONS, page
from rnncli.reports.tables import chosen_lags, power

HOSTILE = [
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "<!--",
    "$x_{1}$",
    "a\x00b\x1b",
    "日本",
    "&amp;",
    "\ud800",
    "_",
    "",
]


def make_layer(number, direction="forward", steps=60, units=24, seed=0):
    """One made-up layer with every number of a deep report."""
    rng = np.random.default_rng(seed + number)
    lags = np.arange(steps + 1)
    decay = 0.06 + 0.05 * number
    ratio = -decay * lags + 0.1 * np.sin(lags / 3)
    matrix = rng.normal(size=(units, units)) / np.sqrt(units) * (1 - 0.1 * number)
    values = np.linalg.eigvals(matrix)
    powers = [np.log10(np.linalg.norm(np.linalg.matrix_power(matrix, int(k)), 2)) for k in range(0, 31, 2)]
    axis = np.linspace(-1.6, 1.6, 25)
    resolvents = [[(x + 1j * y) * np.eye(units) - matrix for x in axis] for y in axis]
    smallest = np.log10(np.linalg.svd(np.array(resolvents), compute_uv=False)[..., -1]).tolist()
    pattern = np.sort(rng.random(units))[:, None] * rng.random((1, 40)) ** 0.3
    pattern[:2] = 0.0
    share = np.exp(-lags / (3 + 2 * number)) * (1 - 0.3 * (lags % 3 == 2) * 4)
    spectrum = -decay * 2.3 - 0.02 * np.arange(units) ** 1.2
    cuts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    return {
        "layer": number,
        "direction": direction,
        "weights": [
            {
                "block": "W_hh", "rho": float(np.abs(values).max()), "rho_reliable": number == 0, "sigma_max": 1.7,
                "sigma_min": 1e-3, "condition_log10": 3.2, "rms_gain": 0.9, "henrici": 0.5, "numerical_abscissa": 1.2,
                "eigenvalues": np.stack([values.real, values.imag], 1).tolist(),
                "transient": {"lags": list(range(0, 31, 2)), "norm_log10": powers, "peak_log10": max(powers), "peak_lag": 2},
                "pseudospectrum": {"re": axis.tolist(), "im": axis.tolist(), "sigma_min_log10": smallest},
            }
        ],
        "gain_nats_per_step": {"total": -0.14, "squash": -0.2, "weights": 0.06, "ci95": [-0.16, -0.12]},
        "saturation": {
            "steps": 40, "mean_derivative": 0.6, "frac_abs_gt_0_9": 0.12, "frac_abs_gt_0_99": 0.01, "dead_f32_units": 2,
            "image": {"steps": list(range(40)), "units": list(range(units)), "derivative": pattern.tolist()},
            "histogram": {"edges": np.linspace(-4, 4, 33).tolist(), "count": rng.integers(1, 90, 32).tolist()},
        },
        "gates": {
            "forget": {
                "mean": 0.9, "frac_lt_0_1": 0.0, "frac_gt_0_9": 0.4, "timescale_steps": {"p10": 2.0, "p50": 9.0, "p90": 40.0},
                "timescales": [None, *np.exp(rng.normal(2, 0.8, units - 1)).tolist()],
            },
            "input": {"mean": 0.5, "timescales": np.exp(rng.normal(1, 0.5, units)).tolist()},
        },
        "lag": {
            "lags": lags.tolist(), "count": (200 - lags).tolist(),
            "ratio_log10": {"p25": (ratio - 0.02 * lags).tolist(), "p50": ratio.tolist(), "p75": (ratio + 0.02 * lags).tolist()},
            "product_bound_log10": (0.2 * lags).tolist(), "rho_log10": (-0.02 * lags).tolist(),
            "share": {"W_hh": (share / share.sum()).tolist(), "W_ih": share.tolist(), "b": np.exp(-lags).tolist()},
            "share_by_gate": {"input": (0.6 * share).tolist(), "forget": (0.4 * share).tolist()},
            "noise": {
                "lags": lags[::5].tolist(), "signal_log10": (-2 - 0.12 * lags[::5]).tolist(),
                "noise_log10": (-3 - 0.05 * lags[::5]).tolist(), "scale_sequences_log10": (-1 + 0.07 * lags[::5]).tolist(),
            },
        },
        "truncation": {
            "steps": cuts,
            "bias": {"W_hh": [float(np.exp(-c / 12)) for c in cuts], "W_ih": [float(np.exp(-c / 5)) for c in cuts]},
        },
        "lyapunov": {
            "unit": "nats/step", "values": spectrum.tolist(), "ci95": [[v - 0.05, v + 0.05] for v in spectrum], "k": units,
            "state_size": units, "driven": True,
            "convergence": {"steps": [10, 50, 100, 500, 1000], "first": [-0.4, -0.2, -0.16, -0.14, -0.14]},
        },
        "horizons_steps": {"half": 5.0 - number, "one_percent": 33, "float32": None},
    }  # fmt: skip


def make_full():
    """A deep report on two layers: all keys that a figure or a table reads."""
    tokens = [f"word{k}" for k in range(24)]
    matrix = [[-0.9 * (t - k) if k <= t else None for k in range(24)] for t in range(24)]
    matrix[7][5] = 0.8
    influence = [[-0.3 * (t - k) + 0.2 * (k % 4) if k <= t else None for k in range(24)] for t in (3, 23)]
    finding = {
        "id": "V2", "label": "vanishing", "severity": 2, "confidence": "measured", "text": "too little is left at lag 52",
        "evidence": ["/layers/0/lag/ratio_log10/p50/52", "/layers/0/weights/0/rho"], "refs": ["pascanu2013"],
    }  # fmt: skip
    advice = {
        "id": "A1", "text": "Use an LSTM.", "change": {"model.cell": "lstm"},
        "expects": {"metric": "half_life_steps", "from": 5.0, "to": 40.0},
    }  # fmt: skip
    lengths = {"edges": [1, 10, 20, 40, 61], "count": [5, 30, 20, 9]}
    return {
        "schema_version": 1,
        "input": {"model": "runs/a/model.safetensors", "file": "reviews.tsv", "level": "deep", "seed": 1, "sequences": 64},
        "architecture": {"cell": "rnn", "layers": 2, "hidden": 24, "bptt_steps": 35},
        "verdict": {
            "label": "vanishing", "severity": 2, "need_lag_steps": 52, "need_source": "length p90",
            "ratio_at_need_log10": -3.4, "ratio_at_need_log10_ci95": [-3.6, -3.2],
            "half_life_steps": {"value": 5.0, "ci95": [4.5, 5.6]}, "findings": [finding], "advice": [advice],
        },
        "layers": [make_layer(0), make_layer(1)],
        "total_adjoint": {"steps_from_end": list(range(24)), "norm_log10": [-0.1 * k for k in range(24)]},
        "lag_matrix": {
            "layer": 1, "direction": "forward", "tokens": tokens, "loss_steps": list(range(24)),
            "source_steps": list(range(24)), "ratio_log10": matrix, "total_log10": [-0.1 * (23 - k) for k in range(24)],
        },
        "influence": [{"tokens": tokens, "target": "positive", "loss_steps": [3, 23], "norm_log10": influence}],
        "norms": {
            "steps": 200, "global": {"p50": 1.0, "p99": 4.0, "max": 9.5, "max_over_median": 9.5, "nonfinite": 0},
            "per_block": {"W_hh": {"p50": 0.5, "p99": 3.0, "max": 7.0}},
            "clip": {"value": 1.0, "fraction": 0.5, "suggested": 1.2},
        },
        "update_ratio": {"W_hh": 1e-3, "b": 2e-3},
        "data": {"length": {"p50": 20, "p90": 52, "max": 60, "histogram": lengths}},
        "context_use": {"n": [1, 2, 4, 8], "delta_loss": [0.4, 0.2, 0.05, 0.0], "unit": "nats"},
        "trajectory": [
            {"step": 100 * i, "ratio_at_need_log10": -4 + 0.3 * i, "lambda_1": -0.3 + 0.02 * i, "norm_p50": 1.0,
             "norm_p99": 3.0 + i, "clip_fraction": 0.5 / (i + 1), "gain": -0.2 + 0.01 * i, "loss": 0.7 - 0.04 * i,
             "accuracy": 0.5 + 0.03 * i}
            for i in range(8)
        ],
        "what_if": [{"name": "lstm, forget bias 1", "ratio_at_need_log10": -0.8, "half_life_steps": 40.0, "seconds": 2.0}],
        "prove": {
            "arms": [{"name": "as it is", "losses": [0.61, 0.6, 0.66, 0.63, 0.62]},
                     {"name": "lstm", "losses": [0.41, 0.45, 0.5, 0.43, 0.44]}],
            "results": [{"arm": "lstm", "baseline": "as it is", "mean": -0.18, "ci95": [-0.21, -0.15], "label": "PROVED"}],
            "planted": {
                "classes": 4, "budget_updates": 300, "accuracy": 0.9, "lags": [13, 52], "order_held": True, "arms": [
                    {"name": "as it is", "learned_reach_steps": None, "lags": [
                        {"lag": 13, "learned": 2, "seeds": 5, "median_updates": None},
                        {"lag": 52, "learned": 0, "seeds": 5, "median_updates": None}]},
                    {"name": "lstm", "learned_reach_steps": 52, "lags": [
                        {"lag": 13, "learned": 5, "seeds": 5, "median_updates": 44.0},
                        {"lag": 52, "learned": 4, "seeds": 5, "median_updates": 120.0}]}],
            },
        },
        "self_checks": {"share_sum_error": 1e-15, "complex_step": "ok"},
    }  # fmt: skip


def make_quick():
    """What the quick level measures, with nulls and empty lists among it."""
    lag = {"lags": [0, 1, 2], "ratio_log10": {"p25": None, "p50": [0.0, -412.0, None], "p75": None}, "share": None}
    return {
        "schema_version": 1,
        "verdict": {"label": "not-measurable", "severity": None, "need_lag_steps": None, "findings": []},
        "layers": [
            {"layer": 0, "direction": "forward", "lag": lag, "weights": [], "gates": None, "saturation": {"steps": 3}}
        ],
        "lag_matrix": None,
        "influence": [],
    }


def make_hostile():
    """Words of a corpus and of a user that would break a careless page."""
    report = make_full()
    size = len(HOSTILE)
    report["layers"] = report["layers"][:1]
    report["verdict"]["label"] = HOSTILE[0]
    report["verdict"]["findings"][0].update(text=HOSTILE[1], evidence=[HOSTILE[0], "/input/model"], refs=HOSTILE)
    report["verdict"]["advice"][0].update(text=HOSTILE[0], change={HOSTILE[1]: HOSTILE[2]})
    report["input"]["model"] = HOSTILE[0]
    report["prove"]["arms"][0]["name"] = report["prove"]["planted"]["arms"][0]["name"] = HOSTILE[3]
    row = [-float(size - k) for k in range(size)]
    report["lag_matrix"] = {
        "tokens": HOSTILE,
        "loss_steps": [size - 1],
        "source_steps": [*range(size)],
        "ratio_log10": [row],
    }
    rows = [[0.0, -1.0], [-1.0] * size]
    report["influence"] = [{"tokens": HOSTILE, "target": HOSTILE[0], "loss_steps": [2, size - 1], "norm_log10": rows}]
    return report


class Reader(HTMLParser):
    """Collects what a browser would see: tags with attributes, ids, and the text of the JSON block."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.json, self.inside = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script" and dict(attrs).get("id") == "report"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.json += data

    @property
    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if attrs.get("id")]


@pytest.fixture(scope="module")
def full():
    return make_full()


@pytest.fixture(scope="module")
def full_page(full):
    return page(full, "Gradients of a")


def test_every_figure_is_drawn(full, full_page):
    assert list(figures(full)) == list(DRAW)
    assert [name for name in CAPTIONS if f'<figure id="{name}">' in full_page] == list(CAPTIONS)


def test_the_planted_dependency_is_a_table(full_page):
    assert '<h3 id="planted">' in full_page
    assert "<td>lstm</td><td>5 of 5 (44)</td><td>4 of 5 (120)</td><td>52</td>" in full_page
    assert "<td>as it is</td><td>2 of 5</td><td>0 of 5</td><td>–</td>" in full_page
    assert "The predicted order held." in full_page


def test_nothing_is_drawn_of_absent_numbers():
    quick = make_quick()
    assert list(figures(quick)) == ["p1_lag_curve"]
    assert figures({}) == {}
    text = page({})
    assert "<figure" not in text
    assert json.loads(Reader(text).json) == {}


@pytest.mark.parametrize(
    "missing", ["layers", "verdict", "lag_matrix", "influence", "norms", "data", "trajectory", "prove"]
)
def test_any_part_may_be_absent(missing):
    report = make_full()
    report["layers"] = report["layers"][:1]
    report[missing] = None
    assert json.loads(Reader(page(report)).json) == report


LAYER_KEYS = [key for key in make_layer(0, units=4) if key not in ("layer", "direction")]


@pytest.mark.parametrize("missing", LAYER_KEYS)
def test_any_part_of_a_layer_may_be_absent(missing):
    layer = {key: value for key, value in make_layer(0, units=4).items() if key in (missing, "layer", "direction")}
    assert figures({"layers": [layer]}) or missing in ("gain_nats_per_step", "horizons_steps")
    layer = make_layer(0, units=4) | {missing: None}
    assert figures({"layers": [layer]})


def test_svg_is_well_formed_and_the_same_again(full):
    first, second = figure_files(full), figure_files(copy.deepcopy(full))
    assert first == second
    for name, svg in first.items():
        assert ElementTree.fromstring(svg).tag.endswith("svg"), name
        assert b"<dc:date" not in svg


def test_png_is_the_same_again(full):
    small = {"layers": full["layers"][:1]}
    first = figure_files(small, "png")
    assert first == figure_files(small, "png")
    assert all(data.startswith(b"\x89PNG") for data in first.values())
    with pytest.raises(ValueError, match="svg or png"):
        figure_files(small, "gif")


def test_page_is_the_same_again(full, full_page):
    assert page(full, "Gradients of a") == full_page


@pytest.mark.parametrize("make", [make_full, make_quick, make_hostile])
def test_page_fetches_nothing_and_its_json_is_the_document(make):
    report = make()
    text = page(report, HOSTILE[0])
    read = Reader(text)
    assert json.loads(read.json) == report
    for tag, attrs in read.tags:
        for key in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert attrs.get(key, "#").startswith(("#", "data:image/png")), (tag, key)
        assert not any(key.startswith("on") for key in attrs)
    assert not re.search(r"@import|url\((?!['\"]?#)", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    scripts = [attrs for tag, attrs in read.tags if tag == "script"]
    assert len(scripts) == 1 + bool(report["influence"])
    assert "img" not in {tag for tag, _ in read.tags}
    assert len(read.ids) == len(set(read.ids))
    targets = {attrs["href"][1:] for tag, attrs in read.tags if tag == "a"}
    assert targets <= set(read.ids)
    text.encode("utf-8")


def test_hostile_words_stay_well_formed_svg():
    for name, svg in figure_files(make_hostile()).items():
        assert ElementTree.fromstring(svg) is not None, name


def test_findings_lead_to_their_figure_and_number(full, full_page):
    assert '<a href="#p1_lag_curve">figure</a>' in full_page
    assert '<a href="#p6_eigenvalues">figure</a>' in full_page
    assert f"{full['layers'][0]['weights'][0]['rho']:.4g}" in full_page
    assert "model.cell = lstm" in full_page
    assert full_page.index("Verdict: VANISHING") < full_page.index('id="advice"') < full_page.index('id="figures"')


def test_lags_bins_and_powers():
    assert lag_bins(20) == [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32)]
    assert lag_bins(1) == [(0, 0), (1, 1)]
    assert chosen_lags(list(range(61)), 52) == [0, 1, 2, 5, 10, 20, 50, 52, 60]
    assert [power(v) for v in (None, -412.0, 0.0, -2.0)] == ["–", "1.0e-412", "1", "0.01"]


def test_words_without_script_show_the_loss_that_sees_most(full_page):
    words = re.search(r'<p class="words">(.*?)</p>', full_page).group(1)
    assert words.count("<span") == 24
    assert 'class="s0"' in words
    assert 'data-row="1" aria-pressed="true"' in full_page


CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def _dump(path, tmp_path):
    """The document after its scripts ran, and what the browser logged."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", path.as_uri()]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or sys.platform == "win32", reason="needs Chromium")
@pytest.mark.parametrize("make", [make_full, make_hostile])
def test_in_a_browser_a_click_shows_another_loss(make, tmp_path):
    text = page(make())
    clicked = text.replace(
        "</body>", "<script>document.querySelector('[data-row=\"0\"]').click();document.title='clicked'</script></body>"
    )
    path = tmp_path / "page.html"
    path.write_text(clicked, encoding="utf-8")
    done = _dump(path, tmp_path)
    assert "CONSOLE" not in done.stderr
    assert "<title>clicked</title>" in done.stdout
    before = re.search(r'<p class="words">(.*?)</p>', text, re.DOTALL).group(1)
    after = re.search(r'<p class="words">(.*?)</p>', done.stdout, re.DOTALL).group(1)
    assert 'data-row="0" aria-pressed="true"' in done.stdout
    assert before.count("none") < after.count("none")
