import type { Bins, OutputPicture } from '../types.ts'
import { formatNumber, formatTick } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { axes, figure, linear, plain, round, type Scale, ticksOf } from './svg.ts'

/** The three pictures of one output. */
export function outputCharts(picture: OutputPicture): Markup {
  return markup`${distributionChart(picture)}${pairsChart(picture)}${errorChart(picture)}`
}

const named = (title: string, { name }: OutputPicture): string => `${title}: ${name}`

function distributionChart(picture: OutputPicture): Markup {
  const { reference, candidate } = picture
  const range = [Math.min(reference.from, candidate.from), Math.max(reference.to, candidate.to)] as const
  const most = Math.max(1, ...reference.counts, ...candidate.counts)
  const { x, y, base } = scales(range, most, 'value')
  const content = markup`${base}<g class="bar-reference">${bars(reference, x, y)}</g><path d="${outline(candidate, x, y)}" class="step-candidate"/>`
  const legend = markup`<p class="legend"><span><svg viewBox="0 0 16 10" aria-hidden="true"><rect width="16" height="10" class="swatch-reference"/></svg>original</span><span><svg viewBox="0 0 16 10" aria-hidden="true"><path d="M0 8 H5 V2 H11 V8 H16" class="step-candidate"/></svg>variant</span></p>`
  return figure({
    title: named('Answers', picture),
    description: `Histogram of the original's values beside the variant's, from ${formatNumber(range[0])} to ${formatNumber(range[1])}`,
    frame: plain,
    content,
    legend
  })
}

function errorChart(picture: OutputPicture): Markup {
  const { error } = picture
  const most = Math.max(1, ...error.counts)
  const { x, y, base } = scales([error.from, error.to], most, 'variant \u2212 original')
  const zero =
    error.from < 0 && error.to > 0 && markup`<path d="M${x(0)} ${plain.top} V${plain.bottom}" class="reference-line"/>`
  return figure({
    title: named('Errors', picture),
    description: `Histogram of the differences, from ${formatNumber(error.from)} to ${formatNumber(error.to)}`,
    frame: plain,
    content: markup`${base}<g class="bar-error">${bars(error, x, y)}</g>${zero}`
  })
}

function pairsChart(picture: OutputPicture): Markup {
  const pairs = picture.pairs.filter(
    ([reference, candidate]) => Number.isFinite(reference) && Number.isFinite(candidate)
  )
  const values = pairs.flat()
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  const range = padded(pairs.length === 0 ? [0, 1] : [low, high])
  const x = linear(range, [plain.left, plain.right])
  const y = linear(range, [plain.bottom, plain.top])
  const ticks = ticksOf(range, 5)
  const base = axes(
    plain,
    { scale: x, ticks, format: formatTick, label: 'original' },
    { scale: y, ticks, format: formatTick, label: 'variant' }
  )
  const diagonal = markup`<path d="M${x(range[0])} ${y(range[0])} L${x(range[1])} ${y(range[1])}" class="reference-line"/>`
  const dots = pairs.map(
    ([reference, candidate]) => markup`<circle cx="${x(reference)}" cy="${y(candidate)}" r="2.4"/>`
  )
  return figure({
    title: named('Variant against original', picture),
    description: `${pairs.length} pairs of values; on the diagonal both answer the same`,
    frame: plain,
    content: markup`${base}${diagonal}<g class="dots">${dots}</g>`
  })
}

function scales(range: readonly [number, number], most: number, label: string): { x: Scale; y: Scale; base: Markup } {
  const span = range[1] > range[0] ? range : ([range[0] - 0.5, range[0] + 0.5] as const)
  const x = linear(span, [plain.left, plain.right])
  const y = linear([0, most], [plain.bottom, plain.top])
  const base = axes(
    plain,
    { scale: x, ticks: ticksOf(span, 5), format: formatTick, label },
    { scale: y, ticks: ticksOf([0, most], 4).filter(Number.isInteger), format: String, label: 'count' }
  )
  return { x, y, base }
}

function padded([low, high]: readonly [number, number]): readonly [number, number] {
  const margin = high > low ? 0.04 * (high - low) : 0.5
  return [low - margin, high + margin]
}

/** The edges of each bin that holds something. A range without width is drawn as wide as can be seen. */
function edges({ from, to, counts }: Bins, x: Scale) {
  const start = x(from)
  const width = Math.max((x(to) - start) / Math.max(1, counts.length), to > from ? 0.5 : 6)
  return counts.map((count, index) => ({ count, left: round(start + width * index), width: round(width) }))
}

function bars(bins: Bins, x: Scale, y: Scale): Markup[] {
  return edges(bins, x)
    .filter(({ count }) => count > 0)
    .map(({ count, left, width }) => {
      const top = y(count)
      return markup`<rect x="${left}" y="${top}" width="${width}" height="${round(plain.bottom - top)}"/>`
    })
}

function outline(bins: Bins, x: Scale, y: Scale): string {
  const steps = edges(bins, x)
  const first = steps[0]
  const last = steps.at(-1)
  if (first === undefined || last === undefined) return ''
  const tops = steps.map(({ count, left, width }) => `V${y(count)} H${round(left + width)}`).join(' ')
  return `M${first.left} ${plain.bottom} ${tops} V${plain.bottom}`
}
