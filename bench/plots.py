"""Plots as SVG, drawn by gnuplot."""
import dataclasses
import subprocess

COLOURS = {"predicted": "#8fb3d9", "measured": "#c0392b"}


@dataclasses.dataclass
class Plot:
    name: str  # of its file, without the suffix
    script: str  # for gnuplot, after the terminal and the output are set

    def write(self, directory):
        path = directory / f"{self.name}.svg"
        head = f'set terminal svg size 900,480 font "sans-serif,12" background "white"\nset output "{path}"\n'
        subprocess.run(["gnuplot"], input=head + self.script, text=True, check=True)


@dataclasses.dataclass
class Foretold:
    """A time in seconds and the bounds that were given for it before, if they were."""
    label: str
    measured: float
    bounds: dict | None = None  # "lower" and "upper"


def foretold(name, title, times):
    """Measured times as points on the bars of what was predicted, in milliseconds."""
    lines = []
    for number, time in enumerate(times):
        label = time.label.replace('"', "'")
        bounds = time.bounds or {"lower": time.measured, "upper": time.measured}
        lines.append(f'{number} "{label}" {time.measured * 1e3:.4g} {bounds["lower"] * 1e3:.4g} '
                     f'{bounds["upper"] * 1e3:.4g}')
    data = "\n".join(lines)
    return Plot(name, f"""$times << END
{data}
END
set title "{title}"
set ylabel "milliseconds"
set logscale y
set grid y
set xrange [-0.5:{len(times) - 0.5}]
set xtics rotate by -40
set key top left
set bars 0
plot $times using 1:3:4:5:xtic(2) with yerrorbars lw 8 pt 0 lc rgb "{COLOURS['predicted']}" title "predicted", \\
     $times using 1:3 with points pt 7 ps 0.7 lc rgb "{COLOURS['measured']}" title "measured"
""")


def bars(name, title, unit, values):
    """One bar for each (label, value)."""
    data = "\n".join('"{}" {:.5g}'.format(label.replace('"', "'"), value) for label, value in values)
    return Plot(name, f"""$values << END
{data}
END
set title "{title}"
set ylabel "{unit}"
set yrange [0:*]
set grid y
set style fill solid 0.8
set boxwidth 0.6
set xtics rotate by -40
unset key
plot $values using 0:2:xtic(1) with boxes lc rgb "{COLOURS['predicted']}"
""")
