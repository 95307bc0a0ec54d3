"""Text of tables, in Markdown, aligned so that they also read well on a terminal."""


def table(head, rows):
    cells = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row):
        padded = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n"


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def mb(size):
    return f"{size / 1e6:.1f} MB"


def predicted_pause(move):
    """Of the report of a move, the bounds that were given before it."""
    if not move["predicted"]:
        return "-"
    bounds = move["predicted"]["pause_seconds"]
    return f"{ms(bounds['lower'])} - {ms(bounds['upper'])}"
