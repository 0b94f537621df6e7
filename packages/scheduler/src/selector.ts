import type { Labels, Selector } from '@skerry/contracts'

/** The first label that is not as the selector asks, or null: all hold. */
export function unmetLabel(selector: Selector, labels: Labels): string | null {
  for (const [key, condition] of Object.entries(selector)) if (!holds(condition, labels[key])) return key
  return null
}

/** True when the device's labels are as the selector asks; an empty selector matches all. */
export const matchesSelector = (selector: Selector, labels: Labels): boolean => unmetLabel(selector, labels) === null

function holds(condition: Selector[string], value: string | undefined): boolean {
  if (typeof condition === 'string') return value === condition
  if ('in' in condition) return value !== undefined && condition.in.includes(value)
  if ('notIn' in condition) return value === undefined || !condition.notIn.includes(value)
  return (value !== undefined) === condition.exists
}
