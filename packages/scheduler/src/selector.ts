import type { Labels } from '@skerry/contracts'

/** True when the device carries every label of the selector; an empty selector matches all. */
export const matchesSelector = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value)
