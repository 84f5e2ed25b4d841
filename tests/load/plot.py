"""Samples over time: a CSV file, an SVG picture, and how much a column grows."""
import csv
import pathlib

WIDTH, HEIGHT, LEFT, TOP = 900, 150, 70, 30
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"]


def write_csv(path: pathlib.Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def growth(rows: list[dict], column: str, x: str = "seconds") -> float:
    """By how much the straight line that fits best rises over the second half."""
    half = rows[len(rows) // 2:]
    count = len(half)
    mean_x = sum(row[x] for row in half) / count
    mean_y = sum(row[column] for row in half) / count
    spread = sum((row[x] - mean_x) ** 2 for row in half)
    slope = sum((row[x] - mean_x) * (row[column] - mean_y) for row in half) / spread if spread else 0
    return slope * (half[-1][x] - half[0][x])


def _panel(rows: list[dict], column: str, top: float, colour: str, x: str) -> list[str]:
    values = [row[column] for row in rows]
    last = rows[-1][x] or 1
    highest = max(values) * 1.1 or 1

    def place(row) -> str:
        return f"{LEFT + row[x] / last * WIDTH:.1f},{top + HEIGHT * (1 - row[column] / highest):.1f}"

    return [f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>',
            f'<text x="{LEFT}" y="{top - 6}">{column}</text>',
            f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.0f}</text>',
            f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
            f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">{last:.0f} {x}</text>',
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(map(place, rows))}"/>']


def write_svg(path: pathlib.Path, rows: list[dict], columns: list[str], x: str = "seconds") -> None:
    """One panel for each column, all over the same x."""
    parts = []
    for number, column in enumerate(columns):
        parts += _panel(rows, column, TOP + number * (HEIGHT + 50), COLOURS[number % len(COLOURS)], x)
    height = TOP + len(columns) * (HEIGHT + 50)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" '
                    'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
                    + "\n".join(parts) + "\n</svg>\n", encoding="utf-8")
