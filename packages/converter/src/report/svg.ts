import { type Markup, markup } from './markup.ts'

/** From a range of values to a range of pixels. */
export type Scale = (value: number) => number

export function linear([from, to]: readonly [number, number], [start, end]: readonly [number, number]): Scale {
  const span = to - from || 1
  return (value) => round(start + ((value - from) / span) * (end - start))
}

/** Enough for a screen, and the same text on every machine. */
export const round = (value: number): number => Math.round(value * 100) / 100

/** At most about `count` round numbers within a range, ascending. */
export function ticksOf([from, to]: readonly [number, number], count: number): number[] {
  const span = to - from
  if (!(span > 0) || !Number.isFinite(span)) return [from]
  const rough = span / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power
  const first = Math.ceil(from / step - 1e-9)
  const last = Math.floor(to / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)))
}

export type Frame = { width: number; height: number; left: number; right: number; top: number; bottom: number }

/** Charts are drawn at about the size of a phone, and grow from there: so their text never shrinks below itself. */
export const plain: Frame = { width: 360, height: 220, left: 46, right: 350, top: 12, bottom: 182 }

export function axes(
  frame: Frame,
  x: { scale: Scale; ticks: readonly number[]; format: (value: number) => string; label: string; line?: boolean },
  y: { scale: Scale; ticks: readonly number[]; format: (value: number) => string; label: string }
): Markup {
  const { left, right, top, bottom, height } = frame
  return markup`<g class="grid">${y.ticks.map((tick) => markup`<path d="M${left} ${y.scale(tick)} H${right}"/>`)}</g>
<g class="tick">${y.ticks.map((tick) => markup`<text x="${left - 6}" y="${round(y.scale(tick) + 3.5)}" class="end">${y.format(tick)}</text>`)}${x.ticks.map(
    (tick) => markup`<text x="${x.scale(tick)}" y="${bottom + 15}" class="middle">${x.format(tick)}</text>`
  )}</g>
${x.line !== false && markup`<path d="M${left} ${bottom} H${right}" class="axis"/>`}
<g class="axis-label"><text x="${round((left + right) / 2)}" y="${height - 4}" class="middle">${x.label}</text><text transform="translate(10 ${round((top + bottom) / 2)}) rotate(-90)" class="middle">${y.label}</text></g>`
}

/** A picture with its words: what it shows for those who see it, and the same for those who do not. */
export function figure(options: {
  title: string
  /** What a person who cannot see the picture is told. */
  description: string
  frame: Frame
  content: Markup
  legend?: Markup
  note?: string
}): Markup {
  const { title, description, frame, content, legend, note } = options
  return markup`<figure><figcaption>${title}</figcaption>${legend}
<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${`${title}. ${description}`}">
${content}
</svg>${note === undefined ? '' : markup`<p class="note">${note}</p>`}</figure>
`
}
