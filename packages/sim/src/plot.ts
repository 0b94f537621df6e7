import type { Cell } from './matrix.ts'

const COLOURS = ['#888', '#b58900', '#268bd2', '#6c71c4', '#2aa198', '#859900', '#d33682', '#dc322f']
const WIDTH = 460
const HEIGHT = 300

type Point = { load: number; goodputPercent: number; halfPercent: number; p99Ms: number }
type Series = { name: string; points: Point[] }

/** Goodput (with 95 % confidence intervals) and p99 (logarithmic) against load, one line a policy. */
export function plotSvg(cells: readonly Cell[]): string {
  const series: Series[] = (cells[0]?.policies ?? []).map(({ name }) => ({
    name,
    points: cells.flatMap(({ load, policies }) =>
      policies
        .filter((each) => each.name === name)
        .map(({ goodputPercent, p99Ms, ci95 }) => ({ load, goodputPercent, halfPercent: ci95.goodputPercent, p99Ms }))
    )
  }))
  const loads = cells.map(({ load }) => load)
  const logOf = ({ p99Ms }: Point) => Math.log10(Math.max(p99Ms, 0.1))
  const logs = series.flatMap(({ points }) => points.map(logOf)).filter(Number.isFinite)
  const floor = Math.floor(Math.min(...logs))
  const ceiling = Math.max(floor + 1, Math.ceil(Math.max(...logs)))
  const least = Math.min(...loads)
  const x = (load: number) => 50 + ((load - least) / Math.max(1e-9, Math.max(...loads) - least)) * (WIDTH - 70)
  const y = (share: number) => 20 + (1 - share) * (HEIGHT - 60)
  const line = (points: readonly Point[], height: (p: Point) => number, colour: string) =>
    `<polyline points="${points.map((p) => `${x(p.load).toFixed(1)},${y(height(p)).toFixed(1)}`).join(' ')}" ` +
    `fill="none" stroke="${colour}" stroke-width="2"/>`
  const interval = (p: Point, colour: string) =>
    p.halfPercent === 0
      ? ''
      : `<path d="M${x(p.load).toFixed(1)} ${y(Math.min(1, (p.goodputPercent + p.halfPercent) / 100)).toFixed(1)}` +
        `V${y(Math.max(0, (p.goodputPercent - p.halfPercent) / 100)).toFixed(1)}" stroke="${colour}"/>`
  const panel = (left: number, title: string, ticks: [number, string][], drawn: string) =>
    `<g transform="translate(${left} 0)"><text x="50" y="12">${title}</text>` +
    ticks
      .map(
        ([at, label]) =>
          `<text x="2" y="${y(at) + 4}">${label}</text><path d="M50 ${y(at)}H${WIDTH - 20}" stroke="#ddd"/>`
      )
      .join('') +
    [...new Set(loads)].map((load) => `<text x="${x(load) - 8}" y="${HEIGHT - 22}">${load}</text>`).join('') +
    `${drawn}</g>`
  const decades = Array.from({ length: ceiling - floor + 1 }, (_, d): [number, string] => [
    d / (ceiling - floor),
    tickLabel(floor + d)
  ])
  const colourOf = (i: number) => COLOURS[i % COLOURS.length] as string
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * WIDTH}" height="${HEIGHT + 40}" font-family="sans-serif" font-size="11">` +
    '<title>Goodput and p99 against load, by policy</title><rect width="100%" height="100%" fill="#fff"/>' +
    panel(
      0,
      'goodput against load',
      [0, 0.25, 0.5, 0.75, 1].map((at) => [at, `${100 * at} %`]),
      series
        .map(
          ({ points }, i) =>
            line(points, (p) => p.goodputPercent / 100, colourOf(i)) +
            points.map((p) => interval(p, colourOf(i))).join('')
        )
        .join('')
    ) +
    panel(
      WIDTH,
      'p99 of what was answered against load',
      decades,
      series.map(({ points }, i) => line(points, (p) => (logOf(p) - floor) / (ceiling - floor), colourOf(i))).join('')
    ) +
    series
      .map(
        ({ name }, i) =>
          `<text x="${20 + (i % 4) * 220}" y="${HEIGHT + 10 + 16 * Math.floor(i / 4)}" fill="${colourOf(i)}">${name}</text>`
      )
      .join('') +
    '</svg>\n'
  )
}

/** Short enough to stand beside the axis. */
const tickLabel = (decade: number): string =>
  decade >= 3 ? `${10 ** (decade - 3)} s` : `${Number((10 ** decade).toPrecision(1))} ms`
