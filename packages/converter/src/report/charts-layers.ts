import type { LayerError } from '../types.ts'
import { formatDb, formatTick, shorten } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { axes, figure, linear, plain, round, ticksOf } from './svg.ts'

/** More bars than this cannot be told apart; then each shows the lowest of a few neighbours. */
const maxBars = 130
const topDb = 60
export const markedLayers = 5

/** SNR along the network, in the order of execution; the worst are numbered as in the table below it. */
export function layersChart(layers: readonly LayerError[]): Markup {
  const frame = { ...plain, width: 400, height: 240, right: 394, top: 22, bottom: 208 }
  const ordered = [...layers].sort((a, b) => a.position - b.position)
  const groups = grouped(ordered, Math.ceil(ordered.length / maxBars))
  const values = ordered.map(({ snrDb }) => Math.min(snrDb ?? topDb, topDb))
  const range = [Math.max(-20, Math.min(0, ...values)), Math.max(20, ...values)] as const
  const width = (frame.right - frame.left) / groups.length
  const y = linear(range, [frame.bottom, frame.top])
  const numbers = new Map(layers.slice(0, markedLayers).map((layer, index) => [layer, index + 1]))
  let lastNumber = { x: Number.NEGATIVE_INFINITY, y: 0 }
  const bars = groups.map((group, index) => {
    const lowest = group.reduce((least, each) => ((each.snrDb ?? topDb) < (least.snrDb ?? topDb) ? each : least))
    const number = group.map((layer) => numbers.get(layer)).find((each) => each !== undefined)
    const value = Math.max(range[0], Math.min(lowest.snrDb ?? topDb, topDb))
    const left = round(frame.left + width * index + width * 0.1)
    const top = Math.min(y(value), y(0))
    const height = Math.max(1.5, Math.abs(y(value) - y(0)))
    const numberX = round(left + width * 0.4)
    // Neighbours would print their numbers over each other.
    const numberY = round(numberX - lastNumber.x < 10 ? Math.min(top - 5, lastNumber.y - 11) : top - 5)
    if (number !== undefined) lastNumber = { x: numberX, y: numberY }
    const text = `${shorten(lowest.tensor, 60)} (${lowest.operator}): ${lowest.snrDb === null ? 'nothing differs' : formatDb(lowest.snrDb)}`
    return markup`<rect x="${left}" y="${round(top)}" width="${round(width * 0.8)}" height="${round(height)}" class="${number === undefined ? 'bar-layer' : 'bar-worst'}"><title>${text}</title></rect>${
      number !== undefined && markup`<text x="${numberX}" y="${numberY}" class="middle number">${number}</text>`
    }`
  })
  const base = axes(
    frame,
    { scale: (value) => value, ticks: [], format: String, label: 'layers in the order of execution', line: false },
    { scale: y, ticks: ticksOf(range, 5), format: formatTick, label: 'SNR, dB' }
  )
  const worst = layers[0]
  return figure({
    title: 'Signal-to-noise ratio along the network',
    description:
      worst === undefined
        ? 'No layer could be compared'
        : `${layers.length} layers; the one that itself loses most is ${shorten(worst.tensor, 60)}, an ${worst.operator}`,
    frame,
    content: markup`${base}${bars}<path d="M${frame.left} ${y(0)} H${frame.right}" class="axis"/>`
  })
}

function grouped<T>(values: readonly T[], size: number): T[][] {
  const groups: T[][] = []
  for (let at = 0; at < values.length; at += size) groups.push(values.slice(at, at + size))
  return groups
}
