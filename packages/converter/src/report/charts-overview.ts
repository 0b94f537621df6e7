import type { ConversionResult, VariantResult } from '../types.ts'
import { formatBytes, formatDb, formatMs, formatShare } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { bestP50Ms, worstSnrDb } from './measures.ts'
import { stateShape } from './state.ts'
import { axes, figure, linear, plain, round, type Scale, ticksOf } from './svg.ts'

type Sized = VariantResult & { bytes: number }

const isSized = (variant: VariantResult): variant is Sized => variant.bytes !== undefined

/** Bytes of each variant's file. */
export function sizesChart({ variants }: ConversionResult): Markup | undefined {
  const sized = variants.filter(isSized)
  if (sized.length === 0) return undefined
  const largest = Math.max(...sized.map(({ bytes }) => bytes))
  const step = 34
  const frame = { ...plain, height: 8 + step * sized.length }
  const width = linear([0, largest], [0, frame.width - 70])
  const content = sized.map(({ variant, bytes, state }, index) => {
    const y = 8 + step * index
    return markup`<g transform="translate(6 ${y + 4}) scale(.55)">${stateShape(state)}</g><text x="17" y="${y + 8}">${variant}</text>
<rect x="0" y="${y + 13}" width="${Math.max(1, width(bytes))}" height="11" rx="2" class="bar state-${state}"/>
<text x="${round(width(bytes) + 6)}" y="${y + 22.5}" class="value">${formatBytes(bytes)}</text>`
  })
  const description = sized.map(({ variant, bytes }) => `${variant} ${formatBytes(bytes)}`).join(', ')
  return figure({ title: 'Size of the file', description, frame, content: markup`${content}` })
}

type Point = { variant: Sized; value: number; text: string }

/** SNR over size, latency beside each point. */
export function snrChart({ variants }: ConversionResult): Markup | undefined {
  const points = variants.filter(isSized).flatMap((variant): Point[] => {
    const db = worstSnrDb(variant.parity)
    if (db === undefined) return []
    const value = Math.min(db, 120)
    return [{ variant, value, text: Number.isFinite(db) ? formatDb(db) : 'nothing differs' }]
  })
  const values = points.map(({ value }) => value)
  const range = [Math.min(0, ...values), Math.max(20, ...values)] as const
  return scatter('Size against signal-to-noise ratio', points, range, (tick) => `${tick}`, 'SNR, dB')
}

/** Accuracy over size, where labels are known. */
export function accuracyChart({ variants }: ConversionResult): Markup | undefined {
  const points = variants.filter(isSized).flatMap((variant): Point[] => {
    const { accuracy } = variant.parity ?? {}
    return accuracy === undefined ? [] : [{ variant, value: accuracy.variant, text: formatShare(accuracy.variant) }]
  })
  const original = variants.find(({ parity }) => parity?.accuracy !== undefined)?.parity?.accuracy?.original
  if (original === undefined) return undefined
  const lowest = Math.min(original, ...points.map(({ value }) => value))
  const range = [Math.max(0, Math.floor(10 * lowest - 0.5) / 10), 1] as const
  const note = `The line is the original: ${formatShare(original)}.`
  const options = { line: original, note }
  return scatter('Size against accuracy', points, range, (tick) => `${Math.round(100 * tick)} %`, 'accuracy', options)
}

function scatter(
  title: string,
  points: readonly Point[],
  range: readonly [number, number],
  formatTick: (tick: number) => string,
  label: string,
  { line, note }: { line?: number; note?: string } = {}
): Markup | undefined {
  if (points.length === 0) return undefined
  const frame = { ...plain, height: 260, bottom: 222 }
  const bytes = [0, 1.08 * Math.max(...points.map(({ variant }) => variant.bytes))] as const
  const x = linear(bytes, [frame.left, frame.right])
  const y = linear(range, [frame.bottom, frame.top + 10])
  const labels = placeLabels(points, x, y, frame)
  const content = markup`${axes(
    frame,
    { scale: x, ticks: ticksOf(bytes, 4), format: (tick) => (tick === 0 ? '0' : formatBytes(tick, 2)), label: 'bytes' },
    { scale: y, ticks: ticksOf(range, 5), format: formatTick, label }
  )}${line !== undefined && markup`<path d="M${frame.left} ${y(line)} H${frame.right}" class="reference-line"/>`}
${labels.map(({ point: { variant, value }, text, box, end }) => {
  const [px, py] = [x(variant.bytes), y(value)]
  const middle = round((box.top + box.bottom) / 2)
  const edge = round(end ? box.right : box.left)
  return markup`${Math.abs(middle - py) > 1 && markup`<path d="M${px} ${py} L${edge} ${middle}" class="leader"/>`}
<text x="${edge}" y="${round(middle + 4)}" class="halo${end ? ' end' : ''}">${text}</text>`
})}${points.map(({ variant, value }) => markup`<g transform="translate(${x(variant.bytes)} ${y(value)}) scale(.62)">${stateShape(variant.state)}</g>`)}`
  const description = points
    .map(({ variant, text }) => `${variant.variant}: ${formatBytes(variant.bytes)}, ${text}, ${variant.state}`)
    .join('; ')
  return figure({ title, description, frame, content, ...(note === undefined ? {} : { note }) })
}

// Of the 11 px sans serif; a guess on the wide side, since no font is there to ask.
const labelWidth = (text: string): number => 6.1 * text.length
const labelHeight = 13
const pointRadius = 7

type Box = { left: number; top: number; right: number; bottom: number }
type Placed = { point: Point; text: string; box: Box; end: boolean }

/** Beside each point; moved up and down until it covers no point and no other label. */
function placeLabels(points: readonly Point[], x: Scale, y: Scale, frame: typeof plain): Placed[] {
  const taken = points.map(({ variant, value }): Box => {
    const [px, py] = [x(variant.bytes), y(value)]
    return { left: px - pointRadius, top: py - pointRadius, right: px + pointRadius, bottom: py + pointRadius }
  })
  const placed: Placed[] = []
  for (const point of [...points].sort((a, b) => b.value - a.value || b.variant.bytes - a.variant.bytes)) {
    const ms = bestP50Ms(point.variant)
    const text = ms === undefined ? point.variant.variant : `${point.variant.variant}, ${formatMs(ms)}`
    const places = offsets.flatMap((offset) => {
      const top = y(point.value) - labelHeight / 2 + offset
      const right = x(point.variant.bytes) + pointRadius + 3
      const left = x(point.variant.bytes) - pointRadius - 3 - labelWidth(text)
      return [
        { end: false, box: boxAt(right, top, text) },
        { end: true, box: boxAt(left, top, text) }
      ]
    })
    const inside = ({ left, top, right, bottom }: Box) =>
      left >= frame.left && right <= frame.width && top >= 0 && bottom <= frame.bottom
    const fits = places.filter(({ box }) => inside(box))
    const place = fits.find(({ box }) => !taken.some((other) => overlap(box, other))) ?? fits[0] ?? places[0]
    if (place === undefined) continue
    taken.push(place.box)
    placed.push({ point, text, ...place })
  }
  return placed
}

const offsets = [0, ...Array.from({ length: 10 }, (_, index) => [-13 - 9 * index, 13 + 9 * index]).flat()]

const boxAt = (left: number, top: number, text: string): Box => ({
  left,
  top,
  right: left + labelWidth(text),
  bottom: top + labelHeight
})

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
