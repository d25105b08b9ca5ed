"""P9: sentences whose words are shaded by their influence on one loss. HTML, not a picture: words flow and can be searched."""

from html import escape
from typing import Any

from rnncli.reports.drawing import Json, plain

LEVELS = 8  # shades; the style sheet and the script of the page use the same number
DECADES = 4.0  # from the darkest shade to none

STYLE = """
.words { line-height: 2.1; font-size: 15px; }
.words span { padding: 2px 3px; margin: 0 1px; border-radius: 2px; white-space: pre-wrap; }
.words span.loss { outline: 2px dashed #000; }
.steps button { font: inherit; margin: 2px; padding: 1px 6px; border: 1px solid #777; background: #fff; cursor: pointer; }
.steps button[aria-pressed=true] { background: #000; color: #fff; }
""" + "".join(
    f".s{i} {{ background: hsl(0 0% {100 - 9 * i}%); color: {'#fff' if i > 4 else '#000'}; }}\n"
    for i in range(LEVELS + 1)
)

# Shades one sentence anew for the loss step that was clicked; `shade` and `hover` below do the same for the first view.
SCRIPT = """
const report = JSON.parse(document.getElementById('report').textContent);
for (const box of document.querySelectorAll('[data-sentence]')) {
  const sentence = report.influence[box.dataset.sentence];
  const words = box.querySelectorAll('.words span');
  const buttons = box.querySelectorAll('.steps button');
  for (const button of buttons) button.addEventListener('click', () => {
    const row = sentence.norm_log10[button.dataset.row];
    const largest = Math.max(...row.filter(value => value != null));
    words.forEach((word, k) => {
      const value = row[k] ?? null;
      const level = value === null ? 0 : Math.max(0, Math.round(LEVELS * (1 + (value - largest) / DECADES)));
      word.className = 's' + level + (k === sentence.loss_steps[button.dataset.row] ? ' loss' : '');
      word.title = 'step ' + k + ': ' + (value === null ? 'none' : '10^' + value.toFixed(2));
    });
    buttons.forEach(other => other.setAttribute('aria-pressed', String(other === button)));
  });
}
""".replace("LEVELS", str(LEVELS)).replace("DECADES", str(DECADES))


def sentences(report: Json) -> str:
    """One block per sentence, empty where no influence was measured."""
    return "".join(_sentence(i, one) for i, one in enumerate(report.get("influence") or []) if _usable(one))


def _usable(one: Json) -> bool:
    rows = one.get("norm_log10") or []
    return bool(one.get("tokens")) and any(value is not None for row in rows for value in row)


def _sentence(number: int, one: Json) -> str:
    rows, steps = one["norm_log10"], one["loss_steps"]
    # The loss that sees most words comes first: the loss at step 0 of a language model sees only one.
    first = max(range(len(rows)), key=lambda i: sum(value is not None for value in rows[i]))
    row = rows[first] + [None] * (len(one["tokens"]) - len(rows[first]))
    largest = max((value for value in row if value is not None), default=0.0)
    words = []
    for k, (token, value) in enumerate(zip(one["tokens"], row, strict=False)):
        name = f"s{shade(value, largest)}" + (" loss" if k == steps[first] else "")
        words.append(f'<span class="{name}" title="{escape(hover(k, value))}">{escape(plain(token))}</span>')
    target = f"<p>target: <b>{escape(plain(one['target']))}</b></p>" if one.get("target") is not None else ""
    return (
        f'<div data-sentence="{number}">{target}{_buttons(one["tokens"], steps, first)}'
        f'<p class="words">{" ".join(words)}</p></div>\n'
    )


def _buttons(tokens: list[Any], steps: list[int], first: int) -> str:
    """One button per loss step; none where there is nothing to choose."""
    if len(steps) < 2:
        return ""
    buttons = []
    for i, step in enumerate(steps):
        word = f" {plain(tokens[step], 12)}" if 0 <= step < len(tokens) else ""
        pressed = "true" if i == first else "false"
        buttons.append(f'<button type="button" data-row="{i}" aria-pressed="{pressed}">{step}{escape(word)}</button>')
    return f'<p class="steps">loss at step: {"".join(buttons)}</p>'


def shade(value: float | None, largest: float) -> int:
    """0 (none, or DECADES below the largest) to LEVELS."""
    return 0 if value is None else max(0, int(LEVELS * (1 + (value - largest) / DECADES) + 0.5))


def hover(step: int, value: float | None) -> str:
    """What stands beside the pointer."""
    return f"step {step}: " + ("none" if value is None else f"10^{value:.2f}")
