/*
 * Numbers as a person reads them. By hand, not by the locale of the machine: a report has the same bytes everywhere.
 */

const byteUnits = ['B', 'kB', 'MB', 'GB', 'TB'] as const

export const none = '\u2013'

/** Decimal units, three significant digits unless told otherwise: 1.60 MB. */
export function formatBytes(bytes: number | undefined, digits = 3): string {
  return bytes === undefined ? none : scaled(bytes, byteUnits, digits)
}

/** 300 M; plain below a thousand. */
export function formatCount(count: number | undefined): string {
  return count === undefined ? none : scaled(count, ['', 'k', 'M', 'G', 'T'], 3)
}

function scaled(value: number, units: readonly string[], digits: number): string {
  let unit = 0
  let rest = value
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000
    unit++
  }
  // Nothing below the smallest unit exists.
  const text = unit === 0 ? String(Math.round(rest)) : significant(rest, digits)
  return `${text}${units[unit] === '' ? '' : `\u00A0${units[unit]}`}`
}

/** Plain notation with so many significant digits; none of the integer part is lost. */
function significant(value: number, digits: number): string {
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)))
  return value.toFixed(Math.min(20, Math.max(0, digits - 1 - magnitude)))
}

/** Of an axis: no more digits than it needs. */
export function formatTick(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return formatNumber(value)
  return minus(String(Number(value.toPrecision(6))))
}

/** A constant of the model: as it was given, but for the noise of its last digits. */
export function formatExact(value: number): string {
  return minus(String(Number(value.toPrecision(7))))
}

export function formatMs(milliseconds: number | undefined): string {
  if (milliseconds === undefined || !Number.isFinite(milliseconds)) return none
  if (milliseconds >= 10_000) return `${(milliseconds / 1000).toFixed(1)}\u00A0s`
  return `${significant(milliseconds, milliseconds < 1 ? 2 : 3)}\u00A0ms`
}

export function formatDb(db: number): string {
  return `${minus(db.toFixed(1))}\u00A0dB`
}

/** A share of 0 to 1: .975 as 97.5 %. */
export function formatShare(share: number | null | undefined): string {
  return share === undefined || share === null
    ? none
    : `${(100 * share).toFixed(share === 1 || share === 0 ? 0 : 1)}\u00A0%`
}

/** Any real number, three significant digits. */
export function formatNumber(value: number | null | undefined): string {
  if (value === undefined || value === null || !Number.isFinite(value)) return none
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size < 1e-3 || size >= 1e5) {
    const [mantissa = '', exponent = ''] = value.toExponential(1).split('e')
    return minus(`${mantissa}e${exponent.replace('+', '')}`)
  }
  return minus(significant(value, 3))
}

const minus = (text: string): string => text.replaceAll('-', '\u2212')

export function formatShape(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.map((size) => (size === -1 ? 'any' : String(size))).join(' \u00D7 ')
}

/** The end of a long name: the part that tells it from others. */
export function shorten(name: string, length: number): string {
  const last = name.split(';').at(-1) ?? name
  const characters = [...last]
  return characters.length <= length ? last : `\u2026${characters.slice(1 - length).join('')}`
}
