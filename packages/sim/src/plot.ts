export type Series = { name: string; points: { load: number; goodputPercent: number; p99Ms: number }[] }

const COLOURS = ['#888', '#b58900', '#268bd2', '#6c71c4', '#2aa198', '#859900', '#d33682', '#dc322f']
const WIDTH = 460
const HEIGHT = 300

/** Goodput and p99 (logarithmic) against load, one line a policy. */
export function plotSvg(series: readonly Series[]): string {
  const loads = series.flatMap(({ points }) => points.map(({ load }) => load))
  const logs = series.flatMap(({ points }) => points.map(({ p99Ms }) => Math.log10(Math.max(p99Ms, 0.1))))
  const floor = Math.floor(Math.min(...logs))
  const ceiling = Math.max(floor + 1, Math.ceil(Math.max(...logs)))
  const least = Math.min(...loads)
  const x = (load: number) => 50 + ((load - least) / Math.max(1e-9, Math.max(...loads) - least)) * (WIDTH - 70)
  const y = (share: number) => 20 + (1 - share) * (HEIGHT - 60)
  const panel = (
    left: number,
    title: string,
    ticks: [number, string][],
    height: (p: Series['points'][number]) => number
  ) =>
    `<g transform="translate(${left} 0)"><text x="50" y="12">${title}</text>` +
    ticks
      .map(
        ([at, label]) =>
          `<text x="2" y="${y(at) + 4}">${label}</text><path d="M50 ${y(at)}H${WIDTH - 20}" stroke="#ddd"/>`
      )
      .join('') +
    [...new Set(loads)].map((load) => `<text x="${x(load) - 8}" y="${HEIGHT - 22}">${load}</text>`).join('') +
    series
      .map(({ points }, i) => {
        const path = points.map((p) => `${x(p.load).toFixed(1)},${y(height(p)).toFixed(1)}`).join(' ')
        return `<polyline points="${path}" fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="2"/>`
      })
      .join('') +
    '</g>'
  const decades: [number, string][] = []
  for (let d = floor; d <= ceiling; d++) decades.push([(d - floor) / (ceiling - floor), `${10 ** d} ms`])
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * WIDTH}" height="${HEIGHT + 40}" font-family="sans-serif" font-size="11">` +
    '<rect width="100%" height="100%" fill="#fff"/>' +
    panel(
      0,
      'goodput against load',
      [
        [0, '0 %'],
        [0.5, '50 %'],
        [1, '100 %']
      ],
      (p) => p.goodputPercent / 100
    ) +
    panel(
      WIDTH,
      'p99 of what was answered against load',
      decades,
      (p) => (Math.log10(Math.max(p.p99Ms, 0.1)) - floor) / (ceiling - floor)
    ) +
    series
      .map(
        ({ name }, i) =>
          `<text x="${20 + (i % 4) * 220}" y="${HEIGHT + 10 + 16 * Math.floor(i / 4)}" fill="${COLOURS[i % COLOURS.length]}">${name}</text>`
      )
      .join('') +
    '</svg>\n'
  )
}
