"""Plots of values over time, as SVG."""

from html import escape

WIDTH, HEIGHT, LEFT, GAP = 720, 110, 60, 34


def plot(series):
    """An SVG with a panel for each series of (seconds, value)."""
    panels = [panel(name, points, number * (HEIGHT + GAP)) for number, (name, points) in enumerate(series.items())]
    height = len(series) * (HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
        + "".join(panels)
        + "</svg>\n"
    )


def panel(name, points, top):
    begin, end = points[0][0], max(points[-1][0], points[0][0] + 1)
    most = max(value for _, value in points) or 1

    def place(seconds, value):
        x = LEFT + (WIDTH - LEFT - 10) * (seconds - begin) / (end - begin)
        return f"{x:.1f},{top + GAP - 10 + HEIGHT * (1 - value / most):.1f}"

    line = " ".join(place(seconds, value) for seconds, value in points)
    bottom = top + GAP - 10 + HEIGHT
    return (
        f'<text x="4" y="{top + 16}" font-weight="bold">{escape(name)}</text>'
        f'<text x="4" y="{top + GAP}">{most:.4g}</text><text x="4" y="{bottom}">0</text>'
        f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - 10}" y2="{bottom}" stroke="#999"/>'
        f'<text x="{WIDTH - 60}" y="{bottom + 12}">{end / 60:.1f} min</text>'
        f'<polyline fill="none" stroke="#1f6feb" stroke-width="1.2" points="{line}"/>'
    )
